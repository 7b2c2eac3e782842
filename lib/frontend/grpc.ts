import { MassaError } from "../core/errors.ts";
import type { HeaderList, ServerStream, StreamReceiver } from "../wire/http2.ts";
import { deaf, GrpcCall, refuse, type CallParts } from "./call.ts";
import type { ServeExchange } from "./exchange.ts";
import { Http2Exchange } from "./exchange-http2.ts";
import { createHttpDate } from "./http-date.ts";
import { unknownPath, type Routes } from "./grpc-routes.ts";
import type { OpenCalls } from "./open-calls.ts";

export interface GrpcFrontParts extends CallParts {
  readonly calls: OpenCalls;
  /** Takes the requests that are no gRPC. */
  readonly serveHttp: ServeExchange;
}

/** The HTTP/2 side of the front: takes the streams of all connections and makes calls of them by the routes of the moment. */
export interface GrpcFront {
  setRoutes(routes: Routes): void;
  stream(stream: ServerStream, headers: HeaderList, ended: boolean): StreamReceiver;
}

interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly contentType: string | undefined;
}

export function createGrpcFront(parts: GrpcFrontParts): GrpcFront {
  const { calls, serveHttp } = parts;
  const date = createHttpDate(parts.world.clock);
  let routes: Routes = new Map();

  function stream(stream: ServerStream, headers: HeaderList, ended: boolean): StreamReceiver {
    const { method, path, contentType } = headOf(headers);
    if (method !== "POST" || contentType === undefined || !isGrpc(contentType)) {
      return serveHttp(new Http2Exchange(stream, method, path, withoutPseudo(headers), date), ended);
    }
    const route = routes.get(path);
    if (!route || calls.refusing) {
      refuse(stream, calls.refusing ? shuttingDown : unknownPath(routes, path));
      return deaf;
    }
    const call = new GrpcCall(parts, route, stream, headers);
    calls.add(call);
    call.start(headers);
    if (ended) call.ended();
    return call;
  }

  return {
    stream,
    setRoutes(next) {
      routes = next;
    },
  };
}

const shuttingDown = new MassaError("unavailable", "the proxy is shutting down");

function isGrpc(contentType: string): boolean {
  if (contentType === "application/grpc" || contentType === "application/grpc+proto") return true;
  return /^application\/grpc(\+proto)?\s*(;|$)/i.test(contentType);
}

function headOf(headers: HeaderList): RequestHead {
  let method = "";
  let path = "";
  let contentType: string | undefined;
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
    }
  }
  return { method, path, contentType };
}

/** Pseudo headers come first. */
function withoutPseudo(headers: HeaderList): HeaderList {
  let at = 0;
  while (headers[at]?.startsWith(":") === true) at += 2;
  return at === 0 ? headers : headers.slice(at);
}
