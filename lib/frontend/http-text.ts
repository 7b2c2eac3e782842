import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { base64Decode, type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** Writes the value of one field, its tag included, from the text of a path or query. Throws a `TextError`. */
export type WriteText = (writer: BinaryWriter, text: string) => void;

/** A text that is no value of the field; the message says why, without the name of the field. */
export class TextError extends Error {}

/** How a message becomes bytes from a text that is its JSON string. */
export type ReadQuoted = (type: DescMessage, text: string) => Uint8Array;

/**
 * How the texts of a field are written: scalars, enums by name or number, wrappers, and other well-known types whose JSON is
 * a string. Undefined for fields that have no text.
 */
export function textWriterOf(field: DescField, readQuoted: ReadQuoted): WriteText | undefined {
  const { number } = field;
  if (field.fieldKind === "map") return undefined;
  if (field.enum) return enumWriter(number, field.enum);
  if (field.message) return messageWriter(number, field.message, readQuoted);
  return scalarWriter(number, field.scalar);
}

function enumWriter(number: number, type: DescEnum): WriteText {
  const numbers = new Map(type.values.map((value) => [value.name, value.number]));
  return (writer, text) => {
    const value =
      numbers.get(text) ?? Number(integerIn(text, -0x8000_0000n, 0x7fff_ffffn, `name or number of ${type.typeName}`));
    if (!type.open && type.value[value] === undefined) refuse(text, `name or number of ${type.typeName}`);
    writer.tag(number, WireType.Varint).int32(value);
  };
}

const quotedTypes: ReadonlySet<string> = new Set([
  "google.protobuf.Timestamp",
  "google.protobuf.Duration",
  "google.protobuf.FieldMask",
]);

function messageWriter(number: number, type: DescMessage, readQuoted: ReadQuoted): WriteText | undefined {
  if (quotedTypes.has(type.typeName)) {
    return (writer, text) => {
      writer.tag(number, WireType.LengthDelimited).bytes(readQuoted(type, text));
    };
  }
  const wrapped = wrappedScalar(type);
  if (wrapped === undefined) return undefined;
  const write = scalarWriter(1, wrapped);
  return (writer, text) => {
    writer.tag(number, WireType.LengthDelimited).fork();
    write(writer, text);
    writer.join();
  };
}

function wrappedScalar({ typeName, fields: [first] }: DescMessage): ScalarType | undefined {
  return /^google\.protobuf\.(Double|Float|U?Int(32|64)|Bool|String|Bytes)Value$/.test(typeName)
    ? first?.scalar
    : undefined;
}

function scalarWriter(number: number, scalar: ScalarType): WriteText {
  const varint = (write: WriteText): WriteText => tagged(number, WireType.Varint, write);
  const bit32 = (write: WriteText): WriteText => tagged(number, WireType.Bit32, write);
  const bit64 = (write: WriteText): WriteText => tagged(number, WireType.Bit64, write);
  switch (scalar) {
    case ScalarType.STRING:
      return tagged(number, WireType.LengthDelimited, (writer, text) => writer.string(text));
    case ScalarType.BYTES:
      return tagged(number, WireType.LengthDelimited, (writer, text) => writer.bytes(bytesOf(text)));
    case ScalarType.BOOL:
      return varint((writer, text) => writer.bool(boolOf(text)));
    case ScalarType.INT32:
      return varint((writer, text) => writer.int32(int32Of(text)));
    case ScalarType.SINT32:
      return varint((writer, text) => writer.sint32(int32Of(text)));
    case ScalarType.UINT32:
      return varint((writer, text) => writer.uint32(uint32Of(text)));
    case ScalarType.INT64:
      return varint((writer, text) => writer.int64(int64Of(text)));
    case ScalarType.SINT64:
      return varint((writer, text) => writer.sint64(int64Of(text)));
    case ScalarType.UINT64:
      return varint((writer, text) => writer.uint64(uint64Of(text)));
    case ScalarType.FIXED32:
      return bit32((writer, text) => writer.fixed32(uint32Of(text)));
    case ScalarType.SFIXED32:
      return bit32((writer, text) => writer.sfixed32(int32Of(text)));
    case ScalarType.FIXED64:
      return bit64((writer, text) => writer.fixed64(uint64Of(text)));
    case ScalarType.SFIXED64:
      return bit64((writer, text) => writer.sfixed64(int64Of(text)));
    case ScalarType.FLOAT:
      return bit32((writer, text) => writer.float(floatOf(text, Math.fround)));
    case ScalarType.DOUBLE:
      return bit64((writer, text) => writer.double(floatOf(text, Number)));
  }
}

function tagged(number: number, wireType: WireType, write: WriteText): WriteText {
  return (writer, text) => {
    writer.tag(number, wireType);
    write(writer, text);
  };
}

function int32Of(text: string): number {
  return Number(integerIn(text, -0x8000_0000n, 0x7fff_ffffn, "32-bit integer"));
}

function uint32Of(text: string): number {
  return Number(integerIn(text, 0n, 0xffff_ffffn, "unsigned 32-bit integer"));
}

function int64Of(text: string): bigint {
  return integerIn(text, -(1n << 63n), (1n << 63n) - 1n, "64-bit integer");
}

function uint64Of(text: string): bigint {
  return integerIn(text, 0n, (1n << 64n) - 1n, "unsigned 64-bit integer");
}

function integerIn(text: string, min: bigint, max: bigint, what: string): bigint {
  if (!/^[+-]?\d{1,40}$/.test(text)) refuse(text, what);
  const value = BigInt(text.startsWith("+") ? text.slice(1) : text);
  return value < min || value > max ? refuse(text, what) : value;
}

/** `rounded` makes of a number the closest one that the field can hold. */
function floatOf(text: string, rounded: (value: number) => number): number {
  if (/^(NaN|[+-]?Infinity)$/.test(text)) return Number(text);
  if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) refuse(text, "number");
  const value = rounded(Number(text));
  return Number.isFinite(value) ? value : refuse(text, "number in range");
}

function boolOf(text: string): boolean {
  switch (text.toLowerCase()) {
    case "true":
      return true;
    case "false":
      return false;
    default:
      return refuse(text, "bool: true or false");
  }
}

function bytesOf(text: string): Uint8Array {
  try {
    return base64Decode(text);
  } catch {
    // What it throws says no more than that.
    return refuse(text, "base64");
  }
}

const shownMax = 64;

function refuse(text: string, what: string): never {
  const shown = text.length > shownMax ? `${text.slice(0, shownMax)}…` : text;
  throw new TextError(`${JSON.stringify(shown)} is no ${what}`);
}
