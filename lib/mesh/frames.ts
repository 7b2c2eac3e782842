import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { MassaError, statusOf, type Code } from "../core/errors.ts";
import type { RequestHead } from "./mesh.ts";

/** Kinds of frames on a peer link (protos/massa/mesh.proto, FrameKind). */
export const kinds = {
  oneWay: 1,
  open: 2,
  input: 3,
  halfClose: 4,
  cancel: 5,
  output: 6,
  end: 7,
  fail: 8,
  inputCredit: 9,
  outputCredit: 10,
  ping: 11,
  pong: 12,
} as const;

/** One frame of a peer link; what a kind does not use is 0, empty or absent. */
export interface Frame {
  readonly kind: number;
  readonly request: number;
  readonly channel: number;
  /** Length of the whole message, in the first of several pieces; else 0. */
  readonly length: number;
  readonly credit: number;
  readonly body: Uint8Array;
  readonly head?: RequestHead;
  readonly failure?: MassaError;
}

/** Bytes of body in one frame, at most: what a small frame waits for behind a piece of a long message. */
export const pieceBytesMax = 64 * 1024;

const frameBytesMax = 2 * pieceBytesMax;
const prefixBytes = 4;
/** Prefix and all fields without the bytes of head, failure and body. */
const fixedBytesMax = 64;
const scratch = new Uint8Array(1_024);
const none: Uint8Array = new Uint8Array(0);

/** Everything of a frame but its body's bytes, which must follow; the length prefix included. */
export function encodeFrame(frame: Partial<Frame> & Pick<Frame, "kind">): Uint8Array {
  const bodyBytes = frame.body?.length ?? 0;
  const head = frame.head && encodeHead(frame.head);
  const failure = frame.failure && encodeFailure(frame.failure);
  const roomBytes = fixedBytesMax + (head?.length ?? 0) + (failure?.length ?? 0);
  const target = roomBytes > scratch.length ? new Uint8Array(roomBytes) : scratch;
  let at = writeField(target, prefixBytes, 8, frame.kind);
  if (frame.request) at = writeField(target, at, 16, frame.request);
  if (frame.channel) at = writeField(target, at, 24, frame.channel);
  if (frame.length) at = writeField(target, at, 32, frame.length);
  if (frame.credit) at = writeField(target, at, 40, frame.credit);
  if (head) at = writeBytes(target, at, 58, head);
  if (failure) at = writeBytes(target, at, 66, failure);
  if (bodyBytes > 0) at = writeField(target, at, 50, bodyBytes);
  const size = at - prefixBytes + bodyBytes;
  const from = prefixBytes - varintBytes(size);
  writeVarint(target, from, size);
  return target.slice(from, at);
}

/** Reads one frame without its prefix; the body is a slice of `bytes`. Throws `protocol` when it is malformed. */
export function decodeFrame(bytes: Uint8Array): Frame {
  try {
    return readFrame(bytes);
  } catch (failure) {
    throw new MassaError("protocol", "malformed frame on a peer link", { cause: failure });
  }
}

function readFrame(bytes: Uint8Array): Frame {
  const reader = new BinaryReader(bytes);
  let kind = 0;
  let request = 0;
  let channel = 0;
  let length = 0;
  let credit = 0;
  let body = none;
  let head: RequestHead | undefined;
  let failure: MassaError | undefined;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) kind = reader.uint32();
    else if (field === 2) request = Number(reader.uint64());
    else if (field === 3) channel = reader.uint32();
    else if (field === 4) length = reader.uint32();
    else if (field === 5) credit = reader.uint32();
    else if (field === 6) body = reader.bytes();
    else if (field === 7) head = decodeHead(reader.bytes());
    else if (field === 8) failure = decodeFailure(reader.bytes());
    else reader.skip(wireType, field);
  }
  return { kind, request, channel, length, credit, body, ...(head && { head }), ...(failure && { failure }) };
}

function encodeHead(head: RequestHead): Uint8Array {
  const writer = new BinaryWriter()
    .uint32(8)
    .uint32(head.channel)
    .uint32(18)
    .string(head.service)
    .uint32(26)
    .string(head.method);
  if (head.metadata.length > 0) writer.uint32(34).bytes(head.metadata);
  if (head.deadlineMs > 0) writer.uint32(40).uint32(Math.min(0xffffffff, Math.ceil(head.deadlineMs)));
  if (head.hops > 0) writer.uint32(48).uint32(head.hops);
  if (head.traceParent !== "") writer.uint32(58).string(head.traceParent);
  if (head.originNumber > 0) writer.uint32(64).uint64(head.originNumber);
  if (head.bridgedMessage.length > 0) writer.uint32(74).bytes(head.bridgedMessage);
  return writer.finish();
}

function decodeHead(bytes: Uint8Array): RequestHead {
  const reader = new BinaryReader(bytes);
  let [channel, deadlineMs, hops, originNumber] = [0, 0, 0, 0];
  let [service, method, traceParent] = ["", "", ""];
  let [metadata, bridgedMessage] = [none, none];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) channel = reader.uint32();
    else if (field === 2) service = reader.string();
    else if (field === 3) method = reader.string();
    else if (field === 4) metadata = reader.bytes();
    else if (field === 5) deadlineMs = reader.uint32();
    else if (field === 6) hops = reader.uint32();
    else if (field === 7) traceParent = reader.string();
    else if (field === 8) originNumber = Number(reader.uint64());
    else if (field === 9) bridgedMessage = reader.bytes();
    else reader.skip(wireType, field);
  }
  return { channel, service, method, metadata, deadlineMs, hops, traceParent, originNumber, bridgedMessage };
}

function encodeFailure(failure: MassaError): Uint8Array {
  const message = failure.message.length > 8_192 ? `${failure.message.slice(0, 8_192)}…` : failure.message;
  const writer = new BinaryWriter()
    .uint32(10)
    .string(failure.code)
    .uint32(16)
    .uint32(failure.grpcStatus)
    .uint32(26)
    .string(message);
  if (failure.isAnswer) writer.uint32(32).bool(true);
  if (failure.isReply) writer.uint32(40).bool(true);
  return writer.finish();
}

function decodeFailure(bytes: Uint8Array): MassaError {
  const reader = new BinaryReader(bytes);
  let code = "";
  let grpcStatus = 13;
  let message = "";
  let [isAnswer, isReply] = [false, false];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) code = reader.string();
    else if (field === 4) isAnswer = reader.bool();
    else if (field === 5) isReply = reader.bool();
    else if (field === 2) grpcStatus = reader.uint32();
    else if (field === 3) message = reader.string();
    else reader.skip(wireType, field);
  }
  const known = Object.hasOwn(statusOf, code) ? (code as Code) : MassaError.fromGrpc(grpcStatus, message).code;
  return new MassaError(known, message, { grpcStatus, isAnswer, isReply });
}

/** Wraps a gossip message so that every receiver knows it by (origin, number). */
export function encodeGossip(origin: string, number: number, body: Uint8Array): Uint8Array {
  return new BinaryWriter().uint32(10).string(origin).uint32(16).uint64(number).uint32(26).bytes(body).finish();
}

/** Undefined when it is not a gossip message of ours. */
export function decodeGossip(
  bytes: Uint8Array,
): { readonly origin: string; readonly number: number; readonly body: Uint8Array } | undefined {
  try {
    const reader = new BinaryReader(bytes);
    let origin = "";
    let number = 0;
    let body = none;
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === 1) origin = reader.string();
      else if (field === 2) number = Number(reader.uint64());
      else if (field === 3 && wireType === WireType.LengthDelimited) body = reader.bytes();
      else reader.skip(wireType, field);
    }
    return origin === "" || number === 0 ? undefined : { origin, number, body };
  } catch {
    return undefined; // Not protobuf at all: the caller counts it.
  }
}

/** Cuts a byte stream into frames; a frame's bytes are copied only if it came in several chunks. */
export class Deframer {
  readonly #bytesMax: () => number;
  #size = 0;
  #shift = 0;
  #partial: Uint8Array | undefined;
  #held = 0;

  /** Refuses frames longer than `bytesMax` is when they begin. */
  constructor(bytesMax: () => number = () => frameBytesMax) {
    this.#bytesMax = bytesMax;
  }

  /** Calls `frame` for each frame that `chunk` completes. Throws `protocol` when a frame would be too large. */
  push(chunk: Uint8Array, frame: (bytes: Uint8Array) => void): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#partial) {
        at = this.#fill(this.#partial, chunk, at, frame);
        continue;
      }
      const byte = chunk[at++]!;
      this.#size |= (byte & 0x7f) << this.#shift;
      this.#shift += 7;
      if (this.#size > this.#bytesMax() || this.#shift > 28)
        throw new MassaError("protocol", `a frame is longer than ${this.#bytesMax()} bytes`);
      if (byte >= 0x80) continue;
      const size = this.#size;
      this.#size = 0;
      this.#shift = 0;
      if (chunk.length - at >= size) {
        frame(chunk.subarray(at, at + size));
        at += size;
      } else {
        this.#partial = new Uint8Array(size);
        this.#held = 0;
      }
    }
  }

  #fill(partial: Uint8Array, chunk: Uint8Array, from: number, frame: (bytes: Uint8Array) => void): number {
    const taken = Math.min(chunk.length - from, partial.length - this.#held);
    partial.set(chunk.subarray(from, from + taken), this.#held);
    this.#held += taken;
    if (this.#held === partial.length) {
      this.#partial = undefined;
      frame(partial);
    }
    return from + taken;
  }
}

function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4;
}

function writeField(target: Uint8Array, at: number, tag: number, value: number): number {
  target[at] = tag;
  return writeVarint(target, at + 1, value);
}

function writeBytes(target: Uint8Array, at: number, tag: number, bytes: Uint8Array): number {
  const start = writeField(target, at, tag, bytes.length);
  target.set(bytes, start);
  return start + bytes.length;
}

/** Also beyond 32 bits, where shifts do not reach. */
function writeVarint(target: Uint8Array, from: number, value: number): number {
  let at = from;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[at++] = (rest & 0x7f) | 0x80;
  target[at++] = rest;
  return at;
}
