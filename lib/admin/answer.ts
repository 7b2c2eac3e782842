import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { BlockList, isIPv6 } from "node:net";
import { MassaError, statusOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { AdminAnswer, RouteTable } from "./route.ts";

export interface AnswerOptions {
  readonly token: string | undefined;
  readonly bodyBytesMax: number;
}

/** Its HTTP status is another than that of a limit of ours that was reached. */
class BodyTooLong extends MassaError {}

const noBody = Buffer.alloc(0);
const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Answers one request by the table of routes; whatever goes wrong becomes an answer. */
export async function answer(
  routes: RouteTable,
  options: AnswerOptions,
  log: Logger,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort(new MassaError("canceled", "the client is gone")));
  let result: AdminAnswer;
  try {
    result = await resultOf(routes, options, request, gone.signal);
  } catch (failure) {
    const error = MassaError.from(failure);
    if (error.code === "internal") log.error({ path: request.url, reason: error.message }, "admin request failed");
    result = { status: httpStatus(error), body: { error: error.message } };
  }
  if (response.destroyed) return;
  const isText = typeof result.body === "string";
  const body = result.body === undefined ? "" : isText ? (result.body as string) : `${JSON.stringify(result.body)}\n`;
  response.writeHead(result.status, {
    "content-type": result.contentType ?? (isText ? "text/plain; charset=utf-8" : "application/json"),
    "content-length": Buffer.byteLength(body),
    ...(request.complete ? {} : { connection: "close" }),
  });
  response.end(request.method === "HEAD" ? "" : body);
}

async function resultOf(
  routes: RouteTable,
  options: AnswerOptions,
  request: IncomingMessage,
  signal: AbortSignal,
): Promise<AdminAnswer> {
  const { method = "", url = "" } = request;
  const query = url.indexOf("?");
  const path = query < 0 ? url : url.slice(0, query);
  const match = routes.match(method, path);
  if (!match) throw new MassaError("not-found", `there is nothing at ${path}`);
  if (match.guard === "guarded") admit(request, options.token);
  return match.handler({
    params: match.params,
    query: new URLSearchParams(query < 0 ? "" : url.slice(query)),
    headers: request.headers,
    // What anybody may ask takes no body: nothing of a stranger's is held.
    body: match.guard === "open" ? noBody : await bodyOf(request, options.bodyBytesMax),
    signal,
  });
}

/** Throws unless the request comes from this machine, and from no web page there, or brings the token. */
function admit(request: IncomingMessage, token: string | undefined): void {
  const { authorization, origin } = request.headers;
  const bearer = /^Bearer +(.+)$/i.exec(authorization ?? "")?.[1];
  if (bearer !== undefined && token !== undefined && isSame(bearer, token)) return;
  if (authorization !== undefined)
    throw new MassaError("unauthenticated", "the token is not that of MASSA_ADMIN_TOKEN");
  if (!isLoopback(request.socket.remoteAddress ?? ""))
    throw new MassaError("unauthenticated", "only from this machine, or with MASSA_ADMIN_TOKEN as a bearer token");
  // A web page that is open on this machine can send requests here too; a browser says so.
  if (origin !== undefined) throw new MassaError("denied", "not from a web page");
}

function isLoopback(address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1] ?? address;
  return mapped !== "" && loopback.check(mapped, isIPv6(mapped) ? "ipv6" : "ipv4");
}

/** Compares in a time that tells nothing of the token. */
function isSame(left: string, right: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(left), hash(right));
}

async function bodyOf(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const tooLong = () => new BodyTooLong("exhausted", `the body is over limits.message of ${bytesMax} bytes`);
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) throw tooLong();
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    // Leaving the loop must not destroy the request: its socket still carries the answer.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw tooLong();
      chunks.push(chunk);
    }
  } catch (failure) {
    throw MassaError.from(failure, "canceled");
  }
  return Buffer.concat(chunks);
}

function httpStatus(error: MassaError): number {
  if (error instanceof BodyTooLong) return 413;
  return error.code === "unimplemented" ? 405 : statusOf[error.code].http;
}
