import { CrdtClock, type CrdtDelta } from "../../wire/gen/cloudstate/crdt_pb.ts";
import type { Serializer } from "../serializer.ts";
import { contentOf, Crdt, type CrdtType, deltaOf } from "./crdt.ts";

/** How a write is stamped: by time (the last or the first write wins), or by a number of the function's own. */
export type RegisterClock =
  | { readonly type: "default" }
  | { readonly type: "reverse" }
  | { readonly type: "custom"; readonly value: bigint }
  | { readonly type: "custom-auto-increment"; readonly value: bigint };

/** One value, of which the write with the highest stamp wins. Its first value is a write as well. */
export class LWWRegister<T> extends Crdt {
  readonly #serializer: Serializer<T>;
  #value: T;
  /** The value before the command, when it wrote. */
  #before: { readonly value: T } | undefined;
  #clock: RegisterClock = { type: "default" };
  /** The initial value was not told yet. */
  #untold = true;

  constructor(serializer: Serializer<T>, initial: T) {
    super();
    this.#serializer = serializer;
    this.#value = initial;
  }

  get value(): T {
    return this.#value;
  }

  set value(value: T) {
    this.set(value);
  }

  /** Writes `value`, stamped by `clock`; a write counts also when the value is the same. */
  set(value: T, clock: RegisterClock = { type: "default" }): void {
    this.#before ??= { value: this.#value };
    this.#value = value;
    this.#clock = clock;
    this.touch();
  }

  override pending(): CrdtDelta | undefined {
    return this.#before || this.#untold ? this.nothing() : undefined;
  }

  override nothing(): CrdtDelta {
    return deltaOf({
      case: "lwwregister",
      value: {
        value: this.#serializer.toAny(this.#value),
        clock: clocks[this.#clock.type],
        customClockValue: "value" in this.#clock ? this.#clock.value : 0n,
      },
    });
  }

  override commit(): void {
    this.#before = undefined;
    this.#clock = { type: "default" };
    this.#untold = false;
  }

  override rollback(): void {
    if (this.#before) this.#value = this.#before.value;
    this.#before = undefined;
    this.#clock = { type: "default" };
  }

  override receive(change: CrdtDelta): void {
    const { value } = contentOf(change, "lwwregister");
    if (value) this.#value = this.#serializer.fromAny(value);
    this.#untold = false;
  }
}

const clocks = {
  default: CrdtClock.DEFAULT,
  reverse: CrdtClock.REVERSE,
  custom: CrdtClock.CUSTOM,
  "custom-auto-increment": CrdtClock.CUSTOM_AUTO_INCREMENT,
} as const;

/** The type of registers that begin with `initial`. */
export function lwwRegister<T>(serializer: Serializer<T>, initial: T): CrdtType<LWWRegister<T>> {
  return { create: () => new LWWRegister(serializer, initial) };
}
