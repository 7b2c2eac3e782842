import type { Clock, ReplicaId } from "../../crdt/index.ts";
import type { Ask, More, Slice } from "./frames.ts";
import type { Part, Reading } from "./reading.ts";
import { cutReading } from "./reading.ts";
import type { Rules } from "./rules.ts";

/** The bounds of the readings that one group sends. */
export interface ServingLimits {
  /** Readings on their way at once (`replication.readings`); beyond, an asker is told to come back. */
  readonly readingsMax: number;
  /** Encoded bytes of a slice, about. */
  readonly sliceBytes: number;
  /** Slices sent ahead of those that have arrived. */
  readonly windowSlices: number;
  /** How long a reading is held for an asker that says nothing. */
  readonly silentMs: number;
}

interface Outgoing {
  readonly asker: ReplicaId;
  readonly ask: number;
  readonly number: number;
  readonly reading: Reading;
  readonly slices: Iterator<readonly Part[], void>;
  next: IteratorResult<readonly Part[], void>;
  index: number;
  taken: number;
  atMs: number;
}

/** The readings of one group that are being sent, each by its own number. */
export class Serving {
  readonly #limits: ServingLimits;
  readonly #rules: Rules;
  readonly #outgoing = new Map<ReplicaId, Outgoing>();
  #number = 0;

  constructor(limits: ServingLimits, rules: Rules) {
    this.#limits = limits;
    this.#rules = rules;
  }

  get size(): number {
    return this.#outgoing.size;
  }

  /** Whether a reading for this asker can begin; those whose askers are silent make room. */
  hasRoom(asker: ReplicaId, nowMs: number): boolean {
    for (const [other, { atMs }] of this.#outgoing) {
      if (other === asker || nowMs - atMs > this.#limits.silentMs) this.#outgoing.delete(other);
    }
    return this.#outgoing.size < this.#limits.readingsMax;
  }

  begin(asker: ReplicaId, { id }: Ask, reading: Reading, nowMs: number): void {
    this.#number += 1;
    const slices = cutReading(reading, this.#limits.sliceBytes);
    const next = slices.next();
    const place = { asker, ask: id, number: this.#number, index: 0, taken: 0, atMs: nowMs };
    this.#outgoing.set(asker, { ...place, reading, slices, next });
  }

  /** The asker has come so far; false if that is no reading of now. */
  more(asker: ReplicaId, { reading, taken }: More, nowMs: number): boolean {
    const outgoing = this.#outgoing.get(asker);
    if (outgoing?.number !== reading) return false;
    outgoing.taken = Math.max(outgoing.taken, taken);
    outgoing.atMs = nowMs;
    return true;
  }

  /** The next slice that may be sent to the asker; `sent` must follow if it was. */
  peek(asker: ReplicaId, group: string, isReady: boolean, now: Clock): Slice | undefined {
    const outgoing = this.#outgoing.get(asker);
    if (outgoing === undefined || outgoing.next.done === true) return undefined;
    if (outgoing.index >= outgoing.taken + this.#limits.windowSlices) return undefined;
    const { ask, number, reading, index, next } = outgoing;
    const follower = this.#follower(outgoing);
    const isFirst = index === 0;
    const clock = this.#rules.clockOfReading ? (isFirst ? reading.clock : new Map<string, number>()) : now;
    return {
      type: "slice",
      group,
      id: ask,
      reading: number,
      index,
      isLast: follower.done === true,
      isReady,
      clock,
      kept: isFirst ? reading.kept : new Map(),
      parts: next.value,
    };
  }

  /** What `peek` gave is on its way. */
  sent(asker: ReplicaId): void {
    const outgoing = this.#outgoing.get(asker)!;
    outgoing.next = this.#follower(outgoing);
    this.#ahead.delete(outgoing);
    outgoing.index += 1;
    if (outgoing.next.done === true) this.#outgoing.delete(asker);
  }

  /** The asker is gone. */
  drop(asker: ReplicaId): void {
    this.#outgoing.delete(asker);
  }

  readonly #ahead = new WeakMap<Outgoing, IteratorResult<readonly Part[], void>>();

  /** The slice after the next one, cut once: whether there is one says which slice is the last. */
  #follower(outgoing: Outgoing): IteratorResult<readonly Part[], void> {
    let follower = this.#ahead.get(outgoing);
    if (follower === undefined) this.#ahead.set(outgoing, (follower = outgoing.slices.next()));
    return follower;
  }
}
