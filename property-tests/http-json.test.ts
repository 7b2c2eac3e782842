import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type DescMessage, fromBinary, fromJson, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { MassaError } from "../lib/core/errors.ts";
import { createDynamicJson } from "../lib/wire/dynamic-json.ts";
import { shopRoutes } from "../test/http-harness.ts";
import { documents } from "./http-arbitrary.ts";

const { table } = shopRoutes();
const { registry } = table;
const everything = registry.getMessage("shop.Everything")!;
const codec = createDynamicJson(registry).message(everything);

/** What the library makes of a document, and of the bytes again. */
const expectedOf = (type: DescMessage, json: JsonValue) => fromJson(type, json, { registry });
const canonical = (bytes: Uint8Array) =>
  Buffer.from(toBinary(everything, fromBinary(everything, bytes))).toString("hex");

/** The library's JSON prints -0 as 0, and 1 and 1.0 are one number. */
const settled = (text: string): unknown => JSON.parse(text.replace(/([:,[])-0(?=[,}\]])/g, "$10"));

suite("JSON against bytes, with every kind of field", () => {
  test("documents become the message that protobuf-es makes of them", () => {
    fc.assert(
      fc.property(documents(everything), fc.constantFrom(0, 2), (json, space) => {
        const text = JSON.stringify(json, undefined, space);
        const expected = expectedOf(everything, JSON.parse(text) as JsonValue);
        assert.equal(canonical(codec.parse(Buffer.from(text))), canonical(toBinary(everything, expected)));
      }),
      { numRuns: 1_500 },
    );
  });

  test("messages are printed as by protobuf-es, and what is printed is the message again", () => {
    fc.assert(
      fc.property(documents(everything), (json) => {
        const message = expectedOf(everything, json);
        const bytes = toBinary(everything, message);
        const text = codec.print(bytes);
        const whole = toJson(everything, message, { registry, alwaysEmitImplicit: true });
        assert.deepEqual(settled(text), settled(JSON.stringify(whole)));
        assert.equal(canonical(codec.parse(Buffer.from(text))), canonical(bytes));
      }),
      { numRuns: 1_500 },
    );
  });

  test("messages in pieces, whose fields come in any order, are printed as a whole", () => {
    fc.assert(
      fc.property(documents(everything), documents(everything), (one, other) => {
        const bytes = Buffer.concat([one, other].map((json) => toBinary(everything, expectedOf(everything, json))));
        // A duration of seconds and nanoseconds that contradict each other has no JSON.
        const text = attempt(() => codec.print(bytes), "protocol");
        const whole = () => toJson(everything, fromBinary(everything, bytes), { registry, alwaysEmitImplicit: true });
        if (text === undefined) assert.throws(whole, /nanos/);
        else assert.deepEqual(settled(text), settled(JSON.stringify(whole())));
      }),
      { numRuns: 500 },
    );
  });

  test("damaged documents are refused as invalid, or are still JSON of some message", () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.constantFrom(...Array.from('{}[]",:0-1.eE\\u\u0000tnfx \u00ff'))), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(documents(everything), damage, (json, changes) => {
        const text = Buffer.from(JSON.stringify(json));
        for (const [at, character] of changes) text[at % text.length] = character.charCodeAt(0);
        const bytes = attempt(() => codec.parse(text), "invalid");
        if (bytes) fromBinary(everything, bytes);
      }),
      { numRuns: 3_000 },
    );
  });

  test("bytes that are no message are refused as such, and never anything else", () => {
    const damaged = fc.tuple(documents(everything), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), damaged), (given) => {
        const bytes = given instanceof Uint8Array ? given : damagedBytes(...given);
        const text = attempt(() => codec.print(bytes), "protocol");
        if (text !== undefined) JSON.parse(text);
      }),
      { numRuns: 3_000 },
    );
  });
});

function damagedBytes(json: JsonValue, changes: readonly (readonly [number, number])[]): Uint8Array {
  const bytes = toBinary(everything, expectedOf(everything, json));
  for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
  return bytes;
}

function attempt<T>(body: () => T, code: string): T | undefined {
  try {
    return body();
  } catch (failure) {
    assert(failure instanceof MassaError, String(failure));
    assert.equal(failure.code, code, failure.message);
    return undefined;
  }
}
