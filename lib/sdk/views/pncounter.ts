import type { CrdtDelta } from "../../wire/gen/cloudstate/crdt_pb.ts";
import { contentOf, Crdt, type CrdtType, deltaOf } from "./crdt.ts";

/** A counter that goes up and down. */
export class PNCounter extends Crdt {
  #value = 0n;
  #change = 0n;

  get value(): bigint {
    return this.#value;
  }

  increment(by: bigint | number = 1n): void {
    this.#value += BigInt(by);
    this.#change += BigInt(by);
    this.touch();
  }

  decrement(by: bigint | number = 1n): void {
    this.increment(-BigInt(by));
  }

  override pending(): CrdtDelta | undefined {
    return this.#change === 0n ? undefined : delta(this.#change);
  }

  override nothing(): CrdtDelta {
    return delta(0n);
  }

  override commit(): void {
    this.#change = 0n;
  }

  override rollback(): void {
    this.#value -= this.#change;
    this.#change = 0n;
  }

  override receive(change: CrdtDelta): void {
    this.#value += contentOf(change, "pncounter").change;
  }
}

/** The type of counters that go up and down. */
export const pnCounter: CrdtType<PNCounter> = { create: () => new PNCounter() };

function delta(change: bigint): CrdtDelta {
  return deltaOf({ case: "pncounter", value: { change } });
}
