import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromBinary, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { createDynamicJson } from "../lib/wire/dynamic-json.ts";
import { shopRoutes } from "./http-harness.ts";

const { registry } = shopRoutes().table;
const type = registry.getMessage("shop.Everything")!;
const codec = createDynamicJson(registry).message(type);
const parse = (text: string) => codec.parse(Buffer.from(text));
/** What the library says of the bytes that a document became. */
const read = (text: string): JsonValue => toJson(type, fromBinary(type, parse(text)), { registry });

const floatMax = 3.4028234663852886e38;

suite("JSON at its edges", () => {
  const accepted: readonly (readonly [text: string, json: JsonValue])[] = [
    ['{"the_int64":9223372036854775807}', { theInt64: "9223372036854775807" }],
    ['{"theInt64":-9223372036854775808}', { theInt64: "-9223372036854775808" }],
    ['{"theUint64":18446744073709551615}', { theUint64: "18446744073709551615" }],
    ['{"theInt64":9007199254740993.0}', { theInt64: "9007199254740993" }],
    ['{"theInt64":9007199254740993e0}', { theInt64: "9007199254740993" }],
    ['{"theInt64":90071992547409.93E+2}', { theInt64: "9007199254740993" }],
    ['{"doubleList":[0.3,12.35,-0.07,5e-324,123456789012345678]}', null],
    ['{"theInt64":"1e3"}', { theInt64: "1000" }],
    ['{"theInt64":0e999999999}', {}],
    ['{"theInt32":-0}', {}],
    ['{"maybeInt32":-0}', { maybeInt32: 0 }],
    ['{"theInt32":12300e-2}', { theInt32: 123 }],
    ['{"theDouble":12345678901234567890}', { theDouble: 12345678901234567000 }],
    ['{"aStruct":{"n":12345678901234567890}}', { aStruct: { n: 12345678901234567000 } }],
    ['{"aInt64Value":9007199254740993}', { aInt64Value: "9007199254740993" }],
    [
      '{"aAny":{"value":9007199254740993,"@type":"a/google.protobuf.Int64Value"}}',
      { aAny: { "@type": "a/google.protobuf.Int64Value", value: "9007199254740993" } },
    ],
    ['{"theString":"\\ud83d\\ude00\\u0000"}', { theString: "😀\u0000" }],
    ['{"\\u0074heString":"x"}', { theString: "x" }],
    ['{"theString":null,"choiceText":null,"choiceNumber":1}', { choiceNumber: "1" }],
    ['{"aValue":null,"choiceNull":null}', { aValue: null, choiceNull: null }],
    ['{"valueList":[null],"stringMap":{"":"","__proto__":"x"}}', null],
    ['{"theDouble":"-1.5E3","theFloat":"Infinity","doubleList":["NaN",-0]}', null],
    ['{"color":"BLUE","colorList":[1,"NONE",-2147483648]}', { color: "BLUE", colorList: ["RED", "NONE", -2147483648] }],
    [
      '{"theFloat":3.4028235e+38,"floatList":["-3.4028235e+38",3.40282356e38]}',
      { theFloat: floatMax, floatList: [-floatMax, floatMax] },
    ],
    ['{"aTimestamp":"2020-02-29T23:59:59.5-23:59"}', { aTimestamp: "2020-03-01T23:58:59.500Z" }],
    ['{"aTimestamp":"2000-02-29T00:00:00Z"}', { aTimestamp: "2000-02-29T00:00:00Z" }],
    ['{"aTimestamp":"0004-02-29T00:00:00Z"}', { aTimestamp: "0004-02-29T00:00:00Z" }],
    ['{"aDuration":"-315576000000.999999999s"}', { aDuration: "-315576000000.999999999s" }],
    ['{"aStruct":{"\\ud83d\\ude00":"\\ud83d\\ude00"}}', { aStruct: { "😀": "😀" } }],
    [" \t\r\n{ } \n", {}],
  ];
  for (const [text, json] of accepted) {
    test(`takes ${text.slice(0, 70)}`, () => {
      const byLibrary = () => toJson(type, fromJson(type, JSON.parse(text) as JsonValue));
      assert.deepEqual(read(text), json ?? byLibrary());
    });
  }

  test("keeps a negative zero, in and out", () => {
    const bytes = parse('{"theDouble":-0,"theFloat":-0.0,"doubleList":[-0]}');
    assert.match(codec.print(bytes), /"theDouble":-0,"theFloat":-0,.*"doubleList":\[-0\]/);
  });

  test("keeps it in values that have no type of their own", () => {
    for (const value of ['"aStruct":{"a\\"b":[-0,{"c":-0.0}],"d":0}', '"aValue":-0', '"aListValue":[-0,null,"-0"]']) {
      assert.ok(codec.print(parse(`{${value}}`)).includes(value.replace("-0.0", "-0")), value);
    }
  });

  test("prints floats as short as they are exact", () => {
    const text = codec.print(parse('{"theFloat":0.1,"theDouble":0.1,"floatList":[16777216,1e30]}'));
    assert.match(text, /"theDouble":0\.1,"theFloat":0\.1,.*"floatList":\[16777216,1e\+30\]/);
  });

  const refused: readonly (readonly [text: string, message: string | RegExp])[] = [
    ["", "not JSON: there is nothing at its end of 0 bytes"],
    ["{} {}", "not JSON: more than one value at byte 3 of 5 bytes"],
    ['{"theInt32":1,}', /^not JSON: expected the name of a member at byte 14/],
    ['{"theInt32":01}', /^not JSON: expected ',' or '}' at byte 13/],
    ['{"theInt32":1.}', /^not JSON: expected a digit at byte 14/],
    ['{"theInt32":+1}', "theInt32: expected int32, got +1"],
    ['{"int32List":[1,]}', "not JSON: expected a value at byte 16 of 18 bytes"],
    ['{"theString":"\\x"}', /^not JSON: /],
    ['{"theString":"a\nb"}', /^not JSON: a control character in a string at byte 15/],
    ['{"theString":"a', /^not JSON: a string that is not closed at its end/],
    ['{"theString":"\\ud800"}', "theString: half of a surrogate pair is no text"],
    ['{"theString":"x","the_string":"y"}', "the_string: is set twice"],
    ['{"theString":"x","theString":"x"}', "theString: is set twice"],
    ['{"inner":{},"inner":{}}', "inner: is set twice"],
    ['{"stringMap":{"a":"","\\u0061":""}}', 'stringMap["a"]: is in the map twice'],
    ['{"int32Map":{"1":1,"01":1}}', 'int32Map["01"]: is in the map twice'],
    ['{"boolMap":{"yes":true}}', 'boolMap["yes"]: expected true or false as a key'],
    ['{"int64Map":{"x":1}}', 'int64Map["x"]: expected int64, got "x"'],
    [
      '{"messageMap":{"a b":{"innerList":[{},{"theBool":1}]}}}',
      'messageMap["a b"].innerList[1].theBool: expected bool, got 1',
    ],
    ['{"stringMap":{"a":null}}', 'stringMap["a"]: a value cannot be null'],
    ['{"int32List":[null]}', "int32List[0]: an item cannot be null"],
    ['{"choiceText":"a","choiceColor":0}', "choiceColor: another field of the oneof choice is set already"],
    ['{"theInt32":2147483648}', "theInt32: expected int32, got 2147483648"],
    ['{"theUint32":-1}', "theUint32: expected uint32, got -1"],
    ['{"theUint32":"-1"}', 'theUint32: expected uint32, got "-1"'],
    ['{"theInt64":9223372036854775808}', /^theInt64: expected int64/],
    ['{"theInt32":1.5}', /^theInt32: expected int32/],
    ['{"theUint64":18446744073709551616}', /^theUint64: expected uint64/],
    ['{"theInt64":1e400}', /^theInt64: expected int64/],
    [`{"theInt64":${"9".repeat(200_000)}}`, /^theInt64: expected int64, got 9{64}…$/],
    [`{"theInt64":"${"9".repeat(200_000)}"}`, /^theInt64: expected int64, got "9{64}…"$/],
    ['{"theInt64":1e-999999999}', /^theInt64: expected int64/],
    ['{"theDouble":1e400}', "theDouble: expected double, got 1e400"],
    ['{"theDouble":"0x10"}', /^theDouble: expected double/],
    ['{"theDouble":""}', /^theDouble: expected double/],
    ['{"theDouble":NaN}', "theDouble: expected double, got NaN"],
    ['{"theFloat":3.5e38}', "theFloat: expected float, got 3.5e38"],
    ['{"theFloat":"-3.4028236e38"}', 'theFloat: expected float, got "-3.4028236e38"'],
    ['{"theString":12345678901234567890}', "theString: expected string, got 12345678901234567890"],
    ['{"theBytes":"a"}', "theBytes: expected base64"],
    ['{"theBytes":"a b="}', "theBytes: expected base64"],
    ['{"theBool":"true"}', 'theBool: expected bool, got "true"'],
    ['{"color":"GREEN"}', 'color: shop.Color has no value "GREEN"'],
    ['{"color":2147483648}', /^color: expected shop\.Color/],
    ['{"inner":[]}', "inner: expected an object, got an array"],
    ['{"aTimestamp":"x"}', 'aTimestamp: expected google.protobuf.Timestamp, got "x"'],
    ['{"aTimestamp":5}', "aTimestamp: expected google.protobuf.Timestamp, got 5"],
    ['{"aTimestamp":{}}', "aTimestamp: expected google.protobuf.Timestamp, got an object"],
    ['{"aTimestamp":"0000-01-01T00:00:00Z"}', /^aTimestamp: must be from 0001-01-01T00:00:00Z/],
    ['{"aDuration":"x"}', 'aDuration: expected google.protobuf.Duration, got "x"'],
    ['{"aDuration":"1.0000000001s"}', 'aDuration: expected google.protobuf.Duration, got "1.0000000001s"'],
    ['{"aDuration":"1s."}', 'aDuration: expected google.protobuf.Duration, got "1s."'],
    ['{"aDuration":"315576000001s"}', 'aDuration: expected google.protobuf.Duration, got "315576000001s"'],
    ['{"aMask":["a"]}', "aMask: expected google.protobuf.FieldMask, got an array"],
    ['{"aMask":"a_b"}', "aMask: path names must be lowerCamelCase"],
    ['{"aStruct":"x"}', 'aStruct: expected google.protobuf.Struct, got "x"'],
    ['{"aStruct":[]}', "aStruct: expected google.protobuf.Struct, got an array"],
    ['{"aListValue":{}}', "aListValue: expected google.protobuf.ListValue, got an object"],
    ['{"aValue":"\\udead"}', "aValue: half of a surrogate pair is no text"],
    ['{"aStruct":{"a":[{"b":"\\uD83D x"}]}}', "aStruct: half of a surrogate pair is no text"],
    ['{"aStruct":{"\\ude00\\ud83d":1}}', "aStruct: half of a surrogate pair is no text"],
    ['{"aListValue":["\\udfff"]}', "aListValue: half of a surrogate pair is no text"],
    ['{"aMask":"a\\ud800"}', "aMask: half of a surrogate pair is no text"],
    ['{"aStruct":{"a":1e400}}', /^aStruct: /],
    ['{"aStruct":{"a":}}', /^not JSON: /],
    ['{"aAny":{"theInt32":1}}', "aAny: expected a member @type, which names the type"],
    ['{"aAny":{"@type":"x/no.Such"}}', `aAny.@type: the function's descriptors have no message "x/no.Such"`],
    ['{"aAny":{"@type":"x/shop.Everything","@type":"x/shop.Everything"}}', /^aAny\.@type: /],
    ['{"aAny":{"@type":"x/shop.Everything","theInt32":"x"}}', 'aAny.theInt32: expected int32, got "x"'],
    ['{"aAny":{"@type":"x/google.protobuf.Duration"}}', "aAny.value: is missing"],
    ["null", "expected an object, got null"],
    ["\ufeff{}", /^expected an object/],
  ];
  for (const [text, message] of refused) {
    test(`refuses ${text.slice(0, 70)}`, () => {
      assert.throws(() => parse(text), { name: "MassaError", code: "invalid", message });
    });
  }

  const noTimes = [
    "2020-02-30T00:00:00Z",
    "2021-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2020-04-31T00:00:00+01:00",
    "2020-12-31T24:00:00Z",
    "2020-12-31T23:60:00Z",
    "2016-12-31T23:59:60Z",
    "2020-01-01T00:00:00+24:00",
  ];
  for (const time of noTimes) {
    test(`refuses the time ${time}, wherever it stands`, () => {
      const reason = `expected google.protobuf.Timestamp, got "${time}"`;
      const places = [
        [`{"aTimestamp":"${time}"}`, "aTimestamp"],
        [`{"timestampList":["2020-01-01T00:00:00Z","${time}"]}`, "timestampList[1]"],
        [`{"timestampMap":{"k":"${time}"}}`, 'timestampMap["k"]'],
        [`{"aAny":{"@type":"x/google.protobuf.Timestamp","value":"${time}"}}`, "aAny.value"],
      ] as const;
      for (const [text, place] of places) {
        assert.throws(() => parse(text), { code: "invalid", message: `${place}: ${reason}` });
      }
    });
  }

  test("shows a document that is no message of a well-known type", () => {
    const timestamps = createDynamicJson(registry).message(registry.getMessage("google.protobuf.Timestamp")!);
    assert.throws(() => timestamps.parse(Buffer.from("null")), {
      code: "invalid",
      message: "expected google.protobuf.Timestamp, got null",
    });
  });

  test("takes the largest float as it prints it, and the closest ones", () => {
    const types = createDynamicJson(registry);
    const text = '"theFloat":3.4028235e+38';
    const bytes = codec.parse(Buffer.from(`{${text}}`));
    assert(codec.print(bytes).includes(text));
    const wrapped = types.message(registry.getMessage("google.protobuf.FloatValue")!);
    assert.equal(wrapped.print(wrapped.parse(Buffer.from('"3.40282356e38"'))), "3.4028235e+38");
  });

  test("refuses what is no UTF-8", () => {
    const bytes = Buffer.from('{"theString":"?"}').map((byte) => (byte === 0x3f ? 0xff : byte));
    assert.throws(() => codec.parse(bytes), { code: "invalid", message: "not JSON: it is no UTF-8" });
  });

  test("refuses nesting, of any kind and any depth, at once", () => {
    const bombs = [
      ["[", "]"],
      ['{"inner":', "}"],
      ['{"innerList":[', "]}"],
      ['{"aStruct":{"a":', "}}"],
      ['{"messageMap":{"a":', "}}"],
      ['{"aAny":{"@type":"x/shop.Everything","aAny":', "}}"],
      ['{"aAny":{"@type":"x/google.protobuf.Any","value":', "}}"],
    ] as const;
    for (const [open, close] of bombs) {
      for (const text of [open.repeat(100_000), `${open.repeat(100_000)}1${close.repeat(100_000)}`]) {
        assert.throws(() => parse(text), { name: "MassaError", code: "invalid" });
      }
    }
    for (const field of ["aStruct", "aValue", "aListValue", "aAny"]) {
      for (const [open, close] of [
        ["[", "]"],
        ['{"a":', "}"],
      ] as const) {
        for (const depth of [900, 100_000]) {
          const text = `{"${field}":${open.repeat(depth)}1${close.repeat(depth)}}`;
          assert.throws(() => parse(text), { name: "MassaError", code: "invalid" });
        }
      }
    }
    assert.deepEqual(read(`${'{"inner":'.repeat(90)}{}${"}".repeat(90)}`) !== null, true);
  });

  test("counts the messages of which a value is made, so that whoever decodes them can", () => {
    const nested = (levels: number) => `{"aValue":${'[{"a":'.repeat(levels)}1${"}]".repeat(levels)}}`;
    assert.notEqual(read(nested(19)), null);
    assert.throws(() => parse(nested(20)), { code: "invalid", message: /^aValue: nested more than 100 messages deep/ });
  });

  test("refuses to print messages that are nested too deep, and goes on afterwards", () => {
    const inner = type.fields.find(({ name }) => name === "inner")!;
    let bytes: Uint8Array = new Uint8Array(0);
    for (let depth = 0; depth < 200; depth += 1) {
      const length = bytes.length;
      const varint = length < 0x80 ? [length] : [(length & 0x7f) | 0x80, length >> 7];
      const tag = (inner.number << 3) | 2;
      bytes = Buffer.concat([Buffer.from([(tag & 0x7f) | 0x80, tag >> 7, ...varint]), bytes]);
    }
    assert.throws(() => codec.print(bytes), { code: "protocol", message: /more than 100 deep/ });
    assert.match(codec.print(new Uint8Array(0)), /^\{"theDouble":0,/);
  });

  test("prints of a oneof, and of a key of a map, only what came last", () => {
    const printed = (...pieces: readonly string[]) => codec.print(Buffer.concat(pieces.map(parse)));
    const choice = printed('{"choiceText":"a"}', '{"choiceNumber":1}');
    assert(choice.includes('"choiceNumber":"1"') && !choice.includes("choiceText"), choice);
    assert.match(printed('{"stringMap":{"k":"a"}}', '{"stringMap":{"k":"b"}}'), /"stringMap":\{"k":"b"\}/);
  });

  test("leaves an empty value out of an Any, whose bytes may be compared", () => {
    const any = Buffer.concat([Buffer.from([0x0a, 17]), Buffer.from("x/shop.Everything")]);
    assert.deepEqual(
      Buffer.from(parse('{"aAny":{"@type":"x/shop.Everything","theInt32":0}}')).subarray(-any.length),
      any,
    );
  });

  test("refuses to print strings that are no UTF-8", () => {
    const bytes = Buffer.from(parse('{"theString":"ab"}'));
    bytes[bytes.length - 1] = 0xff;
    assert.throws(() => codec.print(bytes), { code: "protocol", message: /no UTF-8/ });
  });

  test("speaks messages of proto2 with their extensions, inside of an Any too", () => {
    const options = createDynamicJson(registry).message(registry.getMessage("google.protobuf.MethodOptions")!);
    const text = '{"deprecated":true,"[google.api.http]":{"get":"/x","additionalBindings":[]}}';
    const parsed = JSON.parse(options.print(options.parse(Buffer.from(text)))) as object;
    assert.deepEqual(parsed, {
      deprecated: true,
      uninterpretedOption: [],
      "[google.api.http]": { selector: "", get: "/x", body: "", responseBody: "", additionalBindings: [] },
    });
    const any = parse('{"aAny":{"deprecated":true,"@type":"x/google.protobuf.MethodOptions"}}');
    assert.match(codec.print(any), /"aAny":\{"@type":"x\/google\.protobuf\.MethodOptions","deprecated":true,/);
    assert.throws(() => parse('{"aAny":{"@type":"x/google.protobuf.MethodOptions","deprecated":1}}'), {
      code: "invalid",
      message: /^aAny: .*deprecated/,
    });
  });

  test("refuses to print an Any of a type that nobody knows", () => {
    const bytes = parse('{"aAny":{"@type":"x/shop.Everything"}}');
    const unknown = Buffer.from(bytes).toString("latin1").replace("x/shop.Everything", "x/shop.Everythinh");
    assert.throws(() => codec.print(Buffer.from(unknown, "latin1")), {
      code: "protocol",
      message: /x\/shop\.Everythinh/,
    });
  });
});
