import { once } from "node:events";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { type DescMethod, create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { ProxyStage } from "./stage.ts";

/** What came back over HTTP/2, undigested. */
export interface RawAnswer {
  readonly headers: IncomingHttpHeaders;
  /** Empty when the answer was headers alone. */
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** One gRPC message in its frame. */
export function framed<M extends DescMethod>(method: M, input: MessageInitShape<M["input"]>): Buffer {
  const schema: M["input"] = method.input;
  return frame(toBinary(schema, create(schema, input)));
}

export function frame(message: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The payloads of frames one after the other, each with its flags. */
export function unframed(body: Buffer): { readonly flags: number; readonly payload: Buffer }[] {
  const frames = [];
  for (let at = 0; at < body.length;) {
    const length = body.readUInt32BE(at + 1);
    frames.push({ flags: body.readUInt8(at), payload: body.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return frames;
}

/** The gRPC status that an answer carries, wherever it stands. */
export function statusOf({ headers, trailers }: RawAnswer): { readonly code: string; readonly message: string } {
  const said: Readonly<Record<string, unknown>> = "grpc-status" in trailers ? trailers : headers;
  const { "grpc-status": code, "grpc-message": message = "" } = said;
  return { code: String(code), message: decodeURIComponent(String(message)) };
}

/** Opens a call, sends one message, and closes the connection as soon as something has come back: the input never ends. */
export async function rawLeave(stage: ProxyStage, path: string, body: Buffer): Promise<void> {
  const session = connect(`http://${stage.address}`);
  session.on("error", () => undefined);
  const stream = session.request({ ...grpcHeaders, ":path": path });
  stream.on("error", () => undefined);
  stream.write(body);
  await once(stream, "data", { signal: AbortSignal.timeout(stage.patience.answerMs) });
  session.destroy();
}

const grpcHeaders = { ":method": "POST", "content-type": "application/grpc", te: "trailers" } as const;

/** One call by hand, so that nothing of a gRPC library stands between the case and what the proxy sends. */
export async function rawCall(
  stage: ProxyStage,
  path: string,
  body: Buffer,
  headers: Readonly<Record<string, string>> = {},
): Promise<RawAnswer> {
  const session = connect(`http://${stage.address}`);
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  session.on("error", reject);
  const stream = session.request({ ...grpcHeaders, ":path": path, ...headers });
  const chunks: Buffer[] = [];
  let answer: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  stream.on("response", (received) => (answer = received));
  stream.on("trailers", (received: IncomingHttpHeaders) => (trailers = received));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("error", reject);
  stream.on("close", () => resolve({ headers: answer, trailers, body: Buffer.concat(chunks) }));
  const { answerMs } = stage.patience;
  const timer = setTimeout(() => reject(new Error(`${path} was not answered within ${answerMs} ms`)), answerMs);
  stream.end(body);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    session.destroy();
  }
}
