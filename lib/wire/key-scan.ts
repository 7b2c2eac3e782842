import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { ProtobufReader } from "./protobuf-reader.ts";

/** Reads one field that was announced, in the form in which it stands in a key. */
type ReadKey = (reader: ProtobufReader) => string;

/** What a field means to the scan: the part of the key that it is, and the parts that are unset when it is there. */
interface Part {
  readonly own?: { readonly index: number; readonly read: ReadKey };
  readonly unsets: readonly number[];
}

/** Whether a field can be part of a key: singular, and no message. */
export function isKeyable(field: DescField): boolean {
  return field.fieldKind === "scalar" || field.fieldKind === "enum";
}

/**
 * Makes the function that finds the entity key in the bytes of a message, without decoding anything else:
 * the string forms of `keys`, joined by `-` in the order given; of a field that occurs repeatedly the last one counts, an
 * unset one has its default. The function throws `invalid` for bytes that are no message.
 */
export function compileKeyScan(message: DescMessage, keys: readonly DescField[]): (bytes: Uint8Array) => string {
  const [first] = keys;
  if (first === undefined) return () => "";
  const { typeName } = message;
  const parts = partsOf(keys);
  const defaults = keys.map(defaultOf);
  if (keys.length === 1 && parts.size === 1) return scanForOne(typeName, first, defaults[0]!);
  return (bytes) => {
    const values = [...defaults];
    const reader = new ProtobufReader(bytes, typeName, "invalid");
    for (let field = reader.field(); field !== 0; field = reader.field()) {
      const part = parts.get(field);
      for (const index of part?.unsets ?? []) values[index] = defaults[index]!;
      if (part?.own) values[part.own.index] = part.own.read(reader);
      else reader.skip();
    }
    return values.join("-");
  };
}

/** The usual case: one key, in no oneof. */
function scanForOne(typeName: string, key: DescField, unset: string): (bytes: Uint8Array) => string {
  const { number } = key;
  const read = readerOf(key);
  return (bytes) => {
    let value = unset;
    const reader = new ProtobufReader(bytes, typeName, "invalid");
    for (let field = reader.field(); field !== 0; field = reader.field()) {
      if (field === number) value = read(reader);
      else reader.skip();
    }
    return value;
  };
}

/** By field number: the keys, and the fields that share a oneof with one. */
function partsOf(keys: readonly DescField[]): ReadonlyMap<number, Part> {
  const fields = new Set(keys.flatMap((key) => [key, ...(key.oneof?.fields ?? [])]));
  return new Map(
    Array.from(fields, (field) => {
      const index = keys.indexOf(field);
      const unsets = keys.flatMap((key, at) => (key !== field && key.oneof && key.oneof === field.oneof ? [at] : []));
      return [field.number, { unsets, ...(index >= 0 && { own: { index, read: readerOf(field) } }) }] as const;
    }),
  );
}

function defaultOf(field: DescField): string {
  if (field.fieldKind === "enum") return enumName(field, field.getDefaultValue() ?? field.enum.values[0]?.number ?? 0);
  if (field.fieldKind !== "scalar") throw new Error(`${field.toString()} cannot be an entity key`);
  const value = field.getDefaultValue();
  if (value === undefined)
    return field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES ? "" : zeroOf(field.scalar);
  if (value instanceof Uint8Array) return base64(value);
  return field.scalar === ScalarType.FLOAT ? shortestFloat(Number(value)) : String(value);
}

function zeroOf(scalar: ScalarType): string {
  return scalar === ScalarType.BOOL ? "false" : "0";
}

function readerOf(field: DescField): ReadKey {
  if (field.fieldKind === "enum") return (reader) => enumName(field, reader.int32());
  if (field.fieldKind !== "scalar") throw new Error(`${field.toString()} cannot be an entity key`);
  return readers[field.scalar];
}

const readers: Readonly<Record<ScalarType, ReadKey>> = {
  [ScalarType.STRING]: (reader) => reader.text(),
  [ScalarType.BYTES]: (reader) => base64(reader.bytes()),
  [ScalarType.BOOL]: (reader) => String(reader.bool()),
  [ScalarType.INT32]: (reader) => String(reader.int32()),
  [ScalarType.UINT32]: (reader) => String(reader.uint32()),
  [ScalarType.SINT32]: (reader) => String(reader.sint32()),
  [ScalarType.FIXED32]: (reader) => String(reader.fixed32()),
  [ScalarType.SFIXED32]: (reader) => String(reader.sfixed32()),
  [ScalarType.INT64]: (reader) => String(reader.int64()),
  [ScalarType.UINT64]: (reader) => String(reader.uint64()),
  [ScalarType.SINT64]: (reader) => String(reader.sint64()),
  [ScalarType.FIXED64]: (reader) => String(reader.fixed64()),
  [ScalarType.SFIXED64]: (reader) => String(reader.sfixed64()),
  [ScalarType.FLOAT]: (reader) => shortestFloat(reader.float()),
  [ScalarType.DOUBLE]: (reader) => String(reader.double()),
};

function enumName(field: DescField & { readonly fieldKind: "enum" }, number: number): string {
  return field.enum.value[number]?.name ?? String(number);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** The shortest decimal that names this 32-bit float and no other. */
export function shortestFloat(value: number): string {
  for (let digits = 1; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(value);
}
