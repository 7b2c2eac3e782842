/** Bytes that no encoder of this package makes. */
export class MalformedBytes extends Error {
  override readonly name = "MalformedBytes";
}

/** Forms of a string: its characters as bytes or pairs of bytes, the bytes that its hexadecimal digits name, or a repeat. */
const form = { narrow: 0, wide: 1, hex: 2, repeat: 3 } as const;

const bigBytesMax = 19;
const chunk = 8_192;

/** Writes one message: variable-length numbers, and each string in full only once. */
export class Writer {
  #bytes = new Uint8Array(256);
  #length = 0;
  readonly #texts = new Map<string, number>();

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  /** A whole number from 0 to 2^53 − 1, seven bits a byte, the lowest first. */
  count(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`cannot write ${value} as a count`);
    let rest = value;
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) this.byte((rest % 128) | 0x80);
    this.byte(rest);
  }

  /** A whole number below 2^133 that is not negative. */
  natural(value: bigint): void {
    if (value < 0n || value >> BigInt(7 * bigBytesMax) !== 0n)
      throw new RangeError(`cannot write ${value} as a natural`);
    let rest = value;
    for (; rest > Number.MAX_SAFE_INTEGER; rest >>= 7n) this.byte(Number(rest & 0x7fn) | 0x80);
    this.count(Number(rest));
  }

  /** A signed whole number, small ones short. */
  integer(value: bigint): void {
    this.natural(value < 0n ? -value * 2n - 1n : value * 2n);
  }

  text(text: string): void {
    const place = this.#texts.get(text);
    if (place !== undefined) return this.count(form.repeat + place);
    this.#texts.set(text, this.#texts.size);
    if (isHex(text)) this.#hex(text);
    else if (isNarrow(text)) this.#narrow(text);
    else this.#wide(text);
  }

  #hex(text: string): void {
    this.count(form.hex);
    this.count(text.length / 2);
    for (let at = 0; at < text.length; at += 2) this.byte(Number.parseInt(text.slice(at, at + 2), 16));
  }

  #narrow(text: string): void {
    this.count(form.narrow);
    this.count(text.length);
    if (this.#bytes.length - this.#length < text.length) this.#grow(text.length);
    for (let at = 0; at < text.length; at += 1) this.#bytes[this.#length++] = text.charCodeAt(at);
  }

  #wide(text: string): void {
    this.count(form.wide);
    this.count(text.length);
    for (let at = 0; at < text.length; at += 1) {
      this.byte(text.charCodeAt(at) & 0xff);
      this.byte(text.charCodeAt(at) >> 8);
    }
  }

  #grow(by: number): void {
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + by));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

/** Reads what a `Writer` wrote; anything else, longer forms of the same included, throws `MalformedBytes`. Keeps no view. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  readonly #texts: string[] = [];
  readonly #known = new Set<string>();

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  finish(): void {
    if (this.#at < this.#bytes.length) this.refuse(`${this.#bytes.length - this.#at} bytes too many`);
  }

  refuse(what: string): never {
    throw new MalformedBytes(`${what} (at byte ${this.#at} of ${this.#bytes.length})`);
  }

  byte(): number {
    if (this.#at >= this.#bytes.length) this.refuse("the message ends in the middle");
    return this.#bytes[this.#at++]!;
  }

  count(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) this.refuse("a count above 2^53 − 1");
      if (byte > 0x7f) continue;
      if (byte === 0 && scale > 1) this.refuse("a number longer than it need be");
      return value;
    }
  }

  natural(): bigint {
    let value = 0n;
    for (let length = 0; length < bigBytesMax; length += 1) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << BigInt(7 * length);
      if (byte > 0x7f) continue;
      if (byte === 0 && length > 0) this.refuse("a number longer than it need be");
      return value;
    }
    return this.refuse(`a number of more than ${7 * bigBytesMax} bits`);
  }

  integer(): bigint {
    const value = this.natural();
    return value & 1n ? -(value + 1n) / 2n : value / 2n;
  }

  text(): string {
    const head = this.count();
    if (head >= form.repeat)
      return this.#texts[head - form.repeat] ?? this.refuse(`no string ${head - form.repeat} yet`);
    const text = head === form.hex ? this.#hex() : head === form.narrow ? this.#narrow() : this.#wide();
    if (this.#known.has(text)) this.refuse("a string in full for the second time");
    this.#known.add(text);
    this.#texts.push(text);
    return text;
  }

  #hex(): string {
    let text = "";
    for (const byte of this.#take(this.count())) text += byte.toString(16).padStart(2, "0");
    return isHex(text) ? text : this.refuse("a string of digits in the wrong form");
  }

  #narrow(): string {
    const text = latin1(this.#take(this.count()));
    return isHex(text) ? this.refuse("a string of digits in the wrong form") : text;
  }

  #wide(): string {
    const bytes = this.#take(2 * this.count());
    let text = "";
    for (let at = 0; at < bytes.length; at += 2) text += String.fromCharCode(bytes[at]! | (bytes[at + 1]! << 8));
    return isNarrow(text) ? this.refuse("a string in a wider form than it need be") : text;
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) this.refuse("the message ends in the middle");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

/** Bytes as the characters 0 to 255. */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += chunk) text += String.fromCharCode(...bytes.subarray(at, at + chunk));
  return text;
}

/** Replica ids and the like: an even number of hexadecimal digits, 8 to 64. */
function isHex(text: string): boolean {
  return text.length >= 8 && text.length <= 64 && text.length % 2 === 0 && /^[0-9a-f]+$/.test(text);
}

function isNarrow(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) if (text.charCodeAt(at) > 0xff) return false;
  return true;
}
