import { isUtf8 } from "node:buffer";
import { type Code, MassaError } from "../core/errors.ts";

/** The wire types of protobuf. */
const wireTypes = { varint: 0, fixed64: 1, bytes: 2, groupStart: 3, groupEnd: 4, fixed32: 5 } as const;

const groupDepthMax = 100;
const two32 = 0x1_0000_0000;

/**
 * Reads one protobuf message, nested ones in place. Everything that is no message is refused with an error that
 * names the message and the byte. Bytes are handed out as slices, never copied.
 */
export class ProtobufReader {
  at: number;
  /** Where the message that is being read ends. */
  end: number;
  readonly #bytes: Buffer;
  readonly #name: string;
  readonly #code: Code;
  #tag = 0;
  /** The two halves of the last 64-bit varint. */
  #low = 0;
  #high = 0;

  /** `name` says in errors what was read; `code` whose fault it is that it cannot be read. */
  constructor(bytes: Uint8Array, name: string, code: Code = "protocol") {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = name;
    this.#code = code;
    this.at = 0;
    this.end = bytes.byteLength;
  }

  refuse(what: string): never {
    throw new MassaError(
      this.#code,
      `this is no ${this.#name}: ${what} at byte ${this.at} of ${this.#bytes.byteLength}`,
    );
  }

  /** The number of the next field, or 0 at the end of the message. */
  field(): number {
    if (this.at >= this.end) return 0;
    this.#tag = this.#varint32();
    const number = this.#tag >>> 3;
    if (number === 0) this.refuse("field number 0");
    return number;
  }

  /** Passes over the field that `field` announced. */
  skip(): void {
    this.#skip(this.#tag, 0);
  }

  /** Of a length-delimited field: moves `end` to the end of its content and returns where the message around it ends. */
  enter(): number {
    const outer = this.end;
    this.end = this.#content();
    return outer;
  }

  /** Whether the field that `field` announced is length-delimited. */
  get isDelimited(): boolean {
    return (this.#tag & 7) === wireTypes.bytes;
  }

  /** `enter` for a packed list: each of its values, which have this wire type, is then read like a field of its own. */
  enterPacked(wireType: number): number {
    const outer = this.enter();
    this.#tag = (this.#tag & ~7) | wireType;
    return outer;
  }

  /** Leaves a nested message that was read to its end. */
  leave(outer: number): void {
    this.end = outer;
  }

  bytes(): Uint8Array {
    const end = this.#content();
    const slice = this.#bytes.subarray(this.at, end);
    this.at = end;
    return slice;
  }

  text(): string {
    const end = this.#content();
    const text = this.#decoded(this.at, end);
    this.at = end;
    return text;
  }

  /** A string of which there are few different ones, such as a type URL: equal ones are the same string, without decoding. */
  name(): string {
    const end = this.#content();
    const start = this.at;
    this.at = end;
    const slot =
      (end - start + this.#bytes[end - 1]! * 31 + this.#bytes[(start + end) >>> 1]! * 7) & (slots.length - 1);
    const known = slots[slot];
    if (known !== undefined && this.#same(known.bytes, start, end)) return known.text;
    const text = this.#decoded(start, end);
    if (end - start <= nameBytesMax) slots[slot] = { bytes: Uint8Array.from(this.#bytes.subarray(start, end)), text };
    return text;
  }

  bool(): boolean {
    this.#varint64();
    return (this.#low | this.#high) !== 0;
  }

  int32(): number {
    this.#varint64();
    return this.#low | 0;
  }

  /** An int64 that is the id of a command: beyond ±2^53 it is -1, which is nobody's, as that one is. */
  commandId(): number {
    this.#varint64();
    const value = (this.#high | 0) * two32 + this.#low;
    return Number.isSafeInteger(value) ? value : -1;
  }

  int64(): bigint {
    this.#varint64();
    return BigInt.asIntN(64, (BigInt(this.#high) << 32n) | BigInt(this.#low));
  }

  uint64(): bigint {
    this.#varint64();
    return (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  /** An int64: a number where that is exact. */
  wholeInt64(): number | bigint {
    this.#varint64();
    const value = (this.#high | 0) * two32 + this.#low;
    return Number.isSafeInteger(value) ? value : BigInt.asIntN(64, (BigInt(this.#high) << 32n) | BigInt(this.#low));
  }

  /** A uint64: a number where that is exact. */
  wholeUint64(): number | bigint {
    this.#varint64();
    const value = this.#high * two32 + this.#low;
    return Number.isSafeInteger(value) ? value : (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  sint64(): bigint {
    const zigzag = this.uint64();
    return (zigzag >> 1n) ^ -(zigzag & 1n);
  }

  fixed32(): number {
    const at = this.#fixed(wireTypes.fixed32, 4);
    return this.#bytes.readUInt32LE(at);
  }

  sfixed32(): number {
    return this.fixed32() | 0;
  }

  float(): number {
    const at = this.#fixed(wireTypes.fixed32, 4);
    return this.#bytes.readFloatLE(at);
  }

  fixed64(): bigint {
    const at = this.#fixed(wireTypes.fixed64, 8);
    return this.#bytes.readBigUInt64LE(at);
  }

  sfixed64(): bigint {
    return BigInt.asIntN(64, this.fixed64());
  }

  double(): number {
    const at = this.#fixed(wireTypes.fixed64, 8);
    return this.#bytes.readDoubleLE(at);
  }

  uint32(): number {
    return this.int32() >>> 0;
  }

  sint32(): number {
    const zigzag = this.uint32();
    return (zigzag >>> 1) ^ -(zigzag & 1);
  }

  #fixed(wireType: number, count: number): number {
    this.#expect(wireType);
    const { at } = this;
    this.#pass(count);
    return at;
  }

  /** The end of the content of a length-delimited field; `at` is moved to its start. */
  #content(): number {
    this.#expect(wireTypes.bytes);
    const length = this.#varint32();
    const end = this.at + length;
    if (end > this.end) this.refuse(`a field of ${length} bytes that ends beyond its message`);
    return end;
  }

  #expect(wireType: number): void {
    if ((this.#tag & 7) !== wireType) {
      this.refuse(`field ${this.#tag >>> 3} of wire type ${this.#tag & 7} instead of ${wireType}`);
    }
  }

  /** A tag or a length: at most 32 bits. */
  #varint32(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    this.at -= 1;
    this.#halves();
    if (this.#high !== 0) this.refuse("a tag or length beyond 32 bits");
    return this.#low;
  }

  #varint64(): void {
    this.#expect(wireTypes.varint);
    this.#halves();
  }

  #halves(): void {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        return;
      }
    }
    this.refuse("a varint of more than 10 bytes");
  }

  #byte(): number {
    if (this.at >= this.end) this.refuse("it ends too early");
    return this.#bytes[this.at++]!;
  }

  #skip(tag: number, depth: number): void {
    switch (tag & 7) {
      case wireTypes.varint:
        this.#halves();
        return;
      case wireTypes.fixed64:
        this.#pass(8);
        return;
      case wireTypes.bytes:
        this.#pass(this.#varint32());
        return;
      case wireTypes.fixed32:
        this.#pass(4);
        return;
      case wireTypes.groupStart:
        if (depth >= groupDepthMax) this.refuse(`groups more than ${groupDepthMax} deep`);
        for (;;) {
          const inner = this.#varint32();
          if (inner >>> 3 === 0) this.refuse("field number 0");
          if ((inner & 7) === wireTypes.groupEnd) {
            if (inner >>> 3 !== tag >>> 3) this.refuse("a group that ends as another");
            return;
          }
          this.#skip(inner, depth + 1);
        }
      default:
        this.refuse(`wire type ${tag & 7}`);
    }
  }

  #pass(count: number): void {
    if (this.at + count > this.end) this.refuse(`a field of ${count} bytes that ends beyond its message`);
    this.at += count;
  }

  #decoded(start: number, end: number): string {
    const text = this.#bytes.toString("utf8", start, end);
    if (text.includes("\ufffd") && !isUtf8(this.#bytes.subarray(start, end))) this.refuse("a string that is no UTF-8");
    return text;
  }

  #same(known: Uint8Array, start: number, end: number): boolean {
    if (known.length !== end - start) return false;
    for (let offset = known.length - 1; offset >= 0; offset -= 1) {
      if (known[offset] !== this.#bytes[start + offset]) return false;
    }
    return true;
  }
}

/** The empty list of a message, before anything was read into it. */
export const none: readonly never[] = [];

/** Adds to a list of a message that is being read, which is the codec's own until then. */
export function grown<T>(list: readonly T[], item: T): readonly T[] {
  if (list === none) return [item];
  (list as T[]).push(item);
  return list;
}

/** The last name seen per slot: a lossy table, so that it needs no bound but its size. */
const slots: ({ readonly bytes: Uint8Array; readonly text: string } | undefined)[] = new Array<undefined>(256).fill(
  undefined,
);
const nameBytesMax = 256;
