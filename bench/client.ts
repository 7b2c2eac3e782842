import http2 from "node:http2";

/** A call under way. */
interface Opened {
  /** Resolves with the gRPC status when the call is over, "none" if there was none. */
  readonly ended: Promise<string>;
  readonly cancel: () => void;
}

/** Calls methods of the bench function over one session of bare node:http2. */
export interface Client {
  /** `heard` gets the `value` of each answer. */
  call(method: string, key: string, heard?: (value: number) => void): Opened;
  close(): void;
}

export function openClient(port: number): Client {
  const session = http2.connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 1000 });
  // Calls under way end with status "none", which says it.
  session.on("error", () => session.destroy());
  return {
    call(method, key, heard = () => undefined) {
      const headers = {
        ":method": "POST",
        ":path": `/bench.${method}`,
        "content-type": "application/grpc",
        te: "trailers",
      };
      const stream = session.request(headers);
      const { promise, resolve } = Promise.withResolvers<string>();
      let status = "none";
      const keep = (received: http2.IncomingHttpHeaders) => {
        status = String(received["grpc-status"] ?? status);
      };
      stream.on("response", keep);
      stream.on("trailers", keep);
      stream.on("error", () => undefined); // the status tells
      stream.on("data", (chunk: Buffer) => valuesIn(chunk).forEach(heard));
      stream.on("close", () => resolve(status));
      stream.end(requestOf(key));
      return { ended: promise, cancel: () => stream.close(http2.constants.NGHTTP2_CANCEL) };
    },
    close: () => session.destroy(),
  };
}

/** bench.In { key } in a gRPC frame. */
function requestOf(key: string): Buffer {
  return Buffer.concat([Buffer.from([0, 0, 0, 0, key.length + 2, 10, key.length]), Buffer.from(key)]);
}

/** The values of bench.Out messages; answers of the bench are so short that frames come whole. */
function valuesIn(chunk: Buffer): number[] {
  const values: number[] = [];
  for (let start = 0; start + 5 <= chunk.length; start += 5 + chunk.readUInt32BE(start + 1)) {
    let value = 0;
    for (let at = start + 6, factor = 1; at < start + 5 + chunk.readUInt32BE(start + 1); at++, factor *= 128) {
      value += (chunk[at]! & 127) * factor;
      if (chunk[at]! < 128) break;
    }
    values.push(value);
  }
  return values;
}
