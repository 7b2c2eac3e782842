import type { CrdtDelta } from "../../wire/gen/cloudstate/crdt_pb.ts";
import { contentOf, Crdt, type CrdtType, deltaOf } from "./crdt.ts";

/** A counter that only grows. */
export class GCounter extends Crdt {
  #value = 0n;
  #increment = 0n;

  get value(): bigint {
    return this.#value;
  }

  /** Adds `by`; throws a RangeError when it is negative. */
  increment(by: bigint | number = 1n): void {
    const amount = BigInt(by);
    if (amount < 0n) throw new RangeError(`a GCounter cannot be incremented by ${amount.toString()}; use a PNCounter`);
    this.#value += amount;
    this.#increment += amount;
    this.touch();
  }

  override pending(): CrdtDelta | undefined {
    return this.#increment === 0n ? undefined : delta(this.#increment);
  }

  override nothing(): CrdtDelta {
    return delta(0n);
  }

  override commit(): void {
    this.#increment = 0n;
  }

  override rollback(): void {
    this.#value -= this.#increment;
    this.#increment = 0n;
  }

  override receive(change: CrdtDelta): void {
    this.#value += contentOf(change, "gcounter").increment;
  }
}

/** The type of counters that only grow. */
export const gCounter: CrdtType<GCounter> = { create: () => new GCounter() };

function delta(increment: bigint): CrdtDelta {
  return deltaOf({ case: "gcounter", value: { increment } });
}
