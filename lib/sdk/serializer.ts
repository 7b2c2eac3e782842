import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";

/** How values of one type travel as elements, keys and register values. Equal values must give equal bytes. */
export interface Serializer<T> {
  toAny(value: T): Any;
  /** Throws a TypeError when `any` holds another type. */
  fromAny(any: Any): T;
}

/** What an element is equal by: its type URL and its bytes. */
export function identityOf(any: Any): string {
  return `${any.typeUrl.length}:${any.typeUrl}:${Buffer.from(any.value).toString("latin1")}`;
}

/** Strings, as `p.cloudstate.io/string`. */
export const text: Serializer<string> = primitive("string", "", WireType.LengthDelimited, {
  write: (writer, value) => writer.string(value),
  read: (reader) => reader.string(),
});

/** Byte strings, as `p.cloudstate.io/bytes`. */
export const bytes: Serializer<Uint8Array> = primitive<Uint8Array>(
  "bytes",
  new Uint8Array(),
  WireType.LengthDelimited,
  {
    write: (writer, value) => writer.bytes(value),
    read: (reader) => reader.bytes(),
  },
);

/** Truth values, as `p.cloudstate.io/bool`. */
export const bool: Serializer<boolean> = primitive<boolean>("bool", false, WireType.Varint, {
  write: (writer, value) => writer.bool(value),
  read: (reader) => reader.bool(),
});

/** Whole numbers of 32 bits, as `p.cloudstate.io/int32`. */
export const int32: Serializer<number> = primitive<number>("int32", 0, WireType.Varint, {
  write: (writer, value) => writer.int32(value),
  read: (reader) => reader.int32(),
});

/** Whole numbers of 64 bits, as `p.cloudstate.io/int64`. */
export const int64: Serializer<bigint> = primitive<bigint>("int64", 0n, WireType.Varint, {
  write: (writer, value) => writer.int64(value),
  read: (reader) => BigInt(reader.int64()),
});

/** Numbers, as `p.cloudstate.io/double`. */
export const double: Serializer<number> = primitive<number>("double", 0, WireType.Bit64, {
  write: (writer, value) => writer.double(value),
  read: (reader) => reader.double(),
});

/** Messages of one type, as `type.googleapis.com/<full name>`. */
export function message<Desc extends DescMessage>(schema: Desc): Serializer<MessageShape<Desc>> {
  return {
    toAny: (value) => packed(schema, value),
    fromAny(any) {
      if (any.typeUrl.slice(any.typeUrl.indexOf("/") + 1) !== schema.typeName) throw mismatch(schema.typeName, any);
      return fromBinary(schema, any.value);
    },
  };
}

/** A message as an Any, by the convention of all SDKs. */
export function packed<Desc extends DescMessage>(schema: Desc, value: MessageShape<Desc>): Any {
  return create(AnySchema, { typeUrl: `type.googleapis.com/${schema.typeName}`, value: toBinary(schema, value) });
}

interface Field<T> {
  write(writer: BinaryWriter, value: T): unknown;
  read(reader: BinaryReader): T;
}

/** One primitive: a message with the value as field 1, and no bytes at all for the default. */
function primitive<T>(name: string, initial: T, wireType: WireType, field: Field<T>): Serializer<T> {
  const typeUrl = `p.cloudstate.io/${name}`;
  return {
    toAny(value) {
      const writer = new BinaryWriter();
      if (value !== initial && !(value instanceof Uint8Array && value.length === 0)) {
        field.write(writer.tag(1, wireType), value);
      }
      return create(AnySchema, { typeUrl, value: writer.finish() });
    },
    fromAny(any) {
      if (any.typeUrl !== typeUrl && any.typeUrl !== "") throw mismatch(typeUrl, any);
      const reader = new BinaryReader(any.value);
      while (reader.pos < reader.len) {
        const [number, type] = reader.tag();
        if (number === 1 && type === wireType) return field.read(reader);
        reader.skip(type, number);
      }
      return initial;
    },
  };
}

function mismatch(wanted: string, any: Any): TypeError {
  return new TypeError(`expected ${wanted}, but the value is of type ${any.typeUrl || "(none)"}`);
}
