import http2 from "node:http2";

/** One call; `done` gets "" or how it failed. */
export type Call = (index: number, done: (failure: string) => void) => void;

/** Unary gRPC calls over one session of bare node:http2; call number n sends body n of `bodies`, in turn. */
export function openGrpc(port: number, path: string, bodies: readonly Buffer[]): Call {
  const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
  const requests = bodies.map(framed);
  const session = http2.connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 1000 });
  session.on("error", (error: Error) => {
    console.error(error.message);
    process.exit(1);
  });
  return (index, done) => {
    const stream = session.request(headers);
    let status = "none";
    let reason = "";
    const keep = (received: http2.IncomingHttpHeaders) => {
      status = String(received["grpc-status"] ?? status);
      reason = String(received["grpc-message"] ?? reason);
    };
    stream.on("response", keep);
    stream.on("trailers", keep);
    stream.on("data", () => undefined);
    stream.on("error", () => undefined); // the status tells
    stream.on("close", () => done(status === "0" ? "" : `status ${status} ${reason}`));
    stream.end(requests[index % requests.length]);
  };
}

function framed(body: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}
