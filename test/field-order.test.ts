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
  const rivalry = { isSingle: (number: number) => number === 2, oneofOf: () => undefined };
  assert.deepEqual(inFieldOrder(message([2, 1], [3, 4], [2, 3], [3, 5]), rivalry), message([2, 3], [3, 4], [3, 5]));
  assert.deepEqual(inFieldOrder(message([1, 1], [2, 2], [2, 3]), rivalry), message([1, 1], [2, 3]));
});

test("of a oneof only the field that was given last is kept, with all its pieces", () => {
  const choice = {};
  const rivalry = { isSingle: () => false, oneofOf: (number: number) => (number < 4 ? choice : undefined) };
  const kept = message([1, 2], [1, 3], [4, 5]);
  assert.deepEqual(inFieldOrder(message([3, 1], [1, 2], [4, 5], [1, 3]), rivalry), kept);
  assert.deepEqual(inFieldOrder(message([1, 1], [2, 2], [4, 5]), rivalry), message([2, 2], [4, 5]));
  assert.equal(inFieldOrder(kept, rivalry), kept);
});
