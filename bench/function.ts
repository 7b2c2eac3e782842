/**
 * A Cloudstate user function on bare node:http2 that answers at once: `bench.Action/Call` and the CRDT service `bench.Counter`
 * (`Touch`, `Increment`, `Get`, `Watch`), and the plain echoes `/bench.Raw/unary` and `/bench.Raw/stream` for relays.
 * Usage: function.ts [--port 8080]. Prints one line when it listens.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import http2 from "node:http2";
import { parseArgs } from "node:util";

const { values: flags } = parseArgs({ options: { port: { type: "string", default: "8080" } } });
/** Node takes `sendDate`, which its types do not know. */
const withTrailers = { waitForTrailers: true, sendDate: false };
const headers = { ":status": 200, "content-type": "application/grpc" };
const trailers = { "grpc-status": "0" };
const outUrl = "type.googleapis.com/bench.Out";

/** Field number → last value of a message: varints as numbers, the rest as bytes. */
function fieldsOf(bytes: Uint8Array): {
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

const nothing = new Uint8Array(0);
const at = (bytes: Uint8Array, field: number) => fieldsOf(bytes).bytes.get(field) ?? nothing;

function message(write: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  write(writer);
  return writer.finish();
}

/** Reply { payload: Any { bench.Out } } */
function replyOf(out: Uint8Array): Uint8Array {
  const any = message((w) =>
    w.tag(1, WireType.LengthDelimited).string(outUrl).tag(2, WireType.LengthDelimited).bytes(out),
  );
  return message((w) => w.tag(1, WireType.LengthDelimited).bytes(any));
}

function frame(bytes: Uint8Array): Buffer {
  const all = Buffer.allocUnsafe(5 + bytes.byteLength);
  all[0] = 0;
  all.writeUInt32BE(bytes.byteLength, 1);
  all.set(bytes, 5);
  return all;
}

/** Cuts frames; `take` gets each message. */
function cutter(take: (bytes: Buffer) => void): (chunk: Buffer) => void {
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

function answerOnce(stream: http2.ServerHttp2Stream, answer: (bytes: Buffer) => Uint8Array): void {
  stream.on(
    "data",
    cutter((bytes) => {
      if (stream.destroyed) return;
      stream.respond(headers, withTrailers);
      stream.end(frame(answer(bytes)));
    }),
  );
}

/** One CRDT entity: a GCounter whose value the replies carry. Whoever watches hears of every change. */
function crdt(stream: http2.ServerHttp2Stream): void {
  let value = 0;
  const watchers = new Set<number>();
  const send = (field: number, bytes: Uint8Array) =>
    stream.write(frame(message((w) => w.tag(field, WireType.LengthDelimited).bytes(bytes))));
  /** CrdtReply and CrdtStreamedMessage begin alike. */
  const answer = (id: number) => {
    const action = message((w) =>
      w.tag(1, WireType.LengthDelimited).bytes(replyOf(message((o) => o.tag(1, WireType.Varint).uint64(value)))),
    );
    return new BinaryWriter().tag(1, WireType.Varint).int64(id).tag(2, WireType.LengthDelimited).bytes(action);
  };
  const add = (delta: Uint8Array) => {
    value += fieldsOf(at(delta, 1)).numbers.get(1) ?? 0;
    for (const id of watchers) send(2, answer(id).finish());
  };
  stream.respond(headers, withTrailers);
  stream.on(
    "data",
    cutter((bytes) => {
      const { bytes: alternatives } = fieldsOf(bytes);
      const init = alternatives.get(1);
      const delta = alternatives.get(2);
      const command = alternatives.get(4);
      const cancelled = alternatives.get(5);
      if (init) add(at(init, 3));
      if (delta) add(delta);
      if (cancelled) {
        const id = fieldsOf(cancelled).numbers.get(2) ?? 0;
        watchers.delete(id);
        send(
          3,
          message((w) => w.tag(1, WireType.Varint).int64(id)),
        );
      }
      if (!command) return;
      const { numbers, bytes: parts } = fieldsOf(command);
      const id = numbers.get(2) ?? 0;
      const increments = Buffer.from(parts.get(3) ?? nothing).toString() === "Increment";
      if (increments) value += 1;
      const reply = answer(id);
      if (increments) reply.tag(5, WireType.LengthDelimited).bytes(Uint8Array.of(10, 4, 10, 2, 8, 1)); // update: gcounter increment 1
      if (numbers.get(5) === 1) {
        watchers.add(id);
        reply.tag(6, WireType.Varint).bool(true);
      }
      send(1, reply.finish());
      if (increments) for (const watcher of watchers) send(2, answer(watcher).finish());
    }),
  );
  stream.on("end", () => stream.end());
}

function descriptors(): Uint8Array {
  const keyOption = message((w) => w.tag(1080, WireType.Varint).bool(true));
  const method = (name: string) => ({ name, inputType: ".bench.In", outputType: ".bench.Out" });
  const field = (name: string, number: number, type: Type) => ({
    name,
    number,
    type,
    label: Label.OPTIONAL,
    jsonName: name,
  });
  const file = create(FileDescriptorProtoSchema, {
    name: "bench.proto",
    package: "bench",
    syntax: "proto3",
    messageType: [
      { name: "In", field: [{ ...field("key", 1, Type.STRING), options: {} }, field("body", 2, Type.BYTES)] },
      { name: "Out", field: [field("value", 1, Type.UINT64), field("body", 2, Type.BYTES)] },
    ],
    service: [
      { name: "Action", method: [method("Call")] },
      {
        name: "Counter",
        method: [...["Touch", "Increment", "Get"].map(method), { ...method("Watch"), serverStreaming: true }],
      },
    ],
  });
  const { options } = file.messageType[0]!.field[0]!;
  const reader = new BinaryReader(keyOption);
  const [no, wireType] = reader.tag();
  options!.$unknown = [{ no, wireType, data: reader.skip(wireType, no) }];
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [file] }));
}

function entitySpec(): Uint8Array {
  const entity = (type: string, service: string) =>
    message((w) =>
      w
        .tag(1, WireType.LengthDelimited)
        .string(type)
        .tag(2, WireType.LengthDelimited)
        .string(service)
        .tag(3, WireType.LengthDelimited)
        .string(service),
    );
  const info = message((w) => w.tag(1, WireType.LengthDelimited).string("bench").tag(7, WireType.Varint).int32(2));
  return message((w) => {
    w.tag(1, WireType.LengthDelimited).bytes(descriptors());
    w.tag(2, WireType.LengthDelimited).bytes(entity("cloudstate.action.ActionProtocol", "bench.Action"));
    w.tag(2, WireType.LengthDelimited).bytes(entity("cloudstate.crdt.Crdt", "bench.Counter"));
    w.tag(3, WireType.LengthDelimited).bytes(info);
  });
}

const spec = entitySpec();
const server = http2.createServer({ maxSessionMemory: 1000, settings: { maxConcurrentStreams: 1_000_000 } });
server.on("stream", (stream, request) => {
  stream.on("error", () => stream.close());
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  switch (request[":path"]) {
    case "/cloudstate.EntityDiscovery/discover":
      answerOnce(stream, () => spec);
      return;
    case "/cloudstate.EntityDiscovery/reportError":
      answerOnce(stream, (bytes) => {
        console.error(`reported: ${Buffer.from(at(bytes, 1)).toString()}`);
        return nothing;
      });
      return;
    case "/cloudstate.action.ActionProtocol/handleUnary":
      answerOnce(stream, (bytes) => {
        const body = at(at(at(bytes, 4), 2), 2);
        return message((w) =>
          w
            .tag(2, WireType.LengthDelimited)
            .bytes(replyOf(message((o) => o.tag(2, WireType.LengthDelimited).bytes(body)))),
        );
      });
      return;
    case "/cloudstate.crdt.Crdt/handle":
      crdt(stream);
      return;
    case "/bench.Raw/unary":
      answerOnce(stream, (bytes) => bytes);
      return;
    case "/bench.Raw/stream":
      stream.respond(headers, withTrailers);
      stream.on("data", (chunk: Buffer) => stream.write(chunk));
      stream.on("end", () => stream.end());
      return;
    default:
      stream.respond({ ...headers, "grpc-status": "12" }, { endStream: true });
  }
});
server.listen(Number(flags.port), "127.0.0.1", () => console.log(JSON.stringify({ listening: server.address() })));
