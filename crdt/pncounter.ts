import { addAmount, sumOf } from "./amount.ts";
import { defineType } from "./type.ts";

/** A counter that goes both ways; shown as an int64, which wraps. */
export const pncounter = defineType({
  kind: "pncounter",
  title: "PNCounter",
  below: "nothing",
  admits: (content) => content.type === "amount",
  mutate: (draft, path, { change }) => addAmount(draft, path, change),
  view: (reading, path) => ({ type: "pncounter", value: BigInt.asIntN(64, sumOf(reading, path)) }),
  initial: ({ value }) => ({ type: "pncounter", change: value }),
  diff(believed, now) {
    if (now.value === believed.value) return undefined;
    return { type: "pncounter", change: BigInt.asIntN(64, now.value - believed.value) };
  },
  believe(value = { type: "pncounter", value: 0n }, { change }) {
    value.value = BigInt.asIntN(64, value.value + change);
    return value;
  },
  copy: (value) => ({ ...value }),
  describe: ({ value }) => `PNCounter(${value})`,
});
