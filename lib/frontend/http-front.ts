import { MassaError } from "../core/errors.ts";
import type { StreamReceiver } from "../wire/http2.ts";
import { deaf, GrpcCall, refuse, type CallParts } from "./call.ts";
import { createCors, type CorsOptions } from "./cors.ts";
import { headerOf, type Exchange, type ServeExchange } from "./exchange.ts";
import { unknownPath, type Routes } from "./grpc-routes.ts";
import { webFormOf, WebReceiver, WebStream, type WebForm } from "./grpc-web.ts";
import type { HttpRoutes } from "./http-routes.ts";
import { JsonCall, type JsonParts } from "./json-call.ts";
import { plainAnswer } from "./plain.ts";

export interface HttpFrontParts extends CallParts, JsonParts {
  readonly cors: CorsOptions;
}

/** The side of the front port that speaks plain HTTP, of either version: JSON, gRPC-Web, CORS and the probe. */
export interface HttpFront {
  readonly serve: ServeExchange;
  setRoutes(http: HttpRoutes, grpc: Routes): void;
}

export function createHttpFront(parts: HttpFrontParts): HttpFront {
  const { calls, world, bodyTimeoutMs } = parts;
  const cors = createCors(parts.cors);
  let http: HttpRoutes = { find: () => undefined, methods: () => [] };
  let grpc: Routes = new Map();

  function serve(exchange: Exchange, ended: boolean): StreamReceiver {
    if (cors) exchange.extraHeaders = cors.headersFor(headerOf(exchange.headers, "origin"));
    if (exchange.method === "OPTIONS" && preflight(exchange)) return deaf;
    if (exchange.method === "POST") {
      const type = headerOf(exchange.headers, "content-type");
      if (type !== undefined && isGrpc(type)) return serveGrpc(exchange, type, ended);
    }
    const match = http.find(exchange.method, exchange.path) ?? headOf(exchange);
    if (!match) return servePlain(exchange, ended);
    if (calls.refusing) {
      exchange.respondWhole(503, plainText, Buffer.from(shuttingDown.message));
      return deaf;
    }
    const call = new JsonCall(parts, match, exchange);
    calls.add(call);
    call.start(ended);
    return call;
  }

  function headOf({ method, path }: Exchange) {
    return method === "HEAD" ? http.find("GET", path) : undefined;
  }

  function preflight(exchange: Exchange): boolean {
    const origin = headerOf(exchange.headers, "origin");
    if (!cors || origin === undefined || headerOf(exchange.headers, "access-control-request-method") === undefined) {
      return false;
    }
    const methods = methodsOf(exchange.path);
    const headers = methods.length > 0 ? cors.preflight(origin, methods) : undefined;
    if (headers) exchange.respondWhole(204, headers);
    return headers !== undefined;
  }

  /** All that a page or a client may send to a path; a path of gRPC takes POST from gRPC-Web. */
  function methodsOf(path: string): readonly string[] {
    const methods = new Set(http.methods(path));
    if (grpc.has(path)) methods.add("POST");
    if (methods.has("GET")) methods.add("HEAD");
    return [...methods].sort();
  }

  function serveGrpc(exchange: Exchange, type: string, ended: boolean): StreamReceiver {
    const form = webFormOf(exchange, type);
    if (form) return serveWeb(exchange, form, ended);
    const shown = `content-type ${type.slice(0, 200)} is not served here`;
    const text = exchange.version === 1 ? "gRPC needs HTTP/2" : "use application/grpc";
    exchange.respondWhole(415, plainText, Buffer.from(`${shown}: ${text}, or application/grpc-web`));
    return deaf;
  }

  function serveWeb(exchange: Exchange, form: WebForm, ended: boolean): StreamReceiver {
    const stream = new WebStream(exchange, form);
    const route = grpc.get(exchange.path);
    if (!route || calls.refusing) {
      refuse(stream, calls.refusing ? shuttingDown : unknownPath(grpc, exchange.path));
      return deaf;
    }
    const call = new GrpcCall(parts, route, stream, exchange.headers);
    const receiver = new WebReceiver(call, form);
    calls.add(call);
    exchange.proceed();
    call.start(exchange.headers);
    if (ended) receiver.ended();
    else if (!route.streamedIn) receiver.bodyTimer = world.clock.after(bodyTimeoutMs, () => tooSlow(call));
    return receiver;
  }

  function tooSlow(call: GrpcCall): void {
    parts.telemetry.count("massa_limit_reached_total", { limit: "frontend.bodyTimeout" });
    call.abort(new MassaError("deadline", `the body did not come within frontend.bodyTimeout of ${bodyTimeoutMs} ms`));
  }

  /** Answers once the request has ended: what is wrong with the rest of it is then the engine's to say. */
  function servePlain(exchange: Exchange, ended: boolean): StreamReceiver {
    const answer = () => answerPlain(exchange);
    if (!ended && exchange.version === 2) return { ...deaf, ended: answer };
    answer();
    return deaf;
  }

  function answerPlain(exchange: Exchange): void {
    const methods = exchange.method === "OPTIONS" ? methodsOf(exchange.path) : [];
    if (methods.length > 0) {
      exchange.respondWhole(204, { allow: [...methods, "OPTIONS"].sort().join(", ") });
      return;
    }
    const { status, body } = plainAnswer(headerOf(exchange.headers, "k-network-probe"));
    exchange.respondWhole(status, body === "" ? {} : plainText, Buffer.from(body));
  }

  return {
    serve,
    setRoutes(nextHttp, nextGrpc) {
      http = nextHttp;
      grpc = nextGrpc;
    },
  };
}

const shuttingDown = new MassaError("unavailable", "the proxy is shutting down");
const grpcBegin = "application/grpc";

function isGrpc(contentType: string): boolean {
  return contentType.slice(0, grpcBegin.length).toLowerCase() === grpcBegin;
}

const plainText = { "content-type": "text/plain; charset=utf-8" };
