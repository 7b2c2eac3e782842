const framePrefixBytes = 5;
const scratchBytes = 16 * 1024;
const shortText = 64;
const shortBytes = 32;

/**
 * Writes one protobuf message from its end to its beginning: fields in descending order, a nested message's content before
 * its length, so that every length is known when its turn comes. The result is one allocation of exactly its size.
 */
export class ProtobufWriter {
  #buffer = Buffer.allocUnsafeSlow(scratchBytes);
  #at = scratchBytes;

  /** Begins a message; what an encoder left that failed in the middle of one is forgotten. */
  begin(): this {
    this.#at = this.#buffer.byteLength;
    return this;
  }

  /** Bytes written so far; to be given to `close` when what was written after it is the content of a field. */
  get mark(): number {
    return this.#buffer.byteLength - this.#at;
  }

  /** Makes a length-delimited field (number below 16) of all that was written since `mark`. */
  close(field: number, mark: number): void {
    this.#varint(this.mark - mark);
    this.#tag(field, 2);
  }

  /** Bytes as they are, without a tag. */
  raw(bytes: Uint8Array): void {
    const length = bytes.byteLength;
    const at = this.#room(length);
    if (length > shortBytes) this.#buffer.set(bytes, at);
    else for (let offset = 0; offset < length; offset += 1) this.#buffer[at + offset] = bytes[offset]!;
  }

  bytes(field: number, bytes: Uint8Array): void {
    this.raw(bytes);
    this.#varint(bytes.byteLength);
    this.#tag(field, 2);
  }

  text(field: number, text: string): void {
    const length = asciiLength(text);
    if (length >= 0) {
      const at = this.#room(length);
      for (let offset = 0; offset < length; offset += 1) this.#buffer[at + offset] = text.charCodeAt(offset);
      this.#varint(length);
    } else {
      const bytes = Buffer.byteLength(text);
      const at = this.#room(bytes);
      this.#buffer.write(text, at, "utf8");
      this.#varint(bytes);
    }
    this.#tag(field, 2);
  }

  /** A text of which there are few different ones, such as a type URL or the name of a service. */
  name(field: number, name: string): void {
    this.bytes(field, utf8Of(name));
  }

  bool(field: number, value: boolean): void {
    this.#byte(value ? 1 : 0);
    this.#tag(field, 0);
  }

  /** A varint of a whole number in [0, 2^53]. */
  number(field: number, value: number): void {
    this.#varint(value);
    this.#tag(field, 0);
  }

  /** An int32, negative ones as ten bytes. */
  int32(field: number, value: number): void {
    if (value < 0) this.int64(field, BigInt(value));
    else this.number(field, value);
  }

  /** An int64 or uint64; what does not fit is cut to 64 bits. */
  int64(field: number, value: bigint): void {
    const unsigned = BigInt.asUintN(64, value);
    if (unsigned <= Number.MAX_SAFE_INTEGER) this.#varint(Number(unsigned));
    else {
      let rest = unsigned;
      let groups = 1;
      for (let more = rest >> 7n; more > 0n; more >>= 7n) groups += 1;
      const at = this.#room(groups);
      for (let offset = 0; offset < groups; offset += 1) {
        this.#buffer[at + offset] = Number(rest & 0x7fn) | (offset < groups - 1 ? 0x80 : 0);
        rest >>= 7n;
      }
    }
    this.#tag(field, 0);
  }

  sint64(field: number, value: bigint): void {
    const cut = BigInt.asIntN(64, value);
    this.int64(field, (cut << 1n) ^ (cut >> 63n));
  }

  /** The message. The writer is empty afterwards. */
  finish(): Uint8Array {
    const { mark } = this;
    if (mark > scratchBytes) return this.#handOver();
    const message = Buffer.allocUnsafe(mark);
    this.#buffer.copy(message, 0, this.#at);
    this.#at = this.#buffer.byteLength;
    return message;
  }

  /** The message with the 5-byte prefix of a gRPC frame. */
  finishFrame(): Uint8Array {
    const length = this.mark;
    const at = this.#room(framePrefixBytes);
    this.#buffer[at] = 0;
    this.#buffer.writeUInt32BE(length, at + 1);
    return this.finish();
  }

  /** A large message is not copied: it takes the buffer along. */
  #handOver(): Uint8Array {
    const message = this.#buffer.subarray(this.#at);
    this.#buffer = Buffer.allocUnsafeSlow(scratchBytes);
    this.#at = scratchBytes;
    return message;
  }

  #tag(field: number, wireType: number): void {
    this.#byte((field << 3) | wireType);
  }

  #byte(value: number): void {
    const at = this.#room(1);
    this.#buffer[at] = value;
  }

  #varint(value: number): void {
    if (value < 0x80) {
      this.#byte(value);
      return;
    }
    let groups = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) groups += 1;
    const at = this.#room(groups);
    let rest = value;
    for (let offset = 0; offset < groups - 1; offset += 1) {
      this.#buffer[at + offset] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[at + groups - 1] = rest;
  }

  /** Makes room for `count` bytes before those already written, and returns where it begins; the buffer may be another one afterwards. */
  #room(count: number): number {
    if (count > this.#at) this.#grow(count);
    this.#at -= count;
    return this.#at;
  }

  #grow(count: number): void {
    const { mark } = this;
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.#buffer.byteLength, mark + count + 256));
    this.#buffer.copy(grown, grown.byteLength - mark, this.#at);
    this.#buffer = grown;
    this.#at = grown.byteLength - mark;
  }
}

/** The length of a short text of ASCII only, or -1. */
function asciiLength(text: string): number {
  const { length } = text;
  if (length > shortText) return -1;
  for (let at = 0; at < length; at += 1) if (text.charCodeAt(at) >= 0x80) return -1;
  return length;
}

const namesMax = 4096;
const nameLengthMax = 512;
const names = new Map<string, Uint8Array>();

/** The bytes of a name. Kept, because the same few are written all the time; the table is emptied when it is full. */
function utf8Of(name: string): Uint8Array {
  const known = names.get(name);
  if (known) return known;
  const bytes = new Uint8Array(Buffer.from(name));
  if (name.length > nameLengthMax) return bytes;
  if (names.size >= namesMax) names.clear();
  names.set(name, bytes);
  return bytes;
}

/** Encoders run to their end without a pause, so that all share one. */
export const shared = new ProtobufWriter();
