import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, World } from "../core/world.ts";
import type { ServeExchange } from "./exchange.ts";
import { Http1Exchange, type ExchangeOwner } from "./exchange-http1.ts";

export interface Http1Options {
  /** `limits.headers` (16 KiB): header block of one request. */
  readonly headerBytesMax: number;
  /** `frontend.idleTimeout` (12 h): a connection without traffic is closed, calls or not. */
  readonly idleTimeoutMs: number;
  /** `frontend.bodyTimeout` (30 s): until the body of a request that was answered already has come whole. */
  readonly bodyTimeoutMs: number;
  /** `frontend.http1.headersTimeout` (10 s): until the headers of the first request of a connection have come. */
  readonly headersTimeoutMs: number;
  /** `frontend.http1.keepAlive` (2 min): from an answer until the headers of the next request have come. */
  readonly keepAliveMs: number;
  /** `frontend.http1.pipeline` (100): requests of a connection that wait for the answers of earlier ones. */
  readonly pipelineMax: number;
}

export interface Http1Parts {
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly serve: ServeExchange;
}

/** The HTTP/1.1 side of the front port. */
export interface Http1Server {
  /** Serves a connection whose first bytes are at its head. */
  take(socket: Socket): void;
  /** Closes idle connections, and the others after the requests that they have sent. */
  drain(): void;
}

/** Makes the server; the requests of one connection are served one after another, in order. */
export function createHttp1(parts: Http1Parts, options: Http1Options): Http1Server {
  const connections = new Map<Duplex, Connection>();
  const shared: Shared = { ...parts, options, draining: false };
  const server = createServer({
    maxHeaderSize: options.headerBytesMax,
    insecureHTTPParser: false,
    // Checked by the exchange: Node would refuse the request and still serve those behind it.
    requireHostHeader: false,
    // Its own timers need a server that listens; ours are below.
    keepAliveTimeout: 0,
  });
  server.maxHeadersCount = 0; // Above that number Node leaves headers out in silence; their size is bounded.
  server.timeout = options.idleTimeoutMs;
  const take = (awaitsContinue: boolean) => (request: IncomingMessage, response: ServerResponse) =>
    connections.get(request.socket)?.request(request, response, awaitsContinue);
  server.on("request", take(false));
  server.on("checkContinue", take(true));
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    const connection = connections.get(socket);
    if (connection) connection.broke(error);
    else socket.destroy();
  });

  return {
    take(socket) {
      connections.set(socket, new Connection(shared, socket));
      socket.once("close", () => {
        connections.get(socket)?.closed();
        connections.delete(socket);
      });
      server.emit("connection", socket);
      socket.resume();
    },
    drain() {
      shared.draining = true;
      for (const connection of connections.values()) connection.drain();
    },
  };
}

interface Shared extends Http1Parts {
  readonly options: Http1Options;
  draining: boolean;
}

class Connection implements ExchangeOwner {
  readonly #shared: Shared;
  readonly #socket: Socket;
  readonly #waiting: Http1Exchange[] = [];
  #current: Http1Exchange | undefined;
  /** What is wrong with what came after the requests that are whole. */
  #fault: { readonly status: number; readonly text: string } | undefined;
  #isBroken = false;
  /** The last answer is out. */
  #isClosing = false;
  #cancelTimer: Cancel;

  constructor(shared: Shared, socket: Socket) {
    this.#shared = shared;
    this.#socket = socket;
    this.#cancelTimer = shared.world.clock.after(shared.options.headersTimeoutMs, () => {
      this.#limitReached("frontend.http1.headersTimeout");
      endWith(socket, 408, "the headers did not come in time");
    });
  }

  get closing(): boolean {
    return this.#shared.draining;
  }

  request(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    if (this.#socket.destroyed || this.#isClosing) return;
    this.#cancelTimer();
    const exchange = new Http1Exchange(request, response, awaitsContinue, this);
    if (!this.#current) {
      this.#begin(exchange);
    } else if (this.#waiting.push(exchange) > this.#shared.options.pipelineMax) {
      this.#limitReached("frontend.http1.pipeline");
      this.#socket.destroy();
    }
  }

  exchanged(exchange: Http1Exchange): void {
    this.#current = undefined;
    if (exchange.isLast || !this.#socket.writable) this.#isClosing = true;
    if (this.#isClosing) return;
    const next = this.#waiting.shift();
    if (next) this.#begin(next);
    else if (this.#fault) endWith(this.#socket, this.#fault.status, this.#fault.text);
    else if (this.closing) this.#socket.destroySoon();
    else this.#awaitNext(exchange);
  }

  lingers(): void {
    this.#awaitRest();
  }

  /** The parser has given up: no request comes after those that it has told of. */
  broke(error: NodeJS.ErrnoException): void {
    if (this.#isBroken) return;
    if (!this.#socket.writable || error.code?.startsWith("HPE_") !== true) {
      this.#socket.destroy();
      return;
    }
    this.#isBroken = true;
    this.#cancelTimer();
    const { telemetry, log, options } = this.#shared;
    telemetry.count("massa_front_refused_total", { reason: "http1" });
    log.info({ peer: this.#socket.remoteAddress, reason: error.message }, "bad HTTP/1.1 request");
    const text = `bad HTTP/1.1 request: ${error.message}`;
    const last = this.#waiting.at(-1) ?? this.#current;
    if (last && !last.isRead) {
      last.refuse(text);
      return;
    }
    this.#fault =
      error.code === "HPE_HEADER_OVERFLOW"
        ? { status: 431, text: `the headers are over limits.headers of ${options.headerBytesMax} bytes` }
        : { status: 400, text };
    if (this.#current) return;
    // Who sends no method that HTTP/1.1 has does not speak it, and would take an answer for something else.
    if (error.code === "HPE_INVALID_METHOD") this.#socket.destroy();
    else endWith(this.#socket, this.#fault.status, this.#fault.text);
  }

  drain(): void {
    if (!this.#current) this.#socket.destroySoon();
  }

  closed(): void {
    this.#cancelTimer();
    this.#waiting.length = 0;
  }

  #begin(exchange: Http1Exchange): void {
    this.#current = exchange;
    exchange.begin(this.#shared.serve);
  }

  #awaitNext(exchange: Http1Exchange): void {
    const { world, options } = this.#shared;
    if (exchange.isRead) this.#cancelTimer = world.clock.after(options.keepAliveMs, () => this.#socket.destroySoon());
    else this.#awaitRest();
  }

  /** Waits for the rest of a request that has been answered. */
  #awaitRest(): void {
    const { world, options } = this.#shared;
    this.#cancelTimer = world.clock.after(options.bodyTimeoutMs, () => {
      this.#limitReached("frontend.bodyTimeout");
      this.#socket.destroy();
    });
  }

  #limitReached(limit: string): void {
    this.#shared.telemetry.count("massa_limit_reached_total", { limit });
  }
}

const reasons: Readonly<Record<number, string>> = {
  400: "Bad Request",
  408: "Request Timeout",
  431: "Request Header Fields Too Large",
};

/** A last word in HTTP/1.1, which whoever sent garbage can read best, and the end. */
export function endWith(socket: Duplex, status: number, text: string): void {
  const head = `HTTP/1.1 ${status} ${reasons[status] ?? "Error"}\r\nconnection: close\r\ncontent-type: text/plain\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`, () => socket.destroy());
}
