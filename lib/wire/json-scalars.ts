import { ScalarType } from "@bufbuild/protobuf";
import type { ForwardWriter } from "./forward-writer.ts";
import type { EnumPlan } from "./json-plan.ts";
import { JsonMistake } from "./json-mistake.ts";
import { type JsonText, quote, unescaped, words } from "./json-text.ts";

/** What an error calls a scalar. */
const namesOf: Readonly<Record<ScalarType, string>> = {
  [ScalarType.DOUBLE]: "double",
  [ScalarType.FLOAT]: "float",
  [ScalarType.INT64]: "int64",
  [ScalarType.UINT64]: "uint64",
  [ScalarType.INT32]: "int32",
  [ScalarType.FIXED64]: "fixed64",
  [ScalarType.FIXED32]: "fixed32",
  [ScalarType.BOOL]: "bool",
  [ScalarType.STRING]: "string",
  [ScalarType.BYTES]: "bytes",
  [ScalarType.UINT32]: "uint32",
  [ScalarType.SFIXED32]: "sfixed32",
  [ScalarType.SFIXED64]: "sfixed64",
  [ScalarType.SINT32]: "sint32",
  [ScalarType.SINT64]: "sint64",
};

const int64Min = -(1n << 63n);
const int64Max = (1n << 63n) - 1n;
const uint64Max = (1n << 64n) - 1n;
const safeDigits = 15;

/**
 * Takes the JSON of a scalar and writes its value, behind `tag` where that is not 0. A default is left out unless it is
 * `wanted`. Throws a `JsonMistake` for what is no such scalar.
 */
export function readScalar(text: JsonText, scalar: ScalarType, tag: number, wanted: boolean, out: ForwardWriter): void {
  switch (scalar) {
    case ScalarType.STRING:
      takeString(text, scalar);
      if (wanted || text.end > text.start) writeText(text, tag, out);
      return;
    case ScalarType.BYTES: {
      const value = readBytes(text);
      if (!wanted && value.length === 0) return;
      writeTag(tag, out);
      out.varint(value.length);
      out.copy(value, 0, value.length);
      return;
    }
    case ScalarType.BOOL: {
      const value = readBool(text);
      if (!wanted && !value) return;
      writeTag(tag, out);
      out.byte(value ? 1 : 0);
      return;
    }
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT: {
      const value = readFloat(text, scalar);
      if (!wanted && Object.is(value, 0)) return;
      writeTag(tag, out);
      if (scalar === ScalarType.FLOAT) out.float(value);
      else out.double(value);
      return;
    }
    default: {
      const value = readInteger(text, scalar);
      // Loosely: 0n, too.
      if (!wanted && !value) return;
      writeTag(tag, out);
      writeInteger(value, scalar, out);
    }
  }
}

/** The same for an enum, by name or number. */
export function readEnum(text: JsonText, plan: EnumPlan, tag: number, wanted: boolean, out: ForwardWriter): void {
  const value = enumNumber(text, plan);
  if (!wanted && value === 0) return;
  writeTag(tag, out);
  out.varint64(value);
}

/** A tag; 0 stands for none, inside of packed lists. */
export function writeTag(tag: number, out: ForwardWriter): void {
  if (tag === 0) return;
  if (tag < 0x80) out.byte(tag);
  else out.varint(tag >>> 0);
}

function enumNumber(text: JsonText, { numbers, type, isNull }: EnumPlan): number {
  if (isNull && text.peek() === words.null[0] && text.word(words.null)) return 0;
  if (text.peek() !== quote) return Number(readInteger(text, ScalarType.INT32, type.typeName));
  const shown = text.shown();
  text.string();
  const number = numbers.get(text.content());
  if (number === undefined) throw new JsonMistake(`${type.typeName} has no value ${shown}`);
  return number;
}

function refuse(text: JsonText, scalar: ScalarType, name: string = namesOf[scalar]): never {
  throw new JsonMistake(`expected ${name}, got ${text.shown()}`);
}

function takeString(text: JsonText, scalar: ScalarType): void {
  if (text.peek() !== quote) refuse(text, scalar);
  text.string();
}

/** Writes the string that was taken; without escapes its bytes are what goes out. */
function writeText(text: JsonText, tag: number, out: ForwardWriter): void {
  writeTag(tag, out);
  if (!text.isEscaped) {
    out.varint(text.end - text.start);
    out.copy(text.bytes, text.start, text.end);
    return;
  }
  if (text.shortEscapes >= 0) {
    out.varint(text.end - text.start - text.shortEscapes);
    writeUnescaped(text, out);
    return;
  }
  const content = text.content();
  out.varint(Buffer.byteLength(content));
  out.text(content);
}

function writeUnescaped({ bytes, start, end }: JsonText, out: ForwardWriter): void {
  out.room(end - start);
  const { buffer } = out;
  let to = out.at;
  for (let at = start; at < end; at += 1) {
    let byte = bytes[at]!;
    if (byte === backslash) {
      at += 1;
      byte = unescaped[bytes[at]!]!;
    }
    buffer[to++] = byte;
  }
  out.at = to;
}

const backslash = 0x5c;

/** Base64 in either alphabet, padded or not. */
function readBytes(text: JsonText): Buffer {
  takeString(text, ScalarType.BYTES);
  const content = text.content();
  const length = content.endsWith("==")
    ? content.length - 2
    : content.endsWith("=")
      ? content.length - 1
      : content.length;
  if (length % 4 === 1 || !/^[\w+/-]*={0,2}$/.test(content)) throw new JsonMistake("expected base64");
  return Buffer.from(content, "base64");
}

function readBool(text: JsonText): boolean {
  text.peek();
  if (text.word(words.true)) return true;
  if (text.word(words.false)) return false;
  return refuse(text, ScalarType.BOOL);
}

function readFloat(text: JsonText, scalar: ScalarType.FLOAT | ScalarType.DOUBLE): number {
  const isQuoted = takeNumber(text, scalar);
  const simple = isQuoted ? undefined : smallDecimal(text);
  if (simple !== undefined) return simple;
  const content = text.content();
  if (isQuoted && /^(NaN|-?Infinity)$/.test(content)) return Number(content);
  const value = isQuoted && !decimal.test(content) ? NaN : Number(content);
  // The closest float counts: what is printed of the largest one is a bit more than it.
  if (Number.isFinite(scalar === ScalarType.FLOAT ? Math.fround(value) : value)) return value;
  throw new JsonMistake(`expected ${namesOf[scalar]}, got ${shortened(content, isQuoted)}`);
}

/** The number that was taken, when it has so few digits and no exponent that both parts of the quotient are exact. */
function smallDecimal({ bytes, start, end }: JsonText): number | undefined {
  const isNegative = bytes[start] === 0x2d;
  const first = isNegative ? start + 1 : start;
  if (end - first > safeDigits) return undefined;
  let digits = 0;
  let places = -1;
  for (let at = first; at < end; at += 1) {
    const byte = bytes[at]!;
    if (byte === 0x2e) places = 0;
    else if (byte < 0x30 || byte > 0x39) return undefined;
    else {
      digits = digits * 10 + byte - 0x30;
      if (places >= 0) places += 1;
    }
  }
  const value = places > 0 ? digits / 10 ** places : digits;
  return isNegative ? -value : value;
}

/** Takes a number, or a string in its stead; whether it is a string. */
function takeNumber(text: JsonText, scalar: ScalarType, name?: string): boolean {
  const first = text.peek();
  if (first === quote) {
    text.string();
    return true;
  }
  if (first !== 0x2d && !(first >= 0x30 && first <= 0x39)) refuse(text, scalar, name);
  text.number();
  return false;
}

function readInteger(text: JsonText, scalar: ScalarType, name?: string): number | bigint {
  const isQuoted = takeNumber(text, scalar, name);
  const value = smallInteger(text) ?? exactInteger(text.content(), isQuoted);
  if (value !== undefined && isInRange(value, scalar)) return value;
  throw new JsonMistake(`expected ${name ?? namesOf[scalar]}, got ${shortened(text.content(), isQuoted)}`);
}

/** What was taken, when it is digits that a number surely holds. */
function smallInteger({ bytes, start, end, isEscaped }: JsonText): number | undefined {
  const isNegative = bytes[start] === 0x2d;
  const first = isNegative ? start + 1 : start;
  if (isEscaped || first >= end || end - first > safeDigits) return undefined;
  let value = 0;
  for (let at = first; at < end; at += 1) {
    const digit = bytes[at]! - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  // Not -0, which is no integer's.
  return isNegative ? 0 - value : value;
}

const decimal = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;
/** More digits than any integer has here; a longer one would only cost time. */
const digitsMax = 400;

/** An integer without loss, also when written with a fraction of zeros or an exponent. Undefined for what is none. */
function exactInteger(content: string, isQuoted: boolean): bigint | undefined {
  if (content.length > digitsMax || (isQuoted && !decimal.test(content))) return undefined;
  const [mantissa = "", exponent = "0"] = content.toLowerCase().split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  const shift = Number(exponent) - fraction.length;
  const digits = whole + fraction;
  if (/^-?0*$/.test(digits)) return 0n;
  if (Math.abs(shift) > digitsMax) return undefined;
  if (shift >= 0) return BigInt(digits + "0".repeat(shift));
  return /^0*$/.test(digits.slice(shift)) ? BigInt(digits.slice(0, shift).replace(/^-?$/, "0")) : undefined;
}

function isInRange(value: number | bigint, scalar: ScalarType): boolean {
  switch (scalar) {
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return value >= 0 && value <= 0xffff_ffff;
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return value >= int64Min && value <= int64Max;
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return value >= 0 && value <= uint64Max;
    default:
      return value >= -0x8000_0000 && value <= 0x7fff_ffff;
  }
}

function writeInteger(value: number | bigint, scalar: ScalarType, out: ForwardWriter): void {
  switch (scalar) {
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      out.fixed32(Number(value) >>> 0);
      return;
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      out.fixed64(value);
      return;
    case ScalarType.SINT32: {
      const whole = Number(value);
      out.varint(((whole << 1) ^ (whole >> 31)) >>> 0);
      return;
    }
    case ScalarType.SINT64: {
      const whole = BigInt(value);
      out.varint64((whole << 1n) ^ (whole >> 63n));
      return;
    }
    default:
      out.varint64(value);
  }
}

/** A number or string for an error, as it was sent. */
function shortened(content: string, isQuoted: boolean): string {
  const shown = content.length > 64 ? `${content.slice(0, 64)}…` : content;
  return isQuoted ? JSON.stringify(shown) : shown;
}
