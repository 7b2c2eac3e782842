import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import type { Http2Engine, ServerSession, ServerSessionListener } from "../wire/http2.ts";
import { bind, type ListenAddress } from "./bind.ts";
import { awaitGreeting } from "./greeting.ts";
import { plainAnswer } from "./plain.ts";

export interface ListenerOptions extends ListenAddress {
  /** `frontend.connections` (10,000): more are closed at once. */
  readonly connectionsMax: number;
  /** `frontend.streams` (10,000): HTTP/2 streams of one connection. */
  readonly streamsMax: number;
  /** `frontend.window` (64 KiB): what a client may send ahead on one stream. */
  readonly windowBytes: number;
  /** `limits.headers` (16 KiB): header block of one request. */
  readonly headerBytesMax: number;
  /** `frontend.greetingTimeout` (10 s): until the first bytes of a connection have come. */
  readonly greetingTimeoutMs: number;
  /** `frontend.idleTimeout` (12 h): a connection without traffic is closed. */
  readonly idleTimeoutMs: number;
}

export interface ListenerParts {
  readonly engine: Http2Engine;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly serve: ServerSessionListener["stream"];
}

export interface Listener {
  readonly port: number;
  /** Takes no new connections; those that are open are told to go elsewhere and close after their last call. */
  drain(): void;
  /** Closes everything at once. */
  close(): Promise<void>;
}

const sessionMemoryMib = 256;
const http1TimeoutMs = 120_000;

/** Opens the front port and, if there is one, the Unix socket: the first bytes of each connection decide between HTTP/2 and HTTP/1.1. */
export async function openListener(parts: ListenerParts, options: ListenerOptions): Promise<Listener> {
  const { engine, world, log, telemetry, serve } = parts;
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerSession>();
  const http1 = openHttp1(options, log, telemetry);
  let draining = false;
  telemetry.gauge("massa_front_connections", () => sockets.size);

  function connected(socket: Socket): void {
    socket.on("error", (error) =>
      log.debug({ peer: socket.remoteAddress, reason: error.message }, "connection failed"),
    );
    if (sockets.size >= options.connectionsMax) {
      telemetry.count("massa_limit_reached_total", { limit: "frontend.connections" });
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    awaitGreeting(socket, world.clock, options.greetingTimeoutMs, (greeting) => {
      if (socket.destroyed) return;
      switch (greeting) {
        case "http2":
          accept(socket);
          return;
        case "http1":
          http1.emit("connection", socket);
          socket.resume();
          return;
        case "unknown":
          turnAway(socket, "garbage", "the first bytes are neither HTTP/2 nor HTTP/1.1");
          return;
        case undefined:
          turnAway(socket, "silence", "no request came in time");
          return;
      }
    });
  }

  function accept(socket: Socket): void {
    const session = engine.accept(
      socket,
      { ...options, sessionMemoryMib },
      {
        stream: serve,
        closed: (error) => {
          sessions.delete(session);
          if (!error) return;
          telemetry.count("massa_front_refused_total", { reason: "http2" });
          // Clients that end with a call or a ping on its way count too, so that this is no news to an operator.
          log.debug({ peer: socket.remoteAddress, reason: error.message }, "connection ended by a protocol error");
        },
      },
    );
    sessions.add(session);
    if (draining) session.close();
  }

  function turnAway(socket: Socket, reason: string, text: string): void {
    telemetry.count("massa_front_refused_total", { reason });
    log.info({ peer: socket.remoteAddress, reason }, "connection turned away");
    endWith(socket, reason === "silence" ? 408 : 400, text);
  }

  const servers: Server[] = [];
  const closeAll = async () => {
    for (const socket of sockets) socket.destroy();
    http1.close();
    await Promise.all(servers.map(closed));
  };
  try {
    for (const address of [
      { host: options.host, port: options.port },
      ...(options.socket === undefined ? [] : [{ path: options.socket }]),
    ]) {
      const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, connected);
      await bind(server, address);
      server.on("error", (error) => log.error({ reason: error.message }, "front port cannot accept a connection"));
      servers.push(server);
    }
  } catch (failure) {
    await closeAll();
    throw failure;
  }
  const bound = servers[0]!.address();
  return {
    port: typeof bound === "object" && bound ? bound.port : options.port,
    drain() {
      draining = true;
      for (const server of servers) server.close();
      for (const session of sessions) session.close();
      http1.closeIdleConnections();
    },
    close: closeAll,
  };
}

function closed(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  // The only error there is says that it is closed already.
  server.close(() => resolve(undefined));
  return promise;
}

const reasons: Readonly<Record<number, string>> = {
  400: "Bad Request",
  408: "Request Timeout",
  431: "Request Header Fields Too Large",
};

/** A last word in HTTP/1.1, which whoever sent garbage can read best, and the end. */
function endWith(socket: Duplex, status: number, text: string): void {
  const head = `HTTP/1.1 ${status} ${reasons[status] ?? "Error"}\r\nconnection: close\r\ncontent-type: text/plain\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`, () => socket.destroy());
}

function openHttp1(options: ListenerOptions, log: Logger, telemetry: Telemetry): HttpServer {
  const server = createHttpServer({ maxHeaderSize: options.headerBytesMax }, answer);
  server.timeout = http1TimeoutMs;
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    telemetry.count("massa_front_refused_total", { reason: "http1" });
    log.info({ reason: error.message }, "bad HTTP/1.1 request");
    // Who sends no method that HTTP/1.1 has does not speak it, and would take an answer for something else.
    if (!socket.writable || error.code === "HPE_INVALID_METHOD") socket.destroy();
    else if (error.code === "HPE_HEADER_OVERFLOW")
      endWith(socket, 431, `the headers are over limits.headers of ${options.headerBytesMax} bytes`);
    else endWith(socket, 400, `bad HTTP/1.1 request: ${error.message}`);
  });
  return server;
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const probe = request.headers["k-network-probe"];
  const { status, body } = plainAnswer(request.url ?? "", Array.isArray(probe) ? probe[0] : probe);
  request.resume();
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(body);
}
