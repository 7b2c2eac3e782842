import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";

/** How values of one type travel: as elements, keys, register values, states and events. Equal values must give equal bytes. */
export interface Serializer<T> {
  toAny(value: T): Any;
  /** Whether `any` holds this type. */
  accepts(any: Any): boolean;
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

/** Numbers of single precision, as `p.cloudstate.io/float`. */
export const float: Serializer<number> = primitive<number>("float", 0, WireType.Bit32, {
  write: (writer, value) => writer.float(value),
  read: (reader) => reader.float(),
});

/** Numbers, as `p.cloudstate.io/double`. */
export const double: Serializer<number> = primitive<number>("double", 0, WireType.Bit64, {
  write: (writer, value) => writer.double(value),
  read: (reader) => reader.double(),
});

/** Messages of one type, as `type.googleapis.com/<full name>`. */
export function message<Desc extends DescMessage>(schema: Desc): Serializer<MessageShape<Desc>> {
  const accepts = ({ typeUrl }: Any) => typeUrl.slice(typeUrl.indexOf("/") + 1) === schema.typeName;
  return {
    toAny: (value) => packed(schema, value),
    accepts,
    fromAny(any) {
      if (!accepts(any)) throw mismatch(schema.typeName, any);
      return fromBinary(schema, any.value);
    },
  };
}

/** JSON documents of one type name, as `json.cloudstate.io/<name>`, with sorted keys. What is read is not checked. */
export function json<T>(name: string): Serializer<T> {
  const typeUrl = `json.cloudstate.io/${name}`;
  const accepts = (any: Any) => any.typeUrl === typeUrl;
  return {
    toAny(value) {
      if (value === undefined) throw new TypeError(`a value for ${typeUrl} is undefined, which no JSON document is`);
      return { ...text.toAny(JSON.stringify(value, sorted)), typeUrl };
    },
    accepts,
    fromAny(any) {
      if (!accepts(any)) throw mismatch(typeUrl, any);
      return JSON.parse(text.fromAny({ ...any, typeUrl: primitiveUrl("string") })) as T;
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
  const typeUrl = primitiveUrl(name);
  const accepts = (any: Any) => any.typeUrl === typeUrl || any.typeUrl === "";
  return {
    accepts,
    toAny(value) {
      const writer = new BinaryWriter();
      if (value !== initial && !(value instanceof Uint8Array && value.length === 0)) {
        field.write(writer.tag(1, wireType), value);
      }
      return create(AnySchema, { typeUrl, value: writer.finish() });
    },
    fromAny(any) {
      if (!accepts(any)) throw mismatch(typeUrl, any);
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

function primitiveUrl(name: string): string {
  return `p.cloudstate.io/${name}`;
}

/** A replacer that gives the members of objects in one order. */
function sorted(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)));
}

function mismatch(wanted: string, any: Any): TypeError {
  return new TypeError(`expected ${wanted}, but the value is of type ${any.typeUrl || "(none)"}`);
}
