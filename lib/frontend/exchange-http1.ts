import type { IncomingMessage, ServerResponse } from "node:http";
import { errorCode, type HeaderBlock, type HeaderList, type StreamReceiver } from "../wire/http2.ts";
import { headerOf, targetOf, withExtra, type Exchange, type ServeExchange } from "./exchange.ts";
import { refusalOf, type Refusal } from "./http1-head.ts";

const none: HeaderBlock = {};

/** What an exchange asks of its connection. */
export interface ExchangeOwner {
  /** Whether the connection closes after the response that is sent next. */
  readonly closing: boolean;
  /** The response is out, but not all of the request in: it is waited for, and the connection closes then. */
  lingers(): void;
  /** The response has ended, or the connection is lost. */
  exchanged(exchange: Http1Exchange): void;
}

/** What the client expects before it goes on: nothing, to be told to send the body, or what nobody here knows. */
export type Expectation = "none" | "continue" | "unknown";

/** An exchange over HTTP/1.1 (or 1.0), on the request and response of `node:http`. */
export class Http1Exchange implements Exchange {
  readonly version = 1;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: HeaderList;
  extraHeaders: HeaderBlock = none;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #owner: ExchangeOwner;
  #awaitsContinue: boolean;
  #saysClose = false;
  #hasBegun = false;
  #receiver: StreamReceiver | undefined;
  #refusal: Refusal | undefined;
  /** The rest of the request never comes. */
  #isMalformed = false;

  constructor(request: IncomingMessage, response: ServerResponse, expectation: Expectation, owner: ExchangeOwner) {
    this.#request = request;
    this.#response = response;
    this.#owner = owner;
    this.#awaitsContinue = expectation === "continue";
    this.method = request.method!;
    const { path, query } = targetOf(request.url!);
    this.path = path;
    this.query = query;
    this.headers = lowerCased(request.rawHeaders);
    request.on("error", ignoreError);
    response.on("error", ignoreError);
    // Of what comes in one packet behind a request that offers an upgrade, Node reads nothing.
    if (headerOf(this.headers, "upgrade") !== undefined) response.shouldKeepAlive = false;
    this.#refusal = refusalOf(request.httpVersion, this.headers);
    if (expectation === "unknown") this.#refusal ??= unknownExpectation(this.headers);
  }

  /** Whether the connection closes after this exchange, so that no request behind it counts. */
  get isLast(): boolean {
    return this.#refusal !== undefined || this.#saysClose || !this.#response.shouldKeepAlive;
  }

  get awaitsContinue(): boolean {
    return this.#awaitsContinue;
  }

  /** Whether the whole request has been read. */
  get isRead(): boolean {
    return this.#request.complete;
  }

  get bufferedBytes(): number {
    return this.#request.readableLength + this.#response.writableLength;
  }

  /** Comes once, when all earlier requests of the connection have been answered. */
  begin(serve: ServeExchange): void {
    const request = this.#request;
    const response = this.#response;
    response.once("close", () => {
      this.#receiver?.closed(response.writableFinished ? errorCode.none : errorCode.connectionLost);
      this.#owner.exchanged(this);
    });
    this.#hasBegun = true;
    if (this.#refusal !== undefined) {
      this.#answerRefusal(this.#refusal);
      return;
    }
    const hasBody = this.#hasBody();
    const receiver = serve(this, !hasBody);
    this.#receiver = receiver;
    response.on("drain", () => receiver.drained());
    if (!hasBody) return;
    request.on("data", (chunk: Buffer) => receiver.data(chunk));
    request.on("end", () => receiver.ended());
  }

  /** The rest of the request cannot be understood: the last answer of the connection says so, if none has begun. */
  refuse(refusal: Refusal): void {
    this.#refusal ??= refusal;
    this.#isMalformed = true;
    if (this.#hasBegun) this.#answerRefusal(this.#refusal);
  }

  #answerRefusal({ status, text }: Refusal): void {
    if (this.#response.headersSent) this.abort();
    else this.respondWhole(status, { "content-type": "text/plain; charset=utf-8" }, Buffer.from(text));
  }

  /** The connection takes bytes again, which Node tells of by itself as long as it reads from it. */
  drained(): void {
    this.#receiver?.drained();
  }

  proceed(): void {
    if (!this.#awaitsContinue) return;
    this.#awaitsContinue = false;
    this.#response.writeContinue();
  }

  respond(status: number, headers: HeaderBlock): void {
    if (this.#response.headersSent || this.#response.destroyed) return;
    this.#response.writeHead(status, { ...withExtra(headers, this.extraHeaders), ...this.#connectionHeader() });
  }

  write(bytes: Uint8Array): boolean {
    if (this.#response.writableEnded || this.#response.destroyed) return true;
    return this.#response.write(bytes);
  }

  end(): void {
    this.#finish(undefined);
  }

  respondWhole(status: number, headers: HeaderBlock, body: Uint8Array | string = ""): void {
    if (this.#response.headersSent || this.#response.destroyed) return;
    const length = status === 204 ? none : { "content-length": String(Buffer.byteLength(body)) };
    this.#response.writeHead(status, {
      ...withExtra(headers, this.extraHeaders),
      ...length,
      ...this.#connectionHeader(),
    });
    this.#finish(body);
  }

  abort(): void {
    const { socket, httpVersionMinor } = this.#request;
    // In HTTP/1.0 the end of the connection is the end of the body, so that only a reset shows that it is not whole.
    if (httpVersionMinor === 0) socket.resetAndDestroy();
    else socket.destroySoon();
  }

  pause(): void {
    this.#request.pause();
  }

  resume(): void {
    this.#request.resume();
  }

  /** A client that was not told to go on may send its next request or the body: only the end of the connection is clear. */
  #connectionHeader(): HeaderBlock {
    this.#saysClose = this.#awaitsContinue || this.#refusal !== undefined || this.#owner.closing;
    return this.#saysClose ? { connection: "close" } : none;
  }

  /**
   * Ends the response. Where the connection closes after it, it stays open until the request has been read, or the client might
   * be told by a reset that nobody reads, and lose the answer.
   */
  #finish(body: Uint8Array | string | undefined): void {
    const request = this.#request;
    const response = this.#response;
    if (response.writableEnded || response.destroyed) return;
    // What still comes of the request is of no use to anybody.
    request.resume();
    if (request.complete || !this.isLast || this.#awaitsContinue || this.#isMalformed) {
      response.end(body);
      return;
    }
    if (body) response.write(body);
    this.#owner.lingers();
    request.once("end", () => response.end());
  }

  #hasBody(): boolean {
    const { headers } = this;
    for (let at = 0; at < headers.length; at += 2) {
      const name = headers[at];
      if (name === "transfer-encoding" || (name === "content-length" && headers[at + 1] !== "0")) return true;
    }
    return false;
  }
}

function unknownExpectation(headers: HeaderList): Refusal {
  const shown = headerOf(headers, "expect")?.slice(0, 100);
  return { status: 417, text: `expect: ${shown} is not supported: use 100-continue or nothing` };
}

function lowerCased(rawHeaders: readonly string[]): HeaderList {
  return rawHeaders.map((text, at) => (at % 2 === 0 ? text.toLowerCase() : text));
}

function ignoreError(): void {
  // `close` follows every error.
}
