import { createServer, STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, Clock, World } from "../core/world.ts";
import type { ServeExchange } from "./exchange.ts";
import { Http1Exchange, type ExchangeOwner, type Expectation } from "./exchange-http1.ts";
import { methodAt, type Refusal } from "./http1-head.ts";

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
  const take = (expectation: Expectation) => (request: IncomingMessage, response: ServerResponse) =>
    connections.get(request.socket)?.request(request, response, expectation);
  server.on("request", take("none"));
  server.on("checkContinue", take("continue"));
  server.on("checkExpectation", take("unknown"));
  server.on("connect", (request) => connections.get(request.socket)?.connect());
  server.on("clientError", (error: ParserError, socket) => {
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

/** What the parser says of bytes that it does not understand: all that came with them, and where it stopped. */
interface ParserError extends NodeJS.ErrnoException {
  readonly rawPacket?: Buffer;
  readonly bytesParsed?: number;
}

class Connection implements ExchangeOwner {
  readonly #shared: Shared;
  readonly #socket: Socket;
  readonly #waiting: Http1Exchange[] = [];
  #current: Http1Exchange | undefined;
  /** What is wrong with what came after the requests that are whole. */
  #fault: Refusal | undefined;
  #isBroken = false;
  /** The last answer is out. */
  #isClosing = false;
  #cancelTimer: Cancel;

  constructor(shared: Shared, socket: Socket) {
    this.#shared = shared;
    this.#socket = socket;
    this.#cancelTimer = shared.world.clock.after(shared.options.headersTimeoutMs, () => {
      this.#limitReached("frontend.http1.headersTimeout");
      this.#endWith({ status: 408, text: "the headers did not come in time" });
    });
  }

  get closing(): boolean {
    return this.#shared.draining;
  }

  request(request: IncomingMessage, response: ServerResponse, expectation: Expectation): void {
    if (this.#socket.destroyed || this.#isClosing) return;
    this.#cancelTimer();
    const exchange = new Http1Exchange(request, response, expectation, this);
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
    else if (this.#fault) this.#endWith(this.#fault);
    else if (this.closing) this.#socket.destroySoon();
    else this.#awaitNext(exchange);
  }

  lingers(): void {
    this.#awaitRest();
  }

  /** The parser has given up: no request comes after those that it has told of. */
  broke(error: ParserError): void {
    if (this.#isBroken) return;
    if (!this.#socket.writable || error.code?.startsWith("HPE_") !== true) {
      this.#socket.destroy();
      return;
    }
    this.#isBroken = true;
    this.#noteBad(error.message);
    const refusal = this.#refusalOf(error);
    const last = this.#waiting.at(-1) ?? this.#current;
    if (last && !last.isRead) {
      last.refuse(refusal);
      return;
    }
    this.#fault = refusal;
    if (this.#current) return;
    // Who sends no line of a request does not speak HTTP/1.1, and would take an answer for something else.
    if (error.code === "HPE_INVALID_METHOD" && refusal.status !== 501) this.#socket.destroy();
    else this.#endWith(refusal);
  }

  /** A CONNECT, with which Node lets go of the connection: what has come before is answered, nothing behind it is read. */
  connect(): void {
    const socket = this.#socket;
    // Whoever does not read does not see the client go.
    socket.resume();
    if (!socket.writable) return;
    socket.on("drain", () => this.#current?.drained());
    socket.on("timeout", () => socket.destroy());
    this.#isBroken = true;
    this.#noteBad("CONNECT");
    this.#fault = { status: 501, text: "CONNECT is not served: there are no tunnels here" };
    if (!this.#current) this.#endWith(this.#fault);
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

  #noteBad(reason: string): void {
    const { telemetry, log } = this.#shared;
    this.#cancelTimer();
    telemetry.count("massa_front_refused_total", { reason: "http1" });
    log.info({ peer: this.#socket.remoteAddress, reason }, "bad HTTP/1.1 request");
  }

  #refusalOf({ code, message, rawPacket, bytesParsed }: ParserError): Refusal {
    if (code === "HPE_HEADER_OVERFLOW") {
      this.#limitReached("limits.headers");
      const { headerBytesMax } = this.#shared.options;
      return { status: 431, text: `the headers are over limits.headers of ${headerBytesMax} bytes` };
    }
    const method = code === "HPE_INVALID_METHOD" && rawPacket ? methodAt(rawPacket, bytesParsed ?? 0) : undefined;
    if (method !== undefined) return { status: 501, text: `method ${method.slice(0, 100)} is not known here` };
    return { status: 400, text: `bad HTTP/1.1 request: ${message}` };
  }

  #endWith({ status, text }: Refusal): void {
    endWith(this.#socket, this.#shared.world.clock, status, text);
  }

  #limitReached(limit: string): void {
    this.#shared.telemetry.count("massa_limit_reached_total", { limit });
  }
}

/** A last word in HTTP/1.1, which whoever sent garbage can read best, and the end. */
export function endWith(socket: Duplex, clock: Clock, status: number, text: string): void {
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `date: ${new Date(clock.now()).toUTCString()}`,
    "connection: close",
    "content-type: text/plain",
    `content-length: ${Buffer.byteLength(text)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${text}`, () => socket.destroy());
}
