import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type http2 from "node:http2";

/** Node takes `sendDate`, which its types do not know. */
export const withTrailers = { waitForTrailers: true, sendDate: false };
export const headers = { ":status": 200, "content-type": "application/grpc" };
export const nothing: Uint8Array = new Uint8Array(0);
const outUrl = "type.googleapis.com/bench.Out";

/** Field number → last value of a message: varints as numbers, the rest as bytes. */
export function fieldsOf(bytes: Uint8Array): {
  readonly numbers: Map<number, number>;
  readonly bytes: Map<number, Uint8Array>;
} {
  const numbers = new Map<number, number>();
  const slices = new Map<number, Uint8Array>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (type === WireType.Varint) numbers.set(field, Number(reader.uint64()));
    else if (type === WireType.LengthDelimited) slices.set(field, reader.bytes());
    else reader.skip(type);
  }
  return { numbers, bytes: slices };
}

/** A field that is bytes, text or a message; empty when it is absent. */
export function at(bytes: Uint8Array, field: number): Uint8Array {
  return fieldsOf(bytes).bytes.get(field) ?? nothing;
}

export function message(write: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  write(writer);
  return writer.finish();
}

/** A message whose one field is bytes or a message. */
export function wrapped(field: number, bytes: Uint8Array): Uint8Array {
  return message((w) => w.tag(field, WireType.LengthDelimited).bytes(bytes));
}

/** Any { bench.Out { value, body } } */
export function anyOut(value: number, body = nothing): Uint8Array {
  const out = message((w) => {
    w.tag(1, WireType.Varint).uint64(value);
    if (body.length > 0) w.tag(2, WireType.LengthDelimited).bytes(body);
  });
  return message((w) => w.tag(1, WireType.LengthDelimited).string(outUrl).tag(2, WireType.LengthDelimited).bytes(out));
}

/** A message in a gRPC frame. */
export function frame(bytes: Uint8Array): Buffer {
  const all = Buffer.allocUnsafe(5 + bytes.byteLength);
  all[0] = 0;
  all.writeUInt32BE(bytes.byteLength, 1);
  all.set(bytes, 5);
  return all;
}

/** Cuts frames; `take` gets each message. */
export function cutter(take: (bytes: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 5) {
      const end = 5 + rest.readUInt32BE(1);
      if (rest.length < end) return;
      take(rest.subarray(5, end));
      rest = rest.subarray(end);
    }
  };
}

/** Answers a unary call. */
export function answerOnce(stream: http2.ServerHttp2Stream, answer: (bytes: Buffer) => Uint8Array): void {
  stream.on(
    "data",
    cutter((bytes) => {
      if (stream.destroyed) return;
      stream.respond(headers, withTrailers);
      stream.end(frame(answer(bytes)));
    }),
  );
}
