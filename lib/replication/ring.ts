import { decodeChanges, type NumberedChange, type ReplicaId } from "../../crdt/index.ts";
import type { Batch } from "./batch.ts";

/** What a batch costs beside its bytes, roughly: objects and places. */
const overheadBytes = 256;

/** A batch as its bytes alone, since its changes in memory take ten times as much, and are hardly ever asked for. */
class HeldBatch implements Batch {
  readonly origin: ReplicaId;
  readonly from: number;
  readonly to: number;
  readonly bytes: Uint8Array;

  constructor({ origin, from, to, bytes }: Batch) {
    this.origin = origin;
    this.from = from;
    this.to = to;
    this.bytes = bytes;
  }

  get changes(): readonly NumberedChange[] {
    return decodeChanges(this.bytes);
  }
}

/** The latest batches of every origin, those received included, bounded in bytes: the oldest to come is the first to go. */
export class Ring {
  readonly #bytesMax: number;
  readonly #byOrigin = new Map<ReplicaId, HeldBatch[]>();
  /** All of them in the order in which they came; up to `#first` they are gone. */
  #order: HeldBatch[] = [];
  #first = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Each origin's batches come in order; numbers between two may be missing. */
  add(added: Batch): void {
    const batch = new HeldBatch(added);
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
    const found: HeldBatch[] = [];
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
function firstAfter(held: readonly HeldBatch[], after: number): number {
  let low = 0;
  let high = held.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (held[middle]!.to <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
