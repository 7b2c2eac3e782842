import type { Slice } from "./frames.ts";
import type { Reading } from "./reading.ts";
import { gatherReading } from "./reading.ts";
import type { Rules } from "./rules.ts";

/** The slices of one reading until all are there. */
export class Gathering {
  readonly #slices = new Map<number, Slice>();
  readonly #rules: Rules;
  #reading: number | undefined;
  #last: number | undefined;
  #taken = 0;

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  /** How many of the first slices are there. */
  get taken(): number {
    return this.#taken;
  }

  get reading(): number {
    return this.#reading ?? 0;
  }

  get isComplete(): boolean {
    return this.#last !== undefined && this.#taken > this.#last;
  }

  /** Takes a slice in; false if it belongs to another reading, or is there already. */
  take(slice: Slice): boolean {
    this.#reading ??= slice.reading;
    if (this.#rules.tellsReadings && slice.reading !== this.#reading) return false;
    if (this.#slices.has(slice.index)) return false;
    this.#slices.set(slice.index, slice);
    if (slice.isLast) this.#last = slice.index;
    while (this.#slices.has(this.#taken)) this.#taken += 1;
    return true;
  }

  /** The whole reading; only once it is complete. */
  finish(): Reading {
    const first = this.#slices.get(0)!;
    const last = this.#slices.get(this.#last!)!;
    const clock = this.#rules.clockOfReading ? first.clock : last.clock;
    return gatherReading(
      clock,
      first.kept,
      [...this.#slices.values()].flatMap(({ parts }) => parts),
    );
  }
}
