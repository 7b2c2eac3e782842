import type { ReplicaId } from "../../crdt/index.ts";
import type { Consistency } from "./port.ts";

/** One change that waits until so many members have applied it. */
export interface Wait {
  readonly number: number;
  readonly consistency: Exclude<Consistency, "local">;
}

/** Who has applied how much of what was made here, and who waits for it. */
export class Confirmations<W extends Wait> {
  readonly #applied = new Map<ReplicaId, number>();
  /** By number, the least first. */
  readonly #waits: Record<Wait["consistency"], W[]> = { majority: [], all: [] };

  get size(): number {
    return this.#waits.majority.length + this.#waits.all.length;
  }

  /** `replica` has applied everything made here up to `number`; whether that is news. */
  applied(replica: ReplicaId, number: number): boolean {
    if (number <= (this.#applied.get(replica) ?? 0)) return false;
    this.#applied.set(replica, number);
    return true;
  }

  add(wait: W): void {
    const waits = this.#waits[wait.consistency];
    let place = waits.length;
    while (place > 0 && waits[place - 1]!.number > wait.number) place -= 1;
    waits.splice(place, 0, wait);
  }

  remove(wait: W): void {
    const waits = this.#waits[wait.consistency];
    const place = waits.indexOf(wait);
    if (place >= 0) waits.splice(place, 1);
  }

  /** Takes out what waits for a number up to this one. */
  take(consistency: Wait["consistency"], upTo: number): readonly W[] {
    const waits = this.#waits[consistency];
    let count = 0;
    while (count < waits.length && waits[count]!.number <= upTo) count += 1;
    return waits.splice(0, count);
  }

  /** Up to which number this process and as many of the others as needed have applied everything. */
  upTo(others: readonly ReplicaId[], needed: number): number {
    if (needed <= 1) return Infinity;
    const numbers = others.map((replica) => this.#applied.get(replica) ?? 0).sort((left, right) => right - left);
    return numbers[needed - 2] ?? 0;
  }

  /** Forgets whose voice does not count any more. */
  retain(isIn: (replica: ReplicaId) => boolean): void {
    for (const replica of this.#applied.keys()) if (!isIn(replica)) this.#applied.delete(replica);
  }

  /** Takes out everything that waits. */
  clear(): readonly W[] {
    return [...this.#waits.majority.splice(0), ...this.#waits.all.splice(0)];
  }
}
