import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";

/**
 * How a message is spoken: by its fields, a wrapper as what it wraps, an Any by its type, or by the library, which knows the
 * other well-known types.
 */
export type MessageKind = "fields" | "wrapper" | "any" | "library";

/** How the values of a field, an item of a list, or the value in a map are spoken: exactly one of the three is there. */
export interface ValuePlan {
  readonly scalar: ScalarType | undefined;
  readonly enum: EnumPlan | undefined;
  readonly message: DescMessage | undefined;
  /** The wire type of one value. */
  readonly wireType: number;
}

/** Names and numbers of an enum. */
export interface EnumPlan {
  readonly type: DescEnum;
  readonly isNull: boolean;
  readonly numbers: ReadonlyMap<string, number>;
  /** With their quotes. */
  readonly names: ReadonlyMap<number, Buffer>;
}

/** One field of a message. */
export interface FieldPlan {
  readonly field: DescField;
  /** Its place among the fields in order of number. */
  readonly index: number;
  readonly number: number;
  readonly shape: "one" | "list" | "map";
  readonly isPacked: boolean;
  /** Whether it is written, and printed, also when it has its default: it has presence of its own. */
  readonly hasPresence: boolean;
  readonly value: ValuePlan;
  /** Of a map. */
  readonly key: ValuePlan | undefined;
  /** The bit that stands for its oneof, behind those of the fields; -1 without one. */
  readonly oneof: number;
  /** `"name":` */
  readonly prefix: Buffer;
  /** `"name":0`, or what else is printed of an unset field; undefined when nothing is. */
  readonly unset: Buffer | undefined;
}

/** A message by its fields. */
export interface MessagePlan {
  readonly type: DescMessage;
  readonly kind: MessageKind;
  /** In order of number. */
  readonly fields: readonly FieldPlan[];
  /** By field number, where numbers are small; otherwise `sparse` has it. */
  readonly dense: readonly (FieldPlan | undefined)[];
  readonly sparse: ReadonlyMap<number, FieldPlan>;
  /** By both names. */
  readonly byName: ReadonlyMap<string, FieldPlan>;
  /** By the length of the names in bytes. */
  readonly byLength: readonly (readonly NamedField[] | undefined)[];
  /** How many bits tell which fields and oneofs were seen. */
  readonly bits: number;
}

/** A field under one of its names. */
export interface NamedField {
  readonly name: Buffer;
  readonly field: FieldPlan;
}

/** The plans of message types, made when they are first wanted. */
export class JsonPlans {
  readonly #plans = new Map<DescMessage, MessagePlan>();
  readonly #enums = new Map<DescEnum, EnumPlan>();

  of(type: DescMessage): MessagePlan {
    const known = this.#plans.get(type);
    if (known) return known;
    const plan = this.#planOf(type);
    this.#plans.set(type, plan);
    return plan;
  }

  /** The field's message as if it had no other field. */
  alone(field: DescField): MessagePlan {
    const whole = this.of(field.parent);
    const only = { ...whole.byName.get(field.name)!, index: 0, oneof: -1 };
    return { ...whole, kind: "fields", fields: [only], dense: [], sparse: new Map([[only.number, only]]) };
  }

  #planOf(type: DescMessage): MessagePlan {
    const oneofs = type.oneofs;
    const fields = [...type.fields]
      .sort((left, right) => left.number - right.number)
      .map((field, index) =>
        this.#fieldOf(field, index, field.oneof ? type.fields.length + oneofs.indexOf(field.oneof) : -1),
      );
    const byName = new Map<string, FieldPlan>();
    for (const field of fields) byName.set(field.field.jsonName, field);
    for (const field of fields) byName.set(field.field.name, field);
    const byLength: NamedField[][] = [];
    for (const [text, field] of byName) {
      const name = Buffer.from(text);
      (byLength[name.length] ??= []).push({ name, field });
    }
    const dense: FieldPlan[] = [];
    for (const field of fields) if (field.number < denseMax) dense[field.number] = field;
    return {
      type,
      kind: kindOf(type),
      fields,
      dense,
      sparse: new Map(fields.map((field) => [field.number, field])),
      byName,
      byLength,
      bits: fields.length + oneofs.length,
    };
  }

  #fieldOf(field: DescField, index: number, oneof: number): FieldPlan {
    const value = this.#valueOf(field);
    const prefix = `${JSON.stringify(field.jsonName)}:`;
    const hasPresence = field.presence !== FeatureSet_FieldPresence.IMPLICIT;
    const zero = field.fieldKind === "list" ? "[]" : field.fieldKind === "map" ? "{}" : zeroOf(value);
    return {
      field,
      index,
      number: field.number,
      shape: field.fieldKind === "list" || field.fieldKind === "map" ? field.fieldKind : "one",
      isPacked: field.fieldKind === "list" && field.packed,
      hasPresence,
      value,
      key: field.fieldKind === "map" ? scalarPlan(field.mapKey) : undefined,
      oneof,
      prefix: Buffer.from(prefix),
      unset:
        hasPresence && field.fieldKind !== "list" && field.fieldKind !== "map" ? undefined : Buffer.from(prefix + zero),
    };
  }

  #valueOf(field: DescField): ValuePlan {
    if (field.message) return { ...noValue, message: field.message, wireType: 2 };
    if (field.enum) return { ...noValue, enum: this.#enumOf(field.enum), wireType: 0 };
    return scalarPlan(field.scalar);
  }

  #enumOf(type: DescEnum): EnumPlan {
    const known = this.#enums.get(type);
    if (known) return known;
    const isNull = type.typeName === "google.protobuf.NullValue";
    const nameOf = (name: string) => Buffer.from(isNull ? "null" : JSON.stringify(name));
    const plan: EnumPlan = {
      type,
      isNull,
      numbers: new Map([
        ...type.values.map(({ jsonName, number }) => [jsonName, number] as const),
        ...type.values.map(({ name, number }) => [name, number] as const),
      ]),
      names: new Map(Object.values(type.value).map(({ jsonName, number }) => [number, nameOf(jsonName)])),
    };
    this.#enums.set(type, plan);
    return plan;
  }
}

const noValue = { scalar: undefined, enum: undefined, message: undefined } as const;

function scalarPlan(scalar: ScalarType): ValuePlan {
  return { ...noValue, scalar, wireType: wireTypeOf(scalar) };
}

const denseMax = 1024;

const others: ReadonlySet<string> = new Set(
  ["Timestamp", "Duration", "FieldMask", "Struct", "Value", "ListValue"].map((name) => `google.protobuf.${name}`),
);

function kindOf(type: DescMessage): MessageKind {
  const { typeName } = type;
  if (typeName === "google.protobuf.Any") return "any";
  if (others.has(typeName) || isOld(type)) return "library";
  return wrappers.test(typeName) ? "wrapper" : "fields";
}

/** Whether a type's JSON is not that of its fields, so that it stands in a member `value` of an Any. */
export function hasOwnJson({ typeName }: DescMessage): boolean {
  return typeName === "google.protobuf.Any" || others.has(typeName) || wrappers.test(typeName);
}

const wrappers = /^google\.protobuf\.(Double|Float|U?Int(32|64)|Bool|String|Bytes)Value$/;

/** What only proto2 has, or editions that imitate it. */
function isOld(type: DescMessage): boolean {
  return (
    type.proto.extensionRange.length > 0 ||
    type.fields.some(
      (field) =>
        field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED ||
        (field.enum !== undefined && !field.enum.open) ||
        ("delimitedEncoding" in field && field.delimitedEncoding),
    )
  );
}

function wireTypeOf(scalar: ScalarType): number {
  switch (scalar) {
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return 1;
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return 2;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return 5;
    case ScalarType.BOOL:
    case ScalarType.INT32:
    case ScalarType.INT64:
    case ScalarType.UINT32:
    case ScalarType.UINT64:
    case ScalarType.SINT32:
    case ScalarType.SINT64:
      return 0;
  }
}

/** The JSON of a value's default. */
export function zeroOf(value: ValuePlan): string {
  if (value.enum) {
    const first = value.enum.type.values[0]?.number ?? 0;
    return value.enum.names.get(first)?.toString() ?? String(first);
  }
  switch (value.scalar) {
    case ScalarType.BOOL:
      return "false";
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return '""';
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return '"0"';
    default:
      return "0";
  }
}

/** Which fields and oneofs of one message were met, by their bits. */
export class Seen {
  #mask = 0;
  readonly #many: Uint8Array | undefined;

  constructor(bits: number) {
    this.#many = bits > 31 ? new Uint8Array(bits) : undefined;
  }

  /** False when it was met before. */
  add(bit: number): boolean {
    if (this.#many) {
      if (this.#many[bit] === 1) return false;
      this.#many[bit] = 1;
      return true;
    }
    const before = this.#mask;
    this.#mask |= 1 << bit;
    return this.#mask !== before;
  }
}
