import type { ReplicaId } from "../../crdt/index.ts";
import type { Batch } from "./batch.ts";

/** Batches that came ahead of a gap, bounded in bytes; beyond, what comes is not taken, and must be asked for again. */
export class Waiting {
  readonly #bytesMax: number;
  readonly #byOrigin = new Map<ReplicaId, Batch[]>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False: there was no room. One that is held already is taken and makes no difference. */
  add(batch: Batch): boolean {
    const held = this.#byOrigin.get(batch.origin) ?? [];
    const place = held.findIndex(({ from }) => from >= batch.from);
    if (held[place]?.from === batch.from) return true;
    if (this.#bytes + batch.bytes.length > this.#bytesMax) return false;
    this.#bytes += batch.bytes.length;
    held.splice(place < 0 ? held.length : place, 0, batch);
    this.#byOrigin.set(batch.origin, held);
    return true;
  }

  /** The next batch of `origin` for who stands at `at`; those that are of no use any more go. */
  take(origin: ReplicaId, at: number): Batch | undefined {
    const held = this.#byOrigin.get(origin);
    while (held !== undefined && held.length > 0 && held[0]!.from <= at + 1) {
      const batch = held.shift()!;
      this.#bytes -= batch.bytes.length;
      if (held.length === 0) this.#byOrigin.delete(origin);
      if (batch.to > at) return batch;
    }
    return undefined;
  }

  origins(): Iterable<ReplicaId> {
    return this.#byOrigin.keys();
  }

  /** Drops what waits of an origin; how many batches that were. */
  drop(origin: ReplicaId): number {
    const held = this.#byOrigin.get(origin) ?? [];
    for (const { bytes } of held) this.#bytes -= bytes.length;
    this.#byOrigin.delete(origin);
    return held.length;
  }
}
