import { type DescField, type DescMessage, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import fc from "fast-check";

/** Documents of a message type in proto3 JSON, as encoders write them or as the mapping allows besides. */
export function documents(type: DescMessage, depth = 0): fc.Arbitrary<JsonValue> {
  const own = ownJson[type.typeName];
  if (own) return own;
  const fields = depth < 3 ? type.fields : type.fields.filter(({ message }) => !message);
  return fc
    .subarray(fields, { maxLength: Math.min(fields.length, depth === 0 ? 12 : 4) })
    .map(withoutRivals)
    .chain((chosen) => {
      const members = chosen.map((field) =>
        fc.tuple(fc.constantFrom(field.name, field.jsonName), fieldValues(field, depth)),
      );
      return fc.tuple(...members).map((entries) => Object.fromEntries(entries));
    });
}

/** Of a oneof only one member. */
function withoutRivals(fields: readonly DescField[]): readonly DescField[] {
  return fields.filter((field, at) => !field.oneof || fields.findIndex(({ oneof }) => oneof === field.oneof) === at);
}

function fieldValues(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  const values = singleValues(field, depth);
  switch (field.fieldKind) {
    case "list":
      return fc.array(values, { maxLength: 4 });
    case "map":
      return fc.dictionary(keys(field.mapKey), values, { maxKeys: 4 });
    default:
      return takesNull(field)
        ? values
        : fc.oneof({ weight: 8, arbitrary: values }, { weight: 1, arbitrary: fc.constant(null) });
  }
}

function takesNull({ message, enum: named }: DescField): boolean {
  return message?.typeName === "google.protobuf.Value" || named?.typeName === "google.protobuf.NullValue";
}

function singleValues(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  if (field.message) return documents(field.message, depth + 1);
  if (field.enum?.typeName === "google.protobuf.NullValue") return fc.constant(null);
  if (field.enum) {
    return fc.constantFrom<JsonValue>(...field.enum.values.flatMap(({ name, number }) => [name, number]), 77);
  }
  return scalarValues[field.scalar];
}

function keys(type: ScalarType): fc.Arbitrary<string> {
  if (type === ScalarType.STRING) return texts;
  return scalarValues[type]
    .map((value) => JSON.stringify(value).replaceAll('"', ""))
    .map((text) => (type === ScalarType.BOOL ? text : trimmed(text)));
}

function trimmed(number: string): string {
  return number.replace(/\.0+$/, "");
}

export const texts = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.constantFrom("", "__proto__", 'a"b\\c\n\u2028', "x".repeat(200)),
);

const whole = (min: number, max: number) =>
  fc
    .oneof(fc.integer({ min, max }), fc.constantFrom(min, max, 0))
    .chain((value) => fc.constantFrom<JsonValue>(value, String(value)));
const big = (min: bigint, max: bigint) =>
  fc.oneof(fc.bigInt({ min, max }), fc.constantFrom(min, max, 0n)).map((value): JsonValue => String(value));
const specials = fc.constantFrom<JsonValue>("NaN", "Infinity", "-Infinity", 0, "1.5e3", -0);
const int32 = whole(-0x8000_0000, 0x7fff_ffff);
const uint32 = whole(0, 0xffff_ffff);
const int64 = big(-(1n << 63n), (1n << 63n) - 1n);
const uint64 = big(0n, (1n << 64n) - 1n);
const bytes = fc
  .tuple(fc.uint8Array({ maxLength: 40 }), fc.constantFrom("base64", "base64url"))
  .map(([value, form]): JsonValue => Buffer.from(value).toString(form as "base64"));

const scalarValues: Readonly<Record<ScalarType, fc.Arbitrary<JsonValue>>> = {
  [ScalarType.DOUBLE]: fc.oneof(specials, fc.double({ noNaN: true, noDefaultInfinity: true })),
  // Eighths, of which the shortest decimals are the same as those of doubles.
  [ScalarType.FLOAT]: fc.oneof(
    specials,
    fc.integer({ min: -(1 << 20), max: 1 << 20 }).map((value) => value / 8),
  ),
  [ScalarType.INT32]: int32,
  [ScalarType.SINT32]: int32,
  [ScalarType.SFIXED32]: int32,
  [ScalarType.UINT32]: uint32,
  [ScalarType.FIXED32]: uint32,
  [ScalarType.INT64]: int64,
  [ScalarType.SINT64]: int64,
  [ScalarType.SFIXED64]: int64,
  [ScalarType.UINT64]: uint64,
  [ScalarType.FIXED64]: uint64,
  [ScalarType.BOOL]: fc.boolean(),
  [ScalarType.STRING]: texts,
  [ScalarType.BYTES]: bytes,
};

/** Without -0, which the library does not print. */
const anything = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as JsonValue);
const structs = fc.dictionary(texts, anything, { maxKeys: 3 });
const timestamps = fc
  .date({ min: new Date("0001-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59Z"), noInvalidDate: true })
  .map((date): JsonValue => date.toISOString());

const ownJson: Readonly<Record<string, fc.Arbitrary<JsonValue>>> = {
  "google.protobuf.Timestamp": timestamps,
  "google.protobuf.Duration": fc.constantFrom("1.5s", "-3s", "0.000000001s", "0s"),
  "google.protobuf.FieldMask": fc.constantFrom("a,bC", "", "user.displayName"),
  "google.protobuf.Struct": structs,
  "google.protobuf.Value": anything,
  "google.protobuf.ListValue": fc.array(anything, { maxLength: 3 }),
  "google.protobuf.Int64Value": int64,
  "google.protobuf.StringValue": texts,
  "google.protobuf.DoubleValue": scalarValues[ScalarType.DOUBLE],
  "google.protobuf.BoolValue": fc.boolean(),
  "google.protobuf.BytesValue": bytes,
  "google.protobuf.Any": fc.oneof(
    fc.constant({}),
    timestamps.map((value) => ({ "@type": "type.googleapis.com/google.protobuf.Timestamp", value })),
    int64.map((value) => ({ value, "@type": "type.googleapis.com/google.protobuf.Int64Value" })),
    structs.map((value) => ({ "@type": "type.googleapis.com/google.protobuf.Struct", value })),
    fc.tuple(texts, int32).map(([theString, theInt32]) => ({
      theString,
      "@type": "type.googleapis.com/shop.Everything",
      inner: { theInt32 },
    })),
    timestamps.map((value) => ({
      "@type": "type.googleapis.com/google.protobuf.Any",
      value: { "@type": "type.googleapis.com/google.protobuf.Timestamp", value },
    })),
  ),
};
