import { createServer, type Server, type Socket } from "node:net";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import type { Http2Engine, ServerSession, ServerSessionListener } from "../wire/http2.ts";
import { bind, type ListenAddress } from "./bind.ts";
import type { ServeExchange } from "./exchange.ts";
import { awaitGreeting } from "./greeting.ts";
import { createHttp1, endWith, type Http1Options } from "./http1.ts";

export interface ListenerOptions extends ListenAddress, Http1Options {
  /** `frontend.connections` (10,000): more are closed at once. */
  readonly connectionsMax: number;
  /** `frontend.streams` (10,000): HTTP/2 streams of one connection. */
  readonly streamsMax: number;
  /** `frontend.window` (64 KiB): what a client may send ahead on one stream. */
  readonly windowBytes: number;
  /** `frontend.greetingTimeout` (10 s): until the first bytes of a connection have come. */
  readonly greetingTimeoutMs: number;
}

export interface ListenerParts {
  readonly engine: Http2Engine;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly serve: ServerSessionListener["stream"];
  readonly serveHttp: ServeExchange;
}

export interface Listener {
  readonly port: number;
  /** Takes no new connections; those that are open are told to go elsewhere and close after their last call. */
  drain(): void;
  /** Closes everything at once. */
  close(): Promise<void>;
}

const sessionMemoryMib = 256;

/** Opens the front port and, if there is one, the Unix socket: the first bytes of each connection decide between HTTP/2 and HTTP/1.1. */
export async function openListener(parts: ListenerParts, options: ListenerOptions): Promise<Listener> {
  const { engine, world, log, telemetry, serve } = parts;
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerSession>();
  const http1 = createHttp1({ world, log, telemetry, serve: parts.serveHttp }, options);
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
          http1.take(socket);
          return;
        case "unknown":
          turnAway(socket, "garbage", "the first bytes are neither HTTP/2 nor HTTP/1.1");
          return;
        case "gone":
          socket.destroy();
          return;
        case "late":
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
    endWith(socket, world.clock, reason === "silence" ? 408 : 400, text);
  }

  const servers: Server[] = [];
  const closeAll = async () => {
    for (const socket of sockets) socket.destroy();
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
      http1.drain();
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
