import { addAmount, sumOf } from "./amount.ts";
import { Refusal } from "./operation.ts";
import { defineType } from "./type.ts";

const largest = 2n ** 63n - 1n;

/** A counter that only grows; shown as a uint64, which wraps. */
export const gcounter = defineType({
  kind: "gcounter",
  title: "GCounter",
  below: "nothing",
  admits: (content) => content.type === "amount" && content.amount >= 0n,
  mutate(draft, path, { increment }) {
    if (increment < 0n || increment > largest) {
      throw new Refusal(`Cannot decrement a GCounter, requested amount was ${BigInt.asIntN(64, increment)}`);
    }
    addAmount(draft, path, increment);
  },
  view: (reading, path) => ({ type: "gcounter", value: BigInt.asUintN(64, sumOf(reading, path)) }),
  initial: ({ value }) => ({ type: "gcounter", increment: value }),
  diff(believed, now) {
    if (now.value < believed.value) return "restart";
    return now.value === believed.value ? undefined : { type: "gcounter", increment: now.value - believed.value };
  },
  believe(value = { type: "gcounter", value: 0n }, { increment }) {
    value.value = BigInt.asUintN(64, value.value + increment);
    return value;
  },
  copy: (value) => ({ ...value }),
  describe: ({ value }) => `GCounter(${value})`,
});
