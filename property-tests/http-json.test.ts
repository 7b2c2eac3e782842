import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
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
        // A duration of seconds and nanoseconds that contradict each other has no JSON, nor an Any with another type's bytes.
        const text = attempt(() => codec.print(bytes), "protocol");
        const whole = () => toJson(everything, fromBinary(everything, bytes), { registry, alwaysEmitImplicit: true });
        if (text === undefined) assert.throws(whole);
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

/** What the buffers of readers and printers begin with. */
const bufferBytes = 4 * 1024;

suite("JSON against bytes, of every size around those of the buffers, which grow", () => {
  /** Fields behind `the_string`, with every kind of token: the longer that string is, the earlier of them finds no room. */
  const kinds: JsonValue = {
    theBytes: "AAECAwQ=",
    doubleList: [0.1, 1e300, "NaN", -7],
    floatList: [0.5, "-Infinity"],
    int32List: [-1, 300, 0],
    uint64List: ["18446744073709551615", "1"],
    sint64List: ["-9223372036854775808"],
    fixed32List: [4294967295],
    fixed64List: ["7"],
    boolList: [true, false],
    stringList: ["", "short", "longer than what is copied byte by byte", 'only "short" escapes\\', 'é"\\\n\u0001😀'],
    bytesList: ["", Buffer.alloc(50, 0xfb).toString("base64")],
    maybeInt64: "-1",
    choiceText: "x".repeat(130),
    color: "BLUE",
    colorList: ["RED", -9],
    aTimestamp: "2020-01-02T03:04:05.006Z",
    aStruct: { a: [1, "b", null, { c: true }] },
    aAny: { "@type": "x/google.api.HttpBody", contentType: "a", data: "x".repeat(200) },
    anyList: [{ "@type": "x/google.protobuf.Duration", value: "1.500s" }, {}],
    aEmpty: {},
    aDoubleValue: -1.5,
    uint32Map: { 1: 2 },
    boolMap: { true: true },
    stringMap: { "": "", k: "v".repeat(40) },
    colorMap: { r: "RED", n: -9 },
    timestampMap: { t: "2020-01-02T03:04:05Z" },
  };

  const roomy = createDynamicJson(registry).message(everything);
  roomy.print(roomy.parse(padded({}, 32 * bufferBytes)));

  /** A codec that has made no room for larger messages before makes the same as one that has. */
  function checkPadded(json: JsonValue, length: number): void {
    const fresh = createDynamicJson(registry).message(everything);
    const text = padded(json, length);
    const bytes = roomy.parse(text);
    assert.deepEqual(fresh.parse(text), bytes, `read with ${length} bytes before`);
    assert.equal(fresh.print(bytes), roomy.print(bytes), `printed with ${length} bytes before`);
  }

  const kindBytes = Buffer.byteLength(roomy.print(roomy.parse(padded(kinds, 0))));

  test("whichever byte of whichever token is the first without room", () => {
    for (let less = 0; less < kindBytes; less += 1) checkPadded(kinds, 2 * bufferBytes - less);
  });

  test("whatever the document, and however often they have grown", () => {
    fc.assert(
      fc.property(documents(everything), fc.constantFrom(1, 2, 4, 8), fc.nat(kindBytes), (json, times, less) => {
        checkPadded(json, Math.max(0, times * bufferBytes - less));
      }),
      { numRuns: 1_000 },
    );
  });
});

/** A document with `the_string` of so many bytes, which comes before most fields. */
function padded(json: JsonValue, length: number): Buffer {
  const rest = Object.entries(json as JsonObject).filter(([name]) => !["theString", "the_string"].includes(name));
  return Buffer.from(JSON.stringify({ theString: "p".repeat(length), ...Object.fromEntries(rest) }));
}

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
