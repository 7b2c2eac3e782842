const initialBytes = 4 * 1024;
const keptBytesMax = 1024 * 1024;
const shortBytes = 32;
const two32 = 0x1_0000_0000;

/**
 * Writes bytes from their beginning to their end, as it becomes known what they are. Room for a length is left before a
 * nested message and filled in behind it.
 */
export class ForwardWriter {
  buffer = Buffer.allocUnsafeSlow(initialBytes);
  at = 0;

  /** Begins anew; what an encoder left that failed in the middle is forgotten. */
  begin(): this {
    if (this.buffer.length > keptBytesMax) this.buffer = Buffer.allocUnsafeSlow(initialBytes);
    this.at = 0;
    return this;
  }

  /** A copy of all that was written. */
  finish(): Buffer {
    const message = Buffer.allocUnsafe(this.at);
    this.buffer.copy(message, 0, 0, this.at);
    return message;
  }

  /** Begins a length-delimited value; the mark is for `close`. */
  open(): number {
    this.room(1);
    this.at += 1;
    return this.at;
  }

  /** Ends what `open` began. */
  close(mark: number): void {
    const length = this.at - mark;
    if (length < 0x80) {
      this.buffer[mark - 1] = length;
      return;
    }
    const more = bytesOfVarint(length) - 1;
    this.room(more);
    this.buffer.copyWithin(mark + more, mark, this.at);
    this.at = mark - 1;
    this.varint(length);
    this.at += length;
  }

  byte(value: number): void {
    this.room(1);
    this.buffer[this.at++] = value;
  }

  /** A varint of a whole number in [0, 2^53]. */
  varint(value: number): void {
    this.room(10);
    let rest = value;
    while (rest >= 0x80) {
      this.buffer[this.at++] = (rest & 0x7f) | 0x80;
      rest = rest < two32 ? rest >>> 7 : Math.floor(rest / 0x80);
    }
    this.buffer[this.at++] = rest;
  }

  /** A varint of 64 bits; a negative value is as its two's complement. */
  varint64(value: number | bigint): void {
    if (typeof value === "number" && value >= 0) {
      this.varint(value);
      return;
    }
    this.room(10);
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest >= 0x80n) {
      this.buffer[this.at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.buffer[this.at++] = Number(rest);
  }

  fixed32(value: number): void {
    this.room(4);
    this.at = this.buffer.writeUInt32LE(value, this.at);
  }

  fixed64(value: number | bigint): void {
    this.room(8);
    this.at = this.buffer.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), this.at);
  }

  float(value: number): void {
    this.room(4);
    this.at = this.buffer.writeFloatLE(value, this.at);
  }

  double(value: number): void {
    this.room(8);
    this.at = this.buffer.writeDoubleLE(value, this.at);
  }

  /** A part of other bytes, as it is. */
  copy(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    this.room(length);
    if (length > shortBytes) bytes.copy(this.buffer, this.at, start, end);
    else for (let offset = 0; offset < length; offset += 1) this.buffer[this.at + offset] = bytes[start + offset]!;
    this.at += length;
  }

  /** Puts bytes of at most the same length in the place of all that was written from `start` on. */
  replace(start: number, bytes: Uint8Array): void {
    this.buffer.set(bytes, start);
    this.at = start + bytes.length;
  }

  /** A text in UTF-8, without its length. */
  text(text: string): void {
    this.room(3 * text.length);
    this.at += this.buffer.write(text, this.at, "utf8");
  }

  /** Makes room for `count` more bytes. */
  room(count: number): void {
    if (this.at + count > this.buffer.length) this.#grow(count);
  }

  #grow(count: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.buffer.length, this.at + count));
    this.buffer.copy(grown, 0, 0, this.at);
    this.buffer = grown;
  }
}

function bytesOfVarint(value: number): number {
  let count = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) count += 1;
  return count;
}
