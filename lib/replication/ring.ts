import type { ReplicaId } from "../../crdt/index.ts";
import type { Batch } from "./batch.ts";

/** What a batch costs beside its bytes, roughly: its decoded changes. */
const overheadBytes = 256;

/** The latest batches of every origin, those received included, bounded in bytes: the oldest to come is the first to go. */
export class Ring {
  readonly #bytesMax: number;
  readonly #byOrigin = new Map<ReplicaId, Batch[]>();
  /** All of them in the order in which they came; up to `#first` they are gone. */
  #order: Batch[] = [];
  #first = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Each origin's batches come in order; numbers between two may be missing. */
  add(batch: Batch): void {
    const held = this.#byOrigin.get(batch.origin);
    if (held === undefined) this.#byOrigin.set(batch.origin, [batch]);
    else held.push(batch);
    this.#order.push(batch);
    this.#bytes += batch.bytes.length + overheadBytes;
    while (this.#bytes > this.#bytesMax) this.#dropOldest();
  }

  /** The batches of `origin` that bring who stands at `after` to `to` without a hole, or undefined if not all are held. */
  from(origin: ReplicaId, after: number, to: number): readonly Batch[] | undefined {
    const held = this.#byOrigin.get(origin) ?? [];
    let at = after;
    const found: Batch[] = [];
    for (let place = firstAfter(held, after); place < held.length && at < to; place += 1) {
      const batch = held[place]!;
      if (batch.from > at + 1) return undefined;
      found.push(batch);
      at = batch.to;
    }
    return at >= to ? found : undefined;
  }

  #dropOldest(): void {
    const batch = this.#order[this.#first]!;
    this.#first += 1;
    if (this.#first > 1_024 && this.#first * 2 > this.#order.length) {
      this.#order = this.#order.slice(this.#first);
      this.#first = 0;
    }
    this.#bytes -= batch.bytes.length + overheadBytes;
    const held = this.#byOrigin.get(batch.origin)!;
    held.shift();
    if (held.length === 0) this.#byOrigin.delete(batch.origin);
  }
}

/** Where the first batch stands that has a number above `after`. */
function firstAfter(held: readonly Batch[], after: number): number {
  let low = 0;
  let high = held.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (held[middle]!.to <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
