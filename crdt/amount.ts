import type { Draft } from "./draft.ts";
import type { Path } from "./entry.ts";
import type { Reading } from "./tree.ts";

/** Adds to a counter: one dot with a signed amount; nothing to add leaves presence. */
export function addAmount(draft: Draft, path: Path, amount: bigint): void {
  if (amount !== 0n) draft.add(path, { type: "amount", amount });
  draft.settle(path);
}

/** The sum of the live amounts at a path, of any size. */
export function sumOf(reading: Reading, path: Path): bigint {
  let sum = 0n;
  for (const { content } of reading.here(path)) if (content.type === "amount") sum += content.amount;
  return sum;
}
