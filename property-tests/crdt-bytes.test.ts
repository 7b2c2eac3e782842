import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Entry, NumberedChange } from "../crdt/index.ts";
import {
  anyOf,
  decodeChanges,
  decodeClock,
  decodeRepair,
  elementOf,
  encodeChanges,
  encodeClock,
  encodeRepair,
  MalformedBytes,
} from "../crdt/index.ts";

const replica = "5d41402abc4b2a76b9719d911017c592";
const decoders = [decodeChanges, decodeRepair, decodeClock];

const sample: NumberedChange[] = [
  {
    entity: "cart-1",
    from: 3,
    to: 6,
    drops: [
      { replica, number: 1 },
      { replica: "B", number: 2 ** 53 - 1 },
    ],
    adds: [
      { dot: { replica, number: 3 }, path: ["ormap", "k", "orset", "12:a/b:\u00ff"], content: { type: "element" } },
      {
        dot: { replica, number: 4 },
        path: ["ormap", "k", "pncounter"],
        content: { type: "amount", amount: -(2n ** 64n) },
      },
      { dot: { replica, number: 5 }, path: ["lwwregister"], content: { type: "value", stamp: -7n, value: "ключ" } },
      { dot: { replica, number: 6 }, path: ["vote"], content: { type: "vote", vote: true } },
    ],
  },
];

test("a change of a counter in a large map takes few bytes, and a replica's id is written once", () => {
  const adds = [7, 8].map((number): Entry => {
    return {
      dot: { replica, number },
      path: ["ormap", "4:a/b:key", "pncounter"],
      content: { type: "amount", amount: 1n },
    };
  });
  const bytes = encodeChanges([{ entity: "cart-1", from: 7, to: 8, drops: [], adds }]);
  assert.ok(bytes.length < 70, `${bytes.length} bytes`);
});

test("every beginning of a message, and every message with more behind it, is malformed", () => {
  const clock = new Map([
    ["A", 1],
    [replica, 2 ** 40],
  ]);
  const messages = [
    encodeChanges(sample),
    encodeRepair({ entries: sample[0]!.adds, kept: sample[0]!.drops }),
    encodeClock(clock),
  ];
  for (const [index, message] of messages.entries()) {
    const decode = decoders[index]!;
    decode(message);
    for (let length = 0; length < message.length; length += 1) {
      assert.throws(() => decode(message.subarray(0, length)), MalformedBytes, `${length} bytes of ${message.length}`);
    }
    assert.throws(() => decode(Uint8Array.of(...message, 0)), MalformedBytes);
  }
});

test("hostile bytes give an error or the one message that they are", () => {
  const flips = fc.array(fc.record({ at: fc.nat(400), to: fc.nat(255) }), { minLength: 1, maxLength: 4 });
  const damaged = flips.map((list) => {
    const bytes = encodeChanges(sample);
    for (const { at, to } of list) bytes[at % bytes.length] = to;
    return bytes;
  });
  const small = fc.array(fc.nat(12), { maxLength: 40 }).map((list) => Uint8Array.from(list));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), small, damaged), (bytes) => {
      assertOneWay(bytes, decodeChanges, encodeChanges);
      assertOneWay(bytes, decodeRepair, encodeRepair);
      assertOneWay(bytes, decodeClock, encodeClock);
    }),
    { numRuns: 5_000 },
  );
});

function assertOneWay<T>(
  bytes: Uint8Array,
  decode: (bytes: Uint8Array) => T,
  encode: (decoded: T) => Uint8Array,
): void {
  let decoded: T;
  try {
    decoded = decode(bytes);
  } catch (refusal) {
    assert.ok(refusal instanceof MalformedBytes, String(refusal));
    return;
  }
  assert.deepEqual(encode(decoded), bytes, "accepted, but not how it would be written");
}

test("counts and lengths that promise more than there is are refused at once", () => {
  const huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
  for (const decode of decoders) {
    assert.throws(() => decode(Uint8Array.from(huge)), /ends in the middle/);
    assert.throws(() => decode(Uint8Array.of(1, 0, ...huge)), MalformedBytes);
    assert.throws(() => decode(Uint8Array.from({ length: 64 }, () => 0xff)), /above 2\^53/);
  }
});

/** One change of entity "e" with this entry. */
function changeOf(entry: Partial<Entry>): Uint8Array {
  const adds: Entry[] = [{ dot: { replica: "A", number: 1 }, path: ["flag"], content: { type: "flag" }, ...entry }];
  return encodeChanges([{ entity: "e", from: 1, to: 1, drops: [], adds }]);
}

/** 2^53 − 1. */
const top = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];

/** The string "A" in full, as the first of its message. */
const a = [0, 1, 65];
const none = [0];

test("what is not written in the one way, or says what cannot be, is refused with its reason", () => {
  const refused: readonly (readonly [(bytes: Uint8Array) => unknown, readonly number[], RegExp])[] = [
    [decodeClock, [2, ...a, 1, ...a, 1], /in full for the second time/],
    [decodeClock, [1, 0, 8, ...Array.from("0123abcd", (digit) => digit.charCodeAt(0)), 1], /digits in the wrong form/],
    [decodeClock, [1, 2, 1, 0x61, 1], /digits in the wrong form/],
    [decodeClock, [1, 1, 1, 65, 0, 1], /wider form/],
    [decodeClock, [1, 5, 1], /no string 2 yet/],
    [decodeClock, [0x80, 0], /longer than it need be/],
    [decodeClock, [1, ...a, 0], /a clock out of order/],
    [decodeClock, [2, 0, 1, 66, 1, ...a, 1], /a clock out of order/],
    [decodeRepair, [1, ...a, 0, ...none], /an origin without dots/],
    [decodeRepair, [1, ...a, 2, 0, ...none], /a dot numbered 0/],
    [decodeRepair, [1, ...a, 4, 1, 0, ...none], /dots out of order/],
    [decodeRepair, [2, ...a, 2, 1, 3, 2, 2, ...none], /one origin in two groups/],
    [decodeRepair, [...none, 2, 2, ...a, 1, 1, 5, 2, 3, 1, 1, 5], /dots out of order/],
    [decodeRepair, [...none, 1, 2, ...a, 0, 1, 5], /a dot numbered 0/],
    [decodeRepair, [...none, 1, 6, ...a, 1, 1, 5], /no content 6/],
    [decodeRepair, [...none, 1, 2, ...a, 1, 1, 8], /an unknown type/],
    [decodeRepair, [...none, 1, 5, ...a, 1, 1, 7, 2], /a vote of 2/],
    [decodeRepair, [...none, 1, 3, ...a, 1, 1, 1, 0x80, 0], /longer than it need be/],
    [decodeRepair, [...none, 1, 3, ...a, 1, 1, 1, ...Array.from({ length: 19 }, () => 0xff), 1], /more than 133 bits/],
    [decodeRepair, [...none, 1, 4, ...a, 1, 1, 4, 0, 0, 9, 65], /ends in the middle/],
    [decodeChanges, [1, ...a, 0, 0, 0, 0], /a run from 0/],
    [decodeChanges, [1, ...a, ...top, ...top, 0, 0], /a run from 9007199254740991 to/],
  ];
  for (const [decode, bytes, reason] of refused) {
    assert.throws(() => decode(Uint8Array.from(bytes)), { name: "MalformedBytes", message: reason });
  }
});

test("contents stand only where their type holds them", () => {
  const amount = { type: "amount", amount: 1n } as const;
  for (const entry of [
    { path: ["flag"], content: amount },
    { path: ["gcounter"], content: { type: "amount", amount: -1n } },
    { path: ["ormap"], content: amount },
    { path: ["ormap", "k"], content: { type: "presence" } },
    { path: ["orset"], content: { type: "element" } },
    { path: ["orset", "x"], content: { type: "presence" } },
    { path: ["flag", "x"], content: { type: "element" } },
    { path: ["orset", "x", "flag"], content: { type: "flag" } },
    { path: [], content: { type: "presence" } },
  ] as const) {
    let bytes: Uint8Array;
    try {
      bytes = changeOf(entry);
    } catch (error) {
      assert.ok(error instanceof RangeError);
      continue;
    }
    assert.throws(() => decodeChanges(bytes), MalformedBytes, entry.path.join("/"));
  }
  assert.equal(decodeChanges(changeOf({ path: ["ormap", "k", "gset"], content: { type: "presence" } })).length, 1);
});

test("paths are at most 66 steps deep", () => {
  const nested = (depth: number): string[] => [...Array.from({ length: depth }, () => ["ormap", "k"]).flat(), "flag"];
  assert.equal(decodeChanges(changeOf({ path: nested(32) })).length, 1);
  assert.throws(() => decodeChanges(changeOf({ path: nested(33) })), /a path of 67 steps/);
});

test("runs overlap never, and an add has a number of its run", () => {
  const run = (from: number, to: number): NumberedChange => ({ entity: "e", from, to, drops: [], adds: [] });
  assert.throws(() => decodeChanges(encodeChanges([run(1, 3), run(3, 4)])), /a run from 3 after one to 3/);
  assert.throws(() => decodeChanges(encodeChanges([run(0, 3)])), MalformedBytes);
  const adds: Entry[] = [{ dot: { replica: "A", number: 5 }, path: ["flag"], content: { type: "flag" } }];
  assert.throws(() => decodeChanges(encodeChanges([{ ...run(1, 4), adds }])), /outside its run: 5/);
});

test("dots named after messages can be written, and are refused unless asked for", () => {
  const name = { source: "s", offset: 2n ** 63n, index: 2 };
  const named: NumberedChange = {
    entity: "e",
    from: 1,
    to: 1,
    drops: [
      { replica: "s", number: 1 },
      { ...name, index: 1 },
    ],
    adds: [{ dot: name, path: ["flag"], content: { type: "flag" } }],
  };
  const bytes = encodeChanges([named]);
  assert.throws(() => decodeChanges(bytes), /named after a message, which this version does not take/);
  assert.deepEqual(decodeChanges(bytes, "any"), [named]);
});

test("the identity of an Any keeps URL and bytes exactly", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme" }),
      fc.uint8Array(),
      fc.string(),
      fc.uint8Array(),
      (url, value, otherUrl, other) => {
        const element = elementOf(url, value);
        assert.deepEqual(anyOf(element), { typeUrl: url, value });
        const equal = url === otherUrl && Buffer.compare(value, other) === 0;
        assert.equal(element === elementOf(otherUrl, other), equal);
      },
    ),
  );
  assert.notEqual(elementOf("p", Uint8Array.of(0x0a, 0)), elementOf("p", new Uint8Array()), "nothing is normalised");
  for (const odd of ["", "x", "3:a", "1:ab", "1:a:\u0100", "-1::", "1e0:a:"])
    assert.throws(() => anyOf(odd), RangeError, odd);
  const large = new Uint8Array(1_000_000).fill(200);
  assert.deepEqual(anyOf(elementOf("large", large)).value, large);
});
