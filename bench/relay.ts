/**
 * The least that a proxy on bare node:http2 can do, to compare with: unary calls come in, and go out each as a call of its own
 * (`--mode action`, to /bench.Raw/unary) or as messages on long streams (`--mode entity`, to /bench.Raw/stream).
 * Usage: relay.ts [--port 9100] [--function 8080] [--mode action|entity]. Prints one line when it listens.
 */
import http2 from "node:http2";
import { parseArgs } from "node:util";

const { values: flags } = parseArgs({
  options: {
    port: { type: "string", default: "9100" },
    function: { type: "string", default: "8080" },
    mode: { type: "string", default: "action" },
    streams: { type: "string", default: "64" },
  },
});
/** Node takes `sendDate`, which its types do not know. */
const withTrailers = { waitForTrailers: true, sendDate: false };
const headers = { ":status": 200, "content-type": "application/grpc" };
const request = { ":method": "POST", ":path": "/bench.Raw/unary", "content-type": "application/grpc", te: "trailers" };

const target = http2.connect(`http://127.0.0.1:${flags.function}`, { maxSessionMemory: 1000 });
const server = http2.createServer({ maxSessionMemory: 1000 });

function action(stream: http2.ServerHttp2Stream): void {
  const call = target.request(request);
  call.on("error", () => stream.close());
  call.on("response", () => {
    if (!stream.destroyed) stream.respond(headers, withTrailers);
  });
  let trailers: http2.IncomingHttpHeaders = {};
  call.on("trailers", (received: http2.IncomingHttpHeaders) => {
    trailers = received;
  });
  call.on("data", (chunk: Buffer) => stream.write(chunk));
  call.on("end", () => stream.end());
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": trailers["grpc-status"] ?? "2" }));
  stream.on("data", (chunk: Buffer) => call.write(chunk));
  stream.on("end", () => call.end());
}

/** A long stream that answers in order. */
function openLong() {
  const waiting: http2.ServerHttp2Stream[] = [];
  const call = target.request({ ...request, ":path": "/bench.Raw/stream" });
  call.on("error", (error) => {
    throw error;
  });
  let rest: Buffer = Buffer.alloc(0);
  call.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 5) {
      const end = 5 + rest.readUInt32BE(1);
      if (rest.length < end) return;
      const stream = waiting.shift()!;
      if (!stream.destroyed) {
        stream.respond(headers, withTrailers);
        stream.end(rest.subarray(0, end));
      }
      rest = rest.subarray(end);
    }
  });
  return { call, waiting };
}

const longs = flags.mode === "entity" ? Array.from({ length: Number(flags.streams) }, openLong) : [];
let next = 0;

function entity(stream: http2.ServerHttp2Stream): void {
  const { call, waiting } = longs[next++ % longs.length]!;
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  // A message of the bench comes in one chunk.
  stream.on("data", (chunk: Buffer) => {
    waiting.push(stream);
    call.write(chunk);
  });
}

server.on("stream", (stream) => {
  stream.on("error", () => stream.close());
  if (flags.mode === "entity") entity(stream);
  else action(stream);
});
server.listen(Number(flags.port), "127.0.0.1", () => console.log(JSON.stringify({ listening: server.address() })));
