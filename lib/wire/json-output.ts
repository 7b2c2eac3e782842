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

  /** A string of JSON, of the part of a message that is its content; false for what is no UTF-8. */
  string(bytes: Buffer, start: number, end: number): boolean {
    let isAscii = true;
    let at = start;
    for (; at < end; at += 1) {
      const byte = bytes[at]!;
      if (byte >= 0x80) isAscii = false;
      else if (byte < 0x20 || byte === quote || byte === backslash) break;
    }
    if (at < end || !isAscii) {
      if (!isUtf8(bytes.subarray(start, end))) return false;
    }
    if (at < end) {
      this.text(JSON.stringify(bytes.toString("utf8", start, end)));
      return true;
    }
    this.byte(quote);
    this.#copy(bytes, start, end);
    this.byte(quote);
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
