import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { MassaError } from "../core/errors.ts";
import { percentDecoded } from "./http-percent.ts";
import { type ReadQuoted, TextError, textWriterOf, type WriteText } from "./http-text.ts";

/** A field somewhere inside of a message, which takes texts. */
export interface TextField {
  /** Names as declared, joined by dots. */
  readonly path: string;
  /** From the message inwards. */
  readonly fields: readonly DescField[];
  readonly write: WriteText;
}

/** The field at the end of a way inwards. Throws `invalid` when it takes no text. */
export function textFieldOf(fields: readonly DescField[], readQuoted: ReadQuoted): TextField {
  const path = fields.map(({ name }) => name).join(".");
  const field = fields.at(-1)!;
  const write = textWriterOf(field, readQuoted);
  if (write) return { path, fields, write };
  const what = field.fieldKind === "map" ? "a map" : `a ${field.message?.typeName ?? "message"}`;
  throw new MassaError("invalid", `${path}: is ${what}, which cannot be given as a parameter`);
}

/** Writes fields of one message by their texts: what was decoded, and belongs to which field. */
export class TextMessage {
  readonly #writer = new BinaryWriter();

  /** A field with its text, still percent-encoded. Throws `invalid` with the path of the field. */
  add({ path, fields, write }: TextField, raw: string, plus: boolean): void {
    const text = percentDecoded(raw, plus);
    if (text === undefined) throw new MassaError("invalid", `${path}: not percent-encoded UTF-8`);
    const outer = fields.slice(0, -1);
    for (const { number } of outer) this.#writer.tag(number, WireType.LengthDelimited).fork();
    try {
      write(this.#writer, text);
    } catch (failure) {
      if (!(failure instanceof TextError || failure instanceof MassaError)) throw failure;
      throw new MassaError("invalid", `${path}: ${failure.message}`, { cause: failure });
    }
    for (const { number } of outer) {
      if (number > 0) this.#writer.join();
    }
  }

  finish(): Uint8Array {
    return this.#writer.finish();
  }
}

/** Finds fields by the dotted names of query parameters, as declared or as in JSON; what was found once is kept, up to a bound. */
export class QueryFields {
  readonly #type: DescMessage;
  readonly #taken: DescField | undefined;
  readonly #readQuoted: ReadQuoted;
  readonly #known = new Map<string, TextField>();

  /** `taken` is the field that the body becomes, which no parameter may touch, nor others of its oneof. */
  constructor(type: DescMessage, taken: DescField | undefined, readQuoted: ReadQuoted) {
    this.#type = type;
    this.#taken = taken;
    this.#readQuoted = readQuoted;
  }

  /** Throws `invalid` for a name that is no field, or not one that takes texts. */
  find(name: string): TextField {
    const known = this.#known.get(name);
    if (known) return known;
    const found = textFieldOf(this.#way(name), this.#readQuoted);
    if (this.#known.size < knownMax) this.#known.set(name, found);
    return found;
  }

  #way(name: string): readonly DescField[] {
    if (name.length > nameMax)
      throw new MassaError("invalid", `the name of a parameter is longer than ${nameMax} characters`);
    const fields: DescField[] = [];
    let type = this.#type;
    const steps = name.split(".");
    for (const [index, step] of steps.entries()) {
      const here = steps.slice(0, index + 1).join(".");
      const field = fieldOf(type, step);
      if (!field) throw new MassaError("invalid", `${here}: ${type.typeName} has no such field`);
      if (index === 0) this.#checkBody(field);
      fields.push(field);
      if (index === steps.length - 1) break;
      if (field.fieldKind !== "message") throw new MassaError("invalid", `${here}: is no message that has fields`);
      type = field.message;
    }
    return fields;
  }

  #checkBody(field: DescField): void {
    const taken = this.#taken;
    if (field === taken) throw new MassaError("invalid", `${field.name}: is taken from the body`);
    if (!taken?.oneof || field.oneof !== taken.oneof) return;
    throw new MassaError("invalid", `${field.name}: cannot be given together with ${taken.name}, which is the body`);
  }
}

const knownMax = 256;
const nameMax = 1024;

function fieldOf(type: DescMessage, name: string): DescField | undefined {
  return type.fields.find((field) => field.name === name) ?? type.fields.find((field) => field.jsonName === name);
}

/** The bytes of a message with the fields that a raw query names. Throws `invalid` with the path of the field that is wrong. */
export function readQuery(query: string, fields: QueryFields): Uint8Array {
  const message = new TextMessage();
  const given = new Map<string, string>();
  for (const piece of query.split("&")) {
    if (piece === "") continue;
    const equals = piece.indexOf("=");
    const rawName = equals < 0 ? piece : piece.slice(0, equals);
    const name = percentDecoded(rawName, true);
    if (name === undefined) throw new MassaError("invalid", "the name of a parameter is not percent-encoded UTF-8");
    const field = fields.find(name);
    checkOnce(field, given);
    message.add(field, equals < 0 ? "" : piece.slice(equals + 1), true);
  }
  return message.finish();
}

/** Lists may be given repeatedly, other fields once, and of a oneof only one. */
function checkOnce({ path, fields }: TextField, given: Map<string, string>): void {
  if (fields.at(-1)!.fieldKind !== "list") {
    if (given.has(path)) throw new MassaError("invalid", `${path}: has several values, and takes one`);
    given.set(path, path);
  }
  let place = "";
  for (const { name, oneof } of fields) {
    if (oneof) {
      const choice = `${place}(${oneof.name})`;
      const other = given.get(choice);
      if (other !== undefined && other !== name) {
        throw new MassaError("invalid", `${place}${name}: cannot be given together with ${place}${other}`);
      }
      given.set(choice, name);
    }
    place += `${name}.`;
  }
}
