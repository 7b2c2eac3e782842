import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  create,
  createFileRegistry,
  type DescField,
  type DescMessage,
  fromBinary,
  ScalarType,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { MassaError } from "../lib/core/errors.ts";
import { compileKeyScan } from "../lib/wire/key-scan.ts";

const enumType = 14;
const messageType = 11;

/** A message `t.M` whose fields have these protobuf types and numbers; fields of `oneofs` share one oneof. */
function messageOf(
  types: readonly number[],
  numbers: readonly number[],
  oneof: ReadonlySet<number> = new Set(),
): DescMessage {
  const typeNames: Readonly<Record<number, string>> = { [enumType]: ".t.E", [messageType]: ".t.M" };
  const file = create(FileDescriptorProtoSchema, {
    name: "t.proto",
    package: "t",
    syntax: "proto3",
    enumType: [{ name: "E", value: ["ZERO", "ONE", "TWO"].map((name, number) => ({ name, number })) }],
    messageType: [
      {
        name: "M",
        field: types.map((type, index) => {
          const field = create(FieldDescriptorProtoSchema, {
            name: `f${index}`,
            number: numbers[index]!,
            label: Label.OPTIONAL,
            ...(typeNames[type] && { typeName: typeNames[type] }),
            ...(oneof.has(index) && { oneofIndex: 0 }),
          });
          return Object.assign(field, { type });
        }),
        oneofDecl: oneof.size > 0 ? [{ name: "o" }] : [],
      },
    ],
  });
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [file] })).getMessage("t.M")!;
}

const int32 = fc.oneof(fc.integer(), fc.constant(0));
const uint32 = fc.oneof(fc.nat(), fc.constant(0xffff_ffff));
const int64 = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
const uint64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const text = fc.oneof(fc.string({ maxLength: 8 }), fc.string({ unit: "grapheme", maxLength: 8 }));

/** How to write a value of each type, and how it is spelled in a key. */
interface Kind<T> {
  readonly values: fc.Arbitrary<T>;
  readonly wire: WireType;
  write(writer: BinaryWriter, value: T): void;
  spell(value: T): string;
}
const kind = <T>(
  values: fc.Arbitrary<T>,
  wire: WireType,
  write: (writer: BinaryWriter, value: T) => unknown,
  spell: (value: T) => string = String,
): Kind<unknown> => ({
  values,
  wire,
  write: (writer, value) => void write(writer, value as T),
  spell: (value) => spell(value as T),
});
const { Varint, Bit32, Bit64, LengthDelimited } = WireType;
const kinds: Readonly<Record<number, Kind<unknown>>> = {
  [ScalarType.STRING]: kind(text, LengthDelimited, (writer, value) => writer.string(value)),
  [ScalarType.BYTES]: kind(
    fc.uint8Array({ maxLength: 9 }),
    LengthDelimited,
    (writer, value) => writer.bytes(value),
    (value) => Buffer.from(value).toString("base64"),
  ),
  [ScalarType.BOOL]: kind(fc.boolean(), Varint, (writer, value) => writer.bool(value)),
  [ScalarType.INT32]: kind(int32, Varint, (writer, value) => writer.int32(value)),
  [ScalarType.UINT32]: kind(uint32, Varint, (writer, value) => writer.uint32(value)),
  [ScalarType.SINT32]: kind(int32, Varint, (writer, value) => writer.sint32(value)),
  [ScalarType.FIXED32]: kind(uint32, Bit32, (writer, value) => writer.fixed32(value)),
  [ScalarType.SFIXED32]: kind(int32, Bit32, (writer, value) => writer.sfixed32(value)),
  [ScalarType.INT64]: kind(int64, Varint, (writer, value) => writer.int64(value)),
  [ScalarType.UINT64]: kind(uint64, Varint, (writer, value) => writer.uint64(value)),
  [ScalarType.SINT64]: kind(int64, Varint, (writer, value) => writer.sint64(value)),
  [ScalarType.FIXED64]: kind(uint64, Bit64, (writer, value) => writer.fixed64(value)),
  [ScalarType.SFIXED64]: kind(int64, Bit64, (writer, value) => writer.sfixed64(value)),
  [ScalarType.DOUBLE]: kind(fc.double(), Bit64, (writer, value) => writer.double(value)),
  [enumType]: kind(
    fc.integer({ min: -1, max: 5 }),
    Varint,
    (writer, value) => writer.int32(value),
    (value) => ["ZERO", "ONE", "TWO"][value] ?? String(value),
  ),
};
const types = fc.constantFrom(...Object.keys(kinds).map(Number));

/** A message type with its keys, and encoded messages of it: fields in any order, repeated, missing, unknown ones between. */
const cases = fc.array(types, { minLength: 1, maxLength: 6 }).chain((fieldTypes) =>
  fc
    .record({
      numbers: fc.uniqueArray(fc.integer({ min: 1, max: 300 }), {
        minLength: fieldTypes.length,
        maxLength: fieldTypes.length,
      }),
      isKey: fc.array(fc.boolean(), { minLength: fieldTypes.length, maxLength: fieldTypes.length }),
      oneof: fc.array(fc.nat(fieldTypes.length - 1), { maxLength: 3 }),
      written: fc.array(
        fc.nat(fieldTypes.length).chain((index) => {
          const type = fieldTypes[index];
          return type === undefined
            ? fc.constant({ index, value: undefined })
            : kinds[type]!.values.map((value) => ({ index, value }));
        }),
        { maxLength: 10 },
      ),
    })
    .map(({ numbers, isKey, oneof, written }) => {
      const message = messageOf(fieldTypes, numbers, new Set(oneof));
      const writer = new BinaryWriter();
      for (const { index, value } of written) {
        const type = fieldTypes[index];
        if (type === undefined) writer.tag(1000, LengthDelimited).string("unknown");
        else kinds[type]!.write(writer.tag(numbers[index]!, kinds[type]!.wire), value);
      }
      const keys = message.fields.filter((_, index) => isKey[index]);
      return { message, keys, fieldTypes, bytes: writer.finish() };
    }),
);

const zero: Readonly<Record<number, unknown>> = {
  [ScalarType.STRING]: "",
  [ScalarType.BYTES]: new Uint8Array(0),
  [ScalarType.BOOL]: false,
};

suite("the key scan", () => {
  test("finds what protobuf-es decodes, for all kinds of fields, several keys and oneofs", () => {
    fc.assert(
      fc.property(cases, ({ message, keys, fieldTypes, bytes }) => {
        const decoded = reflect(message, fromBinary(message, bytes));
        const spelled = (field: DescField) => {
          const type = fieldTypes[message.fields.indexOf(field)]!;
          return kinds[type]!.spell(decoded.isSet(field) ? decoded.get(field) : (zero[type] ?? 0));
        };
        assert.equal(compileKeyScan(message, keys)(bytes), keys.map(spelled).join("-"));
      }),
      { numRuns: 500 },
    );
  });

  test("spells floats in the shortest form that names them", () => {
    const message = messageOf([ScalarType.FLOAT], [1]);
    const scan = compileKeyScan(message, message.fields);
    const keyOf = (value: number) => scan(new BinaryWriter().tag(1, Bit32).float(value).finish());
    assert.deepEqual([0.1, 1.5, -2, 16777216, 3.4028235e38].map(keyOf), [
      "0.1",
      "1.5",
      "-2",
      "16777216",
      "3.4028235e+38",
    ]);
    fc.assert(
      fc.property(fc.float({ noDefaultInfinity: true }), (value) =>
        assert.equal(Math.fround(Number(keyOf(value))), value + 0),
      ),
    );
    assert.equal(scan(new Uint8Array(0)), "0");
  });

  test("joins in the order of declaration, whatever the numbers", () => {
    const message = messageOf([ScalarType.STRING, ScalarType.INT32], [9, 2]);
    const bytes = new BinaryWriter().tag(2, Varint).int32(7).tag(9, LengthDelimited).string("a").finish();
    assert.equal(compileKeyScan(message, message.fields)(bytes), "a-7");
    assert.equal(compileKeyScan(message, message.fields)(new Uint8Array(0)), "-0");
    assert.equal(compileKeyScan(message, [])(bytes), "");
  });

  test("refuses bytes that are no message as the caller's mistake, and never anything else", () => {
    const message = messageOf([ScalarType.STRING, ScalarType.DOUBLE, messageType], [1, 2, 3]);
    const scan = compileKeyScan(message, message.fields.slice(0, 2));
    const invalid = { name: "MassaError", code: "invalid", message: /^this is no t\.M: / };
    for (const hostile of [
      "0aff",
      "0a",
      "08",
      "0801",
      "0a01ff",
      "ffffffffffffffffffffff01",
      "00",
      "0f",
      "0a8080808010",
      "130b1b0c",
    ]) {
      assert.throws(() => scan(Buffer.from(hostile, "hex")), invalid, hostile);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          scan(bytes);
        } catch (failure) {
          assert(failure instanceof MassaError && failure.code === "invalid", String(failure));
        }
      }),
      { numRuns: 1000 },
    );
    assert.throws(() => scan(Buffer.alloc(4_000_000, 0x2b)), invalid, "groups as deep as the message is long");
  });
});
