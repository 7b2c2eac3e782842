import { isUtf8 } from "node:buffer";
import { MassaError } from "../core/errors.ts";

const initialBytes = 4 * 1024;
const keptBytesMax = 1024 * 1024;
/** The longest text that is printed; a message of few bytes may have many defaults. */
const textBytesMax = 256 * 1024 * 1024;
const shortBytes = 24;
const quote = 0x22;
const backslash = 0x5c;

/** Puts JSON together, in UTF-8. */
export class JsonOutput {
  #buffer = Buffer.allocUnsafeSlow(initialBytes);
  #at = 0;

  /** Begins anew; what was left unfinished is forgotten. */
  begin(): void {
    if (this.#buffer.length > keptBytesMax) this.#buffer = Buffer.allocUnsafeSlow(initialBytes);
    this.#at = 0;
  }

  get length(): number {
    return this.#at;
  }

  /** What was written from a byte on. */
  from(start: number): string {
    return this.#buffer.toString("utf8", start, this.#at);
  }

  byte(value: number): void {
    if (this.#at === this.#buffer.length) this.#grow(1);
    this.#buffer[this.#at++] = value;
  }

  raw(bytes: Buffer): void {
    this.#copy(bytes, 0, bytes.length);
  }

  /** A text of ASCII only, as it is. */
  ascii(text: string): void {
    const { length } = text;
    if (this.#at + length > this.#buffer.length) this.#grow(length);
    if (length > shortBytes) this.#buffer.write(text, this.#at, "latin1");
    else for (let offset = 0; offset < length; offset += 1) this.#buffer[this.#at + offset] = text.charCodeAt(offset);
    this.#at += length;
  }

  /** A text of ASCII only, in quotes. */
  quoted(text: string): void {
    this.byte(quote);
    this.ascii(text);
    this.byte(quote);
  }

  /** Any text, as it is. */
  text(text: string): void {
    const length = Buffer.byteLength(text);
    if (this.#at + length > this.#buffer.length) this.#grow(length);
    this.#at += this.#buffer.write(text, this.#at, "utf8");
  }

  /** A string of JSON, of the part of a message that is its content, escaped as `JSON.stringify` does it; false for what is no UTF-8. */
  string(bytes: Buffer, start: number, end: number): boolean {
    const most = 2 + (end - start <= uncountedMax ? 6 * (end - start) : escapedLength(bytes, start, end));
    if (this.#at + most > this.#buffer.length) this.#grow(most);
    const buffer = this.#buffer;
    let to = this.#at;
    let isAscii = true;
    buffer[to++] = quote;
    for (let at = start; at < end; at += 1) {
      const byte = bytes[at]!;
      const second = secondBytes[byte]!;
      if (second === 0) {
        buffer[to++] = byte;
        if (byte >= 0x80) isAscii = false;
        continue;
      }
      buffer[to++] = backslash;
      buffer[to++] = second;
      if (second === letterU) to += buffer.write(byte.toString(16).padStart(4, "0"), to, "latin1");
    }
    buffer[to++] = quote;
    if (!isAscii && !isUtf8(bytes.subarray(start, end))) return false;
    this.#at = to;
    return true;
  }

  #copy(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.#at + length > this.#buffer.length) this.#grow(length);
    if (length > shortBytes) bytes.copy(this.#buffer, this.#at, start, end);
    else for (let offset = 0; offset < length; offset += 1) this.#buffer[this.#at + offset] = bytes[start + offset]!;
    this.#at += length;
  }

  #grow(count: number): void {
    const wanted = this.#at + count;
    if (wanted > textBytesMax) {
      throw new MassaError("protocol", `its JSON is longer than ${textBytesMax} bytes`);
    }
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.#buffer.length, wanted));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
  }
}

/** Strings up to this length get room for the worst case, longer ones are counted first. */
const uncountedMax = 1_024;

function escapedLength(bytes: Buffer, start: number, end: number): number {
  let length = end - start;
  for (let at = start; at < end; at += 1) {
    const second = secondBytes[bytes[at]!]!;
    if (second !== 0) length += second === letterU ? 5 : 1;
  }
  return length;
}

const letterU = 0x75;
/** By byte, what stands behind the backslash of its escape; 0 for what is not escaped. */
const secondBytes = Uint8Array.from({ length: 256 }, (_, byte) => {
  const text = byte < 0x80 ? JSON.stringify(String.fromCharCode(byte)).slice(1, -1) : "";
  return text.length > 1 ? text.charCodeAt(1) : 0;
});
