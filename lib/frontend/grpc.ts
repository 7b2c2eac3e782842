import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import { Budget } from "../wire/http2-budget.ts";
import type { HeaderBlock, HeaderList, ServerStream, StreamReceiver } from "../wire/http2.ts";
import { deaf, GrpcCall, refuse, type CallParts, type Route } from "./call.ts";
import { plainAnswer } from "./plain.ts";

/** Paths of the gRPC methods that are served. */
export type Routes = ReadonlyMap<string, Route>;

export interface GrpcOptions {
  readonly bufferBytes: number;
  readonly windowBytes: number;
  readonly messageBytesMax: number;
  readonly headerBytesMax: number;
}

export interface GrpcParts {
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
}

/** The gRPC side of the front: takes the streams of all connections and makes calls of them by the routes of the moment. */
export interface GrpcFront {
  readonly calls: number;
  setRoutes(routes: Routes): void;
  /** From now on new calls get UNAVAILABLE. */
  refuseCalls(): void;
  /** Ends the calls that are open; those of `service` only, if it is given. */
  abort(error: MassaError, service?: string): void;
  stream(stream: ServerStream, headers: HeaderList, ended: boolean): StreamReceiver;
  /** Runs `callback` once no call is open. */
  onIdle(callback: () => void): void;
}

interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly contentType: string | undefined;
  readonly probe: string | undefined;
}

export function createGrpcFront(parts: GrpcParts, options: GrpcOptions): GrpcFront {
  const open = new Set<GrpcCall>();
  let routes: Routes = new Map();
  let refusing = false;
  let idle: (() => void) | undefined;

  const callParts: CallParts = {
    ...parts,
    ...options,
    budget: new Budget(options.bufferBytes, () => {
      let bytes = 0;
      for (const call of open) bytes += call.heldBytes;
      return bytes;
    }),
    closed(call) {
      open.delete(call);
      if (open.size === 0) idle?.();
    },
  };

  function stream(stream: ServerStream, headers: HeaderList, ended: boolean): StreamReceiver {
    const head = headOf(headers);
    if (head.method !== "POST" || head.contentType === undefined) return plain(stream, head, ended);
    if (!isGrpc(head.contentType)) {
      respondPlain(
        stream,
        415,
        `content-type ${head.contentType.slice(0, 200)} is not served here: use application/grpc`,
      );
      return deaf;
    }
    const route = routes.get(head.path);
    const refusal = refusing ? shuttingDown : route ? undefined : unknownPath(routes, head.path);
    if (refusal || !route) {
      refuse(stream, refusal ?? shuttingDown);
      return deaf;
    }
    const call = new GrpcCall(callParts, route, stream, headers);
    open.add(call);
    call.start(headers);
    if (ended) call.ended();
    return call;
  }

  return {
    stream,
    get calls() {
      return open.size;
    },
    setRoutes(next) {
      routes = next;
    },
    refuseCalls() {
      refusing = true;
    },
    abort(error, service) {
      for (const call of [...open]) if (service === undefined || call.service === service) call.abort(error);
    },
    onIdle(callback) {
      idle = callback;
      if (open.size === 0) callback();
    },
  };
}

const shuttingDown = new MassaError("unavailable", "the proxy is shutting down");

function unknownPath(routes: Routes, path: string): MassaError {
  const [, service = "", method = ""] = path.slice(0, 500).split("/");
  const known = [...routes.values()].some((route) => route.service === service);
  return new MassaError(
    "unimplemented",
    known ? `service ${service} has no method ${method}` : `service ${service} is not served here`,
  );
}

function isGrpc(contentType: string): boolean {
  if (contentType === "application/grpc" || contentType === "application/grpc+proto") return true;
  return /^application\/grpc(\+proto)?\s*;/.test(contentType);
}

function headOf(headers: HeaderList): RequestHead {
  let method = "";
  let path = "";
  let contentType: string | undefined;
  let probe: string | undefined;
  for (let at = 0; at < headers.length; at += 2) {
    const value = headers[at + 1]!;
    switch (headers[at]) {
      case ":method":
        method = value;
        break;
      case ":path":
        path = value;
        break;
      case "content-type":
        contentType = value;
        break;
      case "k-network-probe":
        probe = value;
        break;
    }
  }
  return { method, path, contentType, probe };
}

/** Answers a request that is no gRPC once it has ended: what is wrong with the rest of it is then the engine's to say. */
function plain(stream: ServerStream, head: RequestHead, ended: boolean): StreamReceiver {
  const { status, body } = plainAnswer(head.path, head.probe);
  const answer = () => respondPlain(stream, status, body);
  if (!ended) return { ...deaf, ended: answer };
  answer();
  return deaf;
}

function respondPlain(stream: ServerStream, status: number, body: string): void {
  const headers: HeaderBlock = { ":status": String(status), "content-type": "text/plain; charset=utf-8" };
  stream.respond(headers);
  stream.write(Buffer.from(body));
  stream.finish({});
}
