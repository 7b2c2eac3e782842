/**
 * A Cloudstate user function on bare node:http2 that answers at once: `bench.Action` (`Call`, `Order`), the CRDT service
 * `bench.Counter` (`Touch`, `Increment`, `Get`, `Watch`), the event-sourced `bench.Account` (`Deposit`, `Get`, `Keep`, `Fill`),
 * the value entity `bench.Item` (`Put`, `Get`), the plain echoes `/bench.Raw/unary` and `/bench.Raw/stream` for relays, and
 * `/bench.Raw/passivated`, which says how many streams of stored entities have been half-closed.
 * Usage: function.ts [--port 8080]. Prints one line when it listens.
 */
import { toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { WireType } from "@bufbuild/protobuf/wire";
import http2 from "node:http2";
import { parseArgs } from "node:util";
import { descriptors } from "./descriptors.ts";
import { crdt } from "./function-crdt.ts";
import { eventSourced, valueEntity } from "./function-stored.ts";
import { anyOut, answerOnce, at, fieldsOf, headers, message, nothing, withTrailers, wrapped } from "./function-wire.ts";

const { values: flags } = parseArgs({ options: { port: { type: "string", default: "8080" } } });
const trailers = { "grpc-status": "0" };

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
    w.tag(1, WireType.LengthDelimited).bytes(toBinary(FileDescriptorSetSchema, descriptors()));
    for (const [type, service] of [
      ["action.ActionProtocol", "bench.Action"],
      ["crdt.Crdt", "bench.Counter"],
      ["eventsourced.EventSourced", "bench.Account"],
      ["valueentity.ValueEntity", "bench.Item"],
    ] as const) {
      w.tag(2, WireType.LengthDelimited).bytes(entity(`cloudstate.${type}`, service));
    }
    w.tag(3, WireType.LengthDelimited).bytes(info);
  });
}

/** ActionResponse { reply { payload } }: an order comes back as it is, of other commands the body. */
function act(command: Uint8Array): Uint8Array {
  const { bytes } = fieldsOf(command);
  const payload = bytes.get(4) ?? nothing;
  const isOrder = Buffer.from(bytes.get(3) ?? nothing).toString() === "Order";
  return wrapped(2, wrapped(1, isOrder ? payload : anyOut(0, at(at(payload, 2), 2))));
}

const spec = entitySpec();
let passivated = 0;
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
      answerOnce(stream, act);
      return;
    case "/cloudstate.crdt.Crdt/handle":
      crdt(stream);
      return;
    case "/cloudstate.eventsourced.EventSourced/handle":
      stream.on("end", () => (passivated += 1));
      eventSourced(stream);
      return;
    case "/cloudstate.valueentity.ValueEntity/handle":
      stream.on("end", () => (passivated += 1));
      valueEntity(stream);
      return;
    case "/bench.Raw/passivated":
      answerOnce(stream, () => message((w) => w.tag(1, WireType.Varint).uint64(passivated)));
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
