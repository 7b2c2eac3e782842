import {
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";
import { MassaError } from "../core/errors.ts";
import { inFieldOrder } from "./field-order.ts";
import { ForwardWriter } from "./forward-writer.ts";
import { messagesOf, readByLibrary } from "./json-library.ts";
import { type FieldPlan, hasOwnJson, type JsonPlans, type MessagePlan, Seen, type ValuePlan } from "./json-plan.ts";
import { readEnum, readScalar, writeTag } from "./json-scalars.ts";
import { JsonMistake } from "./json-mistake.ts";
import { closeBrace, closeBracket, JsonText, openBrace, openBracket, quote, words } from "./json-text.ts";

/** How deep messages may be nested, as in the library. */
const depthMax = 100;

const empty = new JsonText(Buffer.alloc(0));

/** Makes the bytes of messages of their JSON, in one pass over its text. */
export class JsonReader {
  readonly #plans: JsonPlans;
  readonly #registry: Registry;
  readonly #out = new ForwardWriter();
  #text = empty;

  constructor(plans: JsonPlans, registry: Registry) {
    this.#plans = plans;
    this.#registry = registry;
  }

  /** Throws `invalid` for what is no JSON of this type, with the path of the field. */
  message(type: DescMessage, json: Uint8Array): Uint8Array {
    return this.#read(json, () => this.#content(this.#plans.of(type), 0));
  }

  /** The same for the value of one field; the bytes are those of a message with this field alone. */
  field(field: DescField, json: Uint8Array): Uint8Array {
    const plan = this.#plans.of(field.parent).byName.get(field.name)!;
    return this.#read(json, () => this.#named(plan, field.name, 0));
  }

  #read(json: Uint8Array, read: () => void): Uint8Array {
    const text = new JsonText(json);
    this.#text = text;
    this.#out.begin();
    try {
      if (text.peek() < 0) text.refuse("there is nothing");
      read();
      if (text.peek() >= 0) text.refuse("more than one value");
      return this.#out.finish();
    } catch (failure) {
      if (!(failure instanceof JsonMistake)) throw failure;
      throw new MassaError("invalid", failure.described(), { cause: failure });
    } finally {
      this.#text = empty;
    }
  }

  /** What stands inside of a message of any kind, without tag and length. */
  #content(plan: MessagePlan, depth: number): void {
    if (depth >= depthMax) throw new JsonMistake(`nested more than ${depthMax} deep`);
    switch (plan.kind) {
      case "wrapper": {
        const { value } = plan.fields[0]!;
        readScalar(this.#text, value.scalar!, tagOf(1, value.wireType), false, this.#out);
        return;
      }
      case "any":
        this.#any(depth);
        return;
      case "library": {
        this.#library(plan.type, false, depth);
        return;
      }
      default:
        this.#members(plan, depth, false);
    }
  }

  #members(plan: MessagePlan, depth: number, isInAny: boolean): void {
    const text = this.#text;
    if (text.peek() !== openBrace) throw new JsonMistake(`expected an object, got ${text.shown()}`);
    text.at += 1;
    if (text.take(closeBrace)) return;
    const seen = new Seen(plan.bits);
    const start = this.#out.at;
    let isOrdered = true;
    let typesSeen = 0;
    let next = 0;
    do {
      text.name();
      const field = this.#fieldNamed(plan, next);
      if (field) {
        if (field.index < next) isOrdered = false;
        next = field.index + 1;
        this.#member(field, seen, depth);
      } else if (isInAny && text.content() === typeMember && typesSeen++ === 0) text.skip();
      else throw new JsonMistake(`${plan.type.typeName} has no such field`, text.content());
    } while (text.more(closeBrace));
    if (!isOrdered) this.#out.replace(start, inFieldOrder(this.#out.buffer.subarray(start, this.#out.at)));
  }

  #member(field: FieldPlan, seen: Seen, depth: number): void {
    const text = this.#text;
    const { start, end } = text;
    const name = () => text.bytes.toString("utf8", start, end);
    if (!seen.add(field.index)) throw new JsonMistake("is set twice", name());
    if (text.peek() === words.null[0] && !takesNull(field) && text.word(words.null)) return;
    if (field.oneof >= 0 && !seen.add(field.oneof)) {
      throw new JsonMistake(`another field of the oneof ${field.field.oneof?.name} is set already`, name());
    }
    try {
      this.#value(field, depth);
    } catch (failure) {
      if (failure instanceof JsonMistake) failure.steps.push(name());
      throw failure;
    }
  }

  #named(field: FieldPlan, name: string, depth: number): void {
    const text = this.#text;
    if (text.peek() === words.null[0] && !takesNull(field) && text.word(words.null)) return;
    try {
      this.#value(field, depth);
    } catch (failure) {
      if (failure instanceof JsonMistake) failure.steps.push(name);
      throw failure;
    }
  }

  #value(field: FieldPlan, depth: number): void {
    switch (field.shape) {
      case "one":
        this.#one(field.value, field.number, field.hasPresence, depth);
        return;
      case "list":
        this.#list(field, depth);
        return;
      case "map":
        this.#map(field, depth);
    }
  }

  /** One value, its tag included when `number` is not 0. */
  #one(value: ValuePlan, number: number, wanted: boolean, depth: number): void {
    const tag = number === 0 ? 0 : tagOf(number, value.wireType);
    if (value.message) {
      writeTag(tag, this.#out);
      const mark = this.#out.open();
      this.#content(this.#plans.of(value.message), depth + 1);
      this.#out.close(mark);
    } else if (value.enum) readEnum(this.#text, value.enum, tag, wanted, this.#out);
    else readScalar(this.#text, value.scalar!, tag, wanted, this.#out);
  }

  #list(field: FieldPlan, depth: number): void {
    const text = this.#text;
    if (text.peek() !== openBracket) throw new JsonMistake(`expected an array, got ${text.shown()}`);
    text.at += 1;
    if (text.take(closeBracket)) return;
    const out = this.#out;
    if (field.isPacked) writeTag(tagOf(field.number, 2), out);
    const mark = field.isPacked ? out.open() : 0;
    let index = 0;
    try {
      do {
        this.#refuseNull(field.value, "an item");
        this.#one(field.value, field.isPacked ? 0 : field.number, true, depth);
        index += 1;
      } while (text.more(closeBracket));
    } catch (failure) {
      if (failure instanceof JsonMistake) failure.steps.push(`[${index}]`);
      throw failure;
    }
    if (field.isPacked) out.close(mark);
  }

  #map(field: FieldPlan, depth: number): void {
    const text = this.#text;
    if (text.peek() !== openBrace) throw new JsonMistake(`expected an object, got ${text.shown()}`);
    text.at += 1;
    if (text.take(closeBrace)) return;
    const keys = new Set<string>();
    do {
      const { at } = text;
      text.name();
      const after = text.at;
      const name = text.content();
      try {
        writeTag(tagOf(field.number, 2), this.#out);
        const mark = this.#out.open();
        const key = this.#key(field.key!, at);
        if (keys.size === keys.add(key).size) throw new JsonMistake("is in the map twice");
        text.at = after;
        this.#refuseNull(field.value, "a value");
        this.#one(field.value, 2, true, depth);
        this.#out.close(mark);
      } catch (failure) {
        if (failure instanceof JsonMistake) failure.steps.push(`[${JSON.stringify(name)}]`);
        throw failure;
      }
    } while (text.more(closeBrace));
  }

  /** Writes the key of a map entry, which is a string that stands at `at`; returns its bytes, so that equal keys are found. */
  #key(key: ValuePlan, at: number): string {
    const text = this.#text;
    const out = this.#out;
    const from = out.at;
    text.at = at;
    text.peek();
    if (key.scalar === ScalarType.BOOL) {
      text.string();
      const name = text.content();
      if (name !== "true" && name !== "false") throw new JsonMistake(`expected true or false as a key`);
      writeTag(tagOf(1, 0), out);
      out.byte(name === "true" ? 1 : 0);
    } else readScalar(text, key.scalar!, tagOf(1, key.wireType), true, out);
    return out.buffer.toString("latin1", from, out.at);
  }

  #refuseNull(value: ValuePlan, what: string): void {
    const text = this.#text;
    if (text.peek() !== words.null[0] || valueTakesNull(value)) return;
    if (text.word(words.null)) throw new JsonMistake(`${what} cannot be null`);
  }

  /** An Any: its type is a member `@type`, wherever it stands among the others. */
  #any(depth: number): void {
    const text = this.#text;
    if (text.peek() !== openBrace) throw new JsonMistake(`expected an object, got ${text.shown()}`);
    const { at } = text;
    const typeUrl = this.#typeUrl();
    if (typeUrl === undefined) return;
    text.at = at;
    const type = this.#registry.getMessage(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
    if (!type)
      throw new JsonMistake(`the function's descriptors have no message ${JSON.stringify(typeUrl)}`, typeMember);
    const out = this.#out;
    writeTag(tagOf(1, 2), out);
    out.varint(Buffer.byteLength(typeUrl));
    out.text(typeUrl);
    const before = out.at;
    writeTag(tagOf(2, 2), out);
    const mark = out.open();
    const plan = this.#plans.of(type);
    if (hasOwnJson(type)) this.#valueInAny(plan, depth);
    else if (plan.kind === "fields") this.#members(plan, depth + 1, true);
    else this.#library(type, true, depth + 1);
    // Bytes of an Any are compared: the empty value is left out, as encoders do.
    if (out.at === mark) out.at = before;
    else out.close(mark);
  }

  /** Of an object that begins here; undefined when it is empty. */
  #typeUrl(): string | undefined {
    const text = this.#text;
    text.at += 1;
    if (text.take(closeBrace)) return undefined;
    do {
      text.name();
      const isType = text.content() === typeMember;
      if (isType && text.peek() === quote) {
        text.string();
        return text.content();
      }
      text.skip();
    } while (text.more(closeBrace));
    throw new JsonMistake(`expected a member ${typeMember}, which names the type`);
  }

  /** A type with JSON of its own stands in a member `value` of the Any. */
  #valueInAny(plan: MessagePlan, depth: number): void {
    const text = this.#text;
    text.at += 1;
    const seen = new Set<string>();
    do {
      text.name();
      const name = text.content();
      if (seen.has(name)) throw new JsonMistake("is set twice", name);
      seen.add(name);
      if (name === typeMember) text.skip();
      else if (name === "value") this.#stepping(name, () => this.#content(plan, depth + 1));
      else throw new JsonMistake(`an Any of ${plan.type.typeName} has no such member`, name);
    } while (text.more(closeBrace));
    if (!seen.has("value")) throw new JsonMistake("is missing", "value");
  }

  #stepping(name: string, read: () => void): void {
    try {
      read();
    } catch (failure) {
      if (failure instanceof JsonMistake) failure.steps.push(name);
      throw failure;
    }
  }

  /** A value that the library knows to read. */
  #library(type: DescMessage, isInAny: boolean, depth: number): void {
    const text = this.#text;
    const start = text.skip();
    const whole = text.parsed(start, text.at) as JsonValue;
    // One level of JSON is several messages, and whoever decodes them has the same bound.
    if (depth + messagesOf(whole) > depthMax) throw new JsonMistake(`nested more than ${depthMax} messages deep`);
    const json = isInAny ? Object.fromEntries(Object.entries(whole as JsonObject).filter(isNotType)) : whole;
    const bytes = readByLibrary(type, json, this.#registry, () => text.shownAt(start));
    this.#out.copy(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength);
  }

  /** The field of the name that was taken; names come mostly in the order of the fields. */
  #fieldNamed({ fields, byLength, byName }: MessagePlan, next: number): FieldPlan | undefined {
    const text = this.#text;
    if (text.isEscaped) return byName.get(text.content());
    const { bytes, start, end } = text;
    const candidates = byLength[end - start];
    if (candidates === undefined) return undefined;
    const likely = fields[next];
    for (const { name, field } of candidates) {
      if (candidates.length > likelyFrom && field !== likely) continue;
      if (isAt(name, bytes, start)) return field;
    }
    if (candidates.length <= likelyFrom) return undefined;
    return byName.get(text.content());
  }
}

/** With so many names of one length they are looked up, after the likely one. */
const likelyFrom = 4;
const typeMember = "@type";

function isNotType([name]: readonly [string, unknown]): boolean {
  return name !== typeMember;
}

function isAt(name: Buffer, bytes: Buffer, start: number): boolean {
  for (let offset = 0; offset < name.length; offset += 1) if (name[offset] !== bytes[start + offset]) return false;
  return true;
}

function tagOf(number: number, wireType: number): number {
  return ((number << 3) | wireType) >>> 0;
}

/** Whether null is a value of the field, and not the lack of one. */
function takesNull({ shape, value }: FieldPlan): boolean {
  return shape === "one" && valueTakesNull(value);
}

function valueTakesNull({ message, enum: named }: ValuePlan): boolean {
  return message?.typeName === "google.protobuf.Value" || named?.isNull === true;
}
