import assert from "node:assert/strict";
import { test } from "node:test";
import { inFieldOrder } from "../lib/wire/field-order.ts";

/** Varint fields, as [number, value] with both below 16. */
const message = (...fields: readonly (readonly [number, number])[]) =>
  Buffer.from(fields.flatMap(([number, value]) => [number << 3, value]));

test("fields are brought in the order of their numbers, those of one number in theirs", () => {
  assert.deepEqual(inFieldOrder(message([2, 1], [1, 2], [2, 3])), message([1, 2], [2, 1], [2, 3]));
  const ordered = message([1, 1], [2, 2], [2, 3]);
  assert.equal(inFieldOrder(ordered), ordered);
});

test("of a field that occurs once the last value is kept", () => {
  const isSingle = (number: number) => number === 2;
  assert.deepEqual(inFieldOrder(message([2, 1], [3, 4], [2, 3], [3, 5]), isSingle), message([2, 3], [3, 4], [3, 5]));
  assert.deepEqual(inFieldOrder(message([1, 1], [2, 2], [2, 3]), isSingle), message([1, 1], [2, 3]));
});
