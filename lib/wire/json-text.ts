import { isUtf8 } from "node:buffer";
import { MassaError } from "../core/errors.ts";
import { JsonMistake } from "./json-mistake.ts";

/** The bytes that JSON is made of. */
export const quote = 0x22;
export const openBrace = 0x7b;
export const closeBrace = 0x7d;
export const openBracket = 0x5b;
export const closeBracket = 0x5d;
export const comma = 0x2c;
export const colon = 0x3a;
const backslash = 0x5c;
const minus = 0x2d;
const zero = 0x30;
const nine = 0x39;
const point = 0x2e;

/** What the second byte of a short escape stands for; 0 for what is none. */
export const unescaped = new Uint8Array(256);
for (const [escape, byte] of ['""', "\\\\", "//", "b\b", "f\f", "n\n", "r\r", "t\t"]) {
  unescaped[escape!.charCodeAt(0)] = byte!.charCodeAt(0);
}

const shownMax = 64;
const nestingMax = 1_000;

/** A cursor over JSON in UTF-8: reads tokens, and refuses with `invalid` and the byte what is no JSON. */
export class JsonText {
  at = 0;
  /** The content of the string, or the number, that was read last. */
  start = 0;
  end = 0;
  /** Whether that string has escapes. */
  isEscaped = false;
  /** How many it has, if all of them are of two bytes; otherwise -1. */
  shortEscapes = 0;
  readonly bytes: Buffer;

  constructor(json: Uint8Array) {
    this.bytes = Buffer.isBuffer(json) ? json : Buffer.from(json.buffer, json.byteOffset, json.byteLength);
    if (!isUtf8(json)) throw new MassaError("invalid", "not JSON: it is no UTF-8");
  }

  refuse(what: string): never {
    const place = this.at < this.bytes.length ? `at byte ${this.at}` : "at its end";
    throw new MassaError("invalid", `not JSON: ${what} ${place} of ${this.bytes.length} bytes`);
  }

  /** The first byte of the next token, which is not taken; -1 at the end. */
  peek(): number {
    const { bytes } = this;
    for (;;) {
      const byte = bytes[this.at];
      if (byte === undefined) return -1;
      if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) return byte;
      this.at += 1;
    }
  }

  /** Takes one byte if it comes next. */
  take(byte: number): boolean {
    if (this.peek() !== byte) return false;
    this.at += 1;
    return true;
  }

  /** Whether another member or item follows; otherwise takes what closes the list of them. */
  more(close: number): boolean {
    if (this.take(comma)) return true;
    if (!this.take(close)) this.refuse(`expected ',' or '${String.fromCharCode(close)}'`);
    return false;
  }

  /** Takes the name of a member and its colon; `start` and `end` are the name's. */
  name(): void {
    if (this.peek() !== quote) this.refuse("expected the name of a member");
    this.string();
    if (!this.take(colon)) this.refuse("expected ':'");
  }

  /** Takes a string, which begins here. */
  string(): void {
    const { bytes } = this;
    let at = this.at + 1;
    this.start = at;
    let escapes = 0;
    let isShort = true;
    for (;;) {
      const byte = bytes[at];
      if (byte === quote) break;
      if (byte === backslash) {
        escapes += 1;
        if (!unescaped[bytes[at + 1] ?? 0]) isShort = false;
        at += 2;
      } else if (byte === undefined || byte < 0x20) {
        this.at = Math.min(at, bytes.length);
        this.refuse(byte === undefined ? "a string that is not closed" : "a control character in a string");
      } else at += 1;
    }
    this.isEscaped = escapes > 0;
    this.shortEscapes = isShort ? escapes : -1;
    this.end = at;
    this.at = at + 1;
  }

  /** The string or number that was taken last. */
  content(): string {
    if (!this.isEscaped) return this.bytes.toString("utf8", this.start, this.end);
    return String(this.parsed(this.start - 1, this.end + 1));
  }

  /** Takes a number, which begins here. */
  number(): void {
    this.start = this.at;
    this.isEscaped = false;
    if (this.bytes[this.at] === minus) this.at += 1;
    if (this.bytes[this.at] === zero) this.at += 1;
    else this.#digits();
    if (this.bytes[this.at] === point) {
      this.at += 1;
      this.#digits();
    }
    if ((this.bytes[this.at] ?? 0) === 0x65 || this.bytes[this.at] === 0x45) {
      this.at += 1;
      const sign = this.bytes[this.at];
      if (sign === minus || sign === 0x2b) this.at += 1;
      this.#digits();
    }
    this.end = this.at;
  }

  /** Takes one of the words that JSON knows, if it comes next. */
  word(word: Buffer): boolean {
    for (let offset = 0; offset < word.length; offset += 1) {
      if (this.bytes[this.at + offset] !== word[offset]) return false;
    }
    this.at += word.length;
    return true;
  }

  /** Passes over a value, of which only the nesting is looked at; returns where it begins. */
  skip(): number {
    let depth = 0;
    const first = this.peek();
    const start = this.at;
    if (first !== openBrace && first !== openBracket) {
      if (first === quote) this.string();
      else this.#skipPlain();
      return start;
    }
    do {
      const byte = this.bytes[this.at];
      if (byte === undefined) this.refuse("it ends too early");
      if (byte === quote) this.string();
      else {
        if (byte === openBrace || byte === openBracket) depth += 1;
        else if (byte === closeBrace || byte === closeBracket) depth -= 1;
        if (depth > nestingMax) throw new JsonMistake(`nested more than ${nestingMax} deep`);
        this.at += 1;
      }
    } while (depth > 0);
    return start;
  }

  /** The value between two bytes. Numbers that are no double's are refused, and half surrogate pairs. */
  parsed(start: number, end: number): unknown {
    const text = this.bytes.toString("utf8", start, end);
    try {
      return perhapsUnfit.test(text) ? JSON.parse(text, fit) : JSON.parse(text);
    } catch (failure) {
      if (failure instanceof JsonMistake) throw failure;
      throw new MassaError("invalid", `not JSON: ${MassaError.from(failure).message}`, { cause: failure });
    }
  }

  /** The value that comes next, for an error; it is not taken. */
  shown(): string {
    const first = this.peek();
    if (first === openBrace) return "an object";
    if (first === openBracket) return "an array";
    const { at } = this;
    this.skip();
    const text = this.bytes.toString("utf8", at, Math.min(this.at, at + shownMax));
    const isCut = this.at > at + shownMax;
    this.at = at;
    return isCut ? `${text.replace(/\ufffd*$/, "")}…` : text;
  }

  /** The value that begins at `start`, which was taken already, for an error. */
  shownAt(start: number): string {
    this.at = start;
    return this.shown();
  }

  #digits(): void {
    const { at } = this;
    for (let byte = this.bytes[at]; byte !== undefined && byte >= zero && byte <= nine; byte = this.bytes[this.at]) {
      this.at += 1;
    }
    if (this.at === at) this.refuse("expected a digit");
  }

  /** A number or a word, or what stands in its place. */
  #skipPlain(): void {
    const { at } = this;
    for (;;) {
      const byte = this.bytes[this.at];
      if (byte === undefined || byte <= 0x20 || byte === comma || byte === closeBrace || byte === closeBracket) break;
      this.at += 1;
    }
    if (this.at === at) this.refuse("expected a value");
  }
}

/** What any number has that is beyond a double, and any text with half of a surrogate pair. */
const perhapsUnfit = /[eE]\+?\d{3}|\d{200}|\\u[dD][89a-fA-F]/;

function fit(name: string, value: unknown): unknown {
  if (value === Infinity || value === -Infinity) throw new JsonMistake("a number is too large");
  if (name.isWellFormed() && (typeof value !== "string" || value.isWellFormed())) return value;
  throw new JsonMistake("half of a surrogate pair is no text");
}

/** The words of JSON. */
export const words = { true: Buffer.from("true"), false: Buffer.from("false"), null: Buffer.from("null") } as const;
