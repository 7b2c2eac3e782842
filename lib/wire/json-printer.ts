import { type DescField, type DescMessage, fromBinary, type Registry, ScalarType, toJson } from "@bufbuild/protobuf";
import { MassaError } from "../core/errors.ts";
import { JsonOutput } from "./json-output.ts";
import {
  type FieldPlan,
  hasOwnJson,
  type JsonPlans,
  type MessagePlan,
  Seen,
  type ValuePlan,
  zeroOf,
} from "./json-plan.ts";
import { stringifyJson } from "./json-stringify.ts";
import { closeBrace, closeBracket, colon, comma, openBrace, openBracket, quote } from "./json-text.ts";
import { shortestFloat } from "./key-scan.ts";
import { ProtobufReader } from "./protobuf-reader.ts";

/** How deep messages may be nested, as in the library. */
const depthMax = 100;

/**
 * The bytes are a message, but not as encoders write it: fields are out of order, or come in pieces, of which the last one
 * counts. Whoever decodes the message whole can print it.
 */
export class OutOfOrder extends Error {}

/** Prints the JSON of messages straight from their bytes: fields in order of number, defaults included. */
export class JsonPrinter {
  readonly #plans: JsonPlans;
  readonly #registry: Registry;
  readonly #out = new JsonOutput();
  #bytes: Buffer = nothing;

  constructor(plans: JsonPlans, registry: Registry) {
    this.#plans = plans;
    this.#registry = registry;
  }

  /** Throws `protocol` for bytes that are no such message, `OutOfOrder` for those that must be decoded whole. */
  message(type: DescMessage, bytes: Uint8Array): string {
    return this.#print(this.#plans.of(type), bytes);
  }

  /** Prints the value of one field of such messages; undefined when it is unset and has no default that would be printed. */
  field(field: DescField): (bytes: Uint8Array) => string | undefined {
    const plan = this.#plans.alone(field);
    const start = 1 + plan.fields[0]!.prefix.toString().length;
    return (bytes) => {
      const text = this.#print(plan, bytes);
      return text === "{}" ? undefined : text.slice(start, -1);
    };
  }

  #print(plan: MessagePlan, bytes: Uint8Array): string {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#out.begin();
    try {
      this.#content(plan, new ProtobufReader(this.#bytes, plan.type.typeName), 0);
      return this.#out.from(0);
    } finally {
      this.#bytes = nothing;
    }
  }

  /** What stands in a message of any kind, up to the reader's end. */
  #content(plan: MessagePlan, reader: ProtobufReader, depth: number): void {
    if (depth >= depthMax) reader.refuse(`messages more than ${depthMax} deep`);
    const out = this.#out;
    switch (plan.kind) {
      case "wrapper":
        this.#wrapper(plan.fields[0]!.value, reader);
        return;
      case "any":
        this.#any(reader, depth);
        return;
      case "library":
        out.text(this.#byLibrary(plan.type, reader));
        return;
      default:
        out.byte(openBrace);
        this.#members(plan, reader, depth, true);
        out.byte(closeBrace);
    }
  }

  /** The members of an object, from the fields up to the reader's end; `isFirst`: nothing stands in the object yet. */
  #members(plan: MessagePlan, reader: ProtobufReader, depth: number, isFirst: boolean): void {
    const { fields, dense, sparse } = plan;
    const out = this.#out;
    let next = 0;
    let isEmpty = isFirst;
    /** The list or map that the last field belongs to, and how many items it has so far. */
    let open: FieldPlan | undefined;
    let items = 0;
    let keys: Set<string> | undefined;
    let seen: Seen | undefined;
    for (let number = reader.field(); number !== 0; number = reader.field()) {
      const field = number < dense.length ? dense[number] : sparse.get(number);
      if (field === undefined) {
        reader.skip();
        continue;
      }
      if (field !== open) {
        if (field.index < next) throw new OutOfOrder();
        if (field.oneof >= 0 && !(seen ??= new Seen(plan.bits)).add(field.oneof)) throw new OutOfOrder();
        if (open) out.byte(closerOf(open));
        for (; next < field.index; next += 1) isEmpty = this.#unset(fields[next]!, isEmpty);
        next = field.index + 1;
        if (!isEmpty) out.byte(comma);
        isEmpty = false;
        out.raw(field.prefix);
        open = field.shape === "one" ? undefined : field;
        if (open) out.byte(open.shape === "list" ? openBracket : openBrace);
        keys = field.shape === "map" ? new Set() : undefined;
        items = 0;
      }
      if (keys) this.#entry(field, keys, reader, depth);
      else if (open) items = this.#items(field.value, items, reader, depth);
      else this.#one(field.value, reader, depth);
    }
    if (open) out.byte(closerOf(open));
    for (; next < fields.length; next += 1) isEmpty = this.#unset(fields[next]!, isEmpty);
  }

  #unset({ unset }: FieldPlan, isEmpty: boolean): boolean {
    if (unset === undefined) return isEmpty;
    if (!isEmpty) this.#out.byte(comma);
    this.#out.raw(unset);
    return false;
  }

  /** One item of a list, or several that are packed; returns how many the list has with them. */
  #items(value: ValuePlan, before: number, reader: ProtobufReader, depth: number): number {
    let items = before;
    const isPacked = value.wireType !== 2 && reader.isDelimited;
    const outer = isPacked ? reader.enterPacked(value.wireType) : reader.end;
    while (!isPacked || reader.at < reader.end) {
      if (items > 0) this.#out.byte(comma);
      this.#one(value, reader, depth);
      items += 1;
      if (!isPacked) return items;
    }
    reader.leave(outer);
    return items;
  }

  #entry({ key, value }: FieldPlan, keys: Set<string>, reader: ProtobufReader, depth: number): void {
    const out = this.#out;
    const outer = reader.enter();
    if (keys.size > 0) out.byte(comma);
    const start = out.length;
    let number = reader.field();
    this.#key(key!, number === 1 ? reader : undefined);
    if (number === 1) number = reader.field();
    const text = out.from(start);
    if (keys.has(text)) throw new OutOfOrder();
    keys.add(text);
    out.byte(colon);
    if (number === 2) this.#one(value, reader, depth);
    else if (number === 0) this.#default(value, reader, depth);
    else throw new OutOfOrder();
    if (reader.field() !== 0) throw new OutOfOrder();
    reader.leave(outer);
  }

  /** A key of a map, always a string in JSON; without a reader the default one. */
  #key(key: ValuePlan, reader: ProtobufReader | undefined): void {
    const isQuoted = quotedScalars.has(key.scalar!);
    if (!isQuoted) this.#out.byte(quote);
    if (reader) this.#one(key, reader, 0);
    else this.#out.ascii(zeroOf(key));
    if (!isQuoted) this.#out.byte(quote);
  }

  /** A value of a map that is not there. */
  #default(value: ValuePlan, reader: ProtobufReader, depth: number): void {
    if (value.message) this.#content(this.#plans.of(value.message), reader, depth + 1);
    else this.#out.ascii(zeroOf(value));
  }

  #one(value: ValuePlan, reader: ProtobufReader, depth: number): void {
    if (value.message) {
      const outer = reader.enter();
      this.#content(this.#plans.of(value.message), reader, depth + 1);
      reader.leave(outer);
    } else if (value.enum) {
      const number = reader.int32();
      const name = value.enum.names.get(number);
      if (name) this.#out.raw(name);
      else this.#out.ascii(String(number));
    } else this.#scalar(value.scalar!, reader);
  }

  #scalar(scalar: ScalarType, reader: ProtobufReader): void {
    const out = this.#out;
    switch (scalar) {
      case ScalarType.STRING: {
        const outer = reader.enter();
        if (!out.string(this.#bytes, reader.at, reader.end)) reader.refuse("a string that is no UTF-8");
        reader.at = reader.end;
        reader.leave(outer);
        return;
      }
      case ScalarType.BYTES: {
        const outer = reader.enter();
        out.quoted(this.#bytes.toString("base64", reader.at, reader.end));
        reader.at = reader.end;
        reader.leave(outer);
        return;
      }
      case ScalarType.BOOL:
        out.ascii(reader.bool() ? "true" : "false");
        return;
      case ScalarType.INT32:
        out.ascii(String(reader.int32()));
        return;
      case ScalarType.UINT32:
        out.ascii(String(reader.uint32()));
        return;
      case ScalarType.SINT32:
        out.ascii(String(reader.sint32()));
        return;
      case ScalarType.FIXED32:
        out.ascii(String(reader.fixed32()));
        return;
      case ScalarType.SFIXED32:
        out.ascii(String(reader.sfixed32()));
        return;
      case ScalarType.INT64:
        out.quoted(String(reader.wholeInt64()));
        return;
      case ScalarType.UINT64:
        out.quoted(String(reader.wholeUint64()));
        return;
      case ScalarType.SINT64:
        out.quoted(String(reader.sint64()));
        return;
      case ScalarType.FIXED64:
        out.quoted(String(reader.fixed64()));
        return;
      case ScalarType.SFIXED64:
        out.quoted(String(reader.sfixed64()));
        return;
      case ScalarType.FLOAT: {
        const value = reader.float();
        out.ascii(numberText(value, shortestFloat(value)));
        return;
      }
      case ScalarType.DOUBLE: {
        const value = reader.double();
        out.ascii(numberText(value, String(value)));
      }
    }
  }

  #wrapper(value: ValuePlan, reader: ProtobufReader): void {
    let isSet = false;
    for (let number = reader.field(); number !== 0; number = reader.field()) {
      if (number !== 1) reader.skip();
      else if (isSet) throw new OutOfOrder();
      else {
        this.#one(value, reader, 0);
        isSet = true;
      }
    }
    if (!isSet) this.#out.ascii(zeroOf(value));
  }

  #any(reader: ProtobufReader, depth: number): void {
    const out = this.#out;
    let number = reader.field();
    const typeUrl = number === 1 ? reader.name() : "";
    if (number === 1) number = reader.field();
    if (number !== 0 && (number !== 2 || typeUrl === "")) throw new OutOfOrder();
    out.byte(openBrace);
    if (typeUrl !== "") {
      const type = this.#registry.getMessage(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
      if (!type)
        throw new MassaError("protocol", `the function's descriptors have no message ${JSON.stringify(typeUrl)}`);
      out.ascii('"@type":');
      out.text(JSON.stringify(typeUrl));
      const outer = number === 2 ? reader.enter() : reader.end;
      this.#valueInAny(this.#plans.of(type), reader, depth + 1);
      reader.leave(outer);
    }
    out.byte(closeBrace);
    if (reader.field() !== 0) throw new OutOfOrder();
  }

  #valueInAny(plan: MessagePlan, reader: ProtobufReader, depth: number): void {
    const out = this.#out;
    if (hasOwnJson(plan.type)) {
      out.ascii(',"value":');
      this.#content(plan, reader, depth);
    } else if (plan.kind === "fields") this.#members(plan, reader, depth, false);
    else {
      const text = this.#byLibrary(plan.type, reader);
      out.text(text === "{}" ? "" : `,${text.slice(1, -1)}`);
    }
  }

  #byLibrary(type: DescMessage, reader: ProtobufReader): string {
    const bytes = this.#bytes.subarray(reader.at, reader.end);
    reader.at = reader.end;
    return stringifyJson(toJson(type, fromBinary(type, bytes), { registry: this.#registry, alwaysEmitImplicit: true }));
  }
}

const nothing = Buffer.alloc(0);

const quotedScalars: ReadonlySet<ScalarType> = new Set([
  ScalarType.STRING,
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
]);

function closerOf({ shape }: FieldPlan): number {
  return shape === "list" ? closeBracket : closeBrace;
}

/** JSON has no words for what is no number, but a zero that is negative. */
function numberText(value: number, text: string): string {
  if (!Number.isFinite(value)) return `"${value}"`;
  return Object.is(value, -0) ? "-0" : text;
}
