import { errorCode, type HeaderBlock, type HeaderList, type ServerStream } from "../wire/http2.ts";
import { targetOf, withExtra, type Exchange } from "./exchange.ts";

const none: HeaderBlock = {};

/** An exchange over one HTTP/2 stream. */
export class Http2Exchange implements Exchange {
  readonly version = 2;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: HeaderList;
  /** A client of HTTP/2 may wait a moment and then sends; the window holds it back better than any 100. */
  readonly awaitsContinue = false;
  extraHeaders: HeaderBlock = none;
  readonly #stream: ServerStream;
  readonly #date: () => string;

  /** `date`: what a `date` header says now. */
  constructor(stream: ServerStream, method: string, target: string, headers: HeaderList, date: () => string) {
    this.#stream = stream;
    this.#date = date;
    this.method = method;
    const { path, query } = targetOf(target);
    this.path = path;
    this.query = query;
    this.headers = headers;
  }

  get bufferedBytes(): number {
    return this.#stream.bufferedBytes;
  }

  proceed(): void {
    // It has been sending all along.
  }

  respond(status: number, headers: HeaderBlock): void {
    this.#stream.respond(this.#headOf(status, headers));
  }

  write(bytes: Uint8Array): boolean {
    return this.#stream.write(bytes);
  }

  end(): void {
    this.#stream.finish(none);
  }

  respondWhole(status: number, headers: HeaderBlock, body: Uint8Array | string = ""): void {
    const bytes = Buffer.byteLength(body);
    const head = {
      ...this.#headOf(status, headers),
      ...(status === 204 ? none : { "content-length": String(bytes) }),
    };
    if (bytes === 0 || this.method === "HEAD") {
      this.#stream.respondOnly(head);
      return;
    }
    this.#stream.respond(head);
    this.#stream.write(typeof body === "string" ? Buffer.from(body) : body);
    this.#stream.finish(none);
  }

  abort(): void {
    this.#stream.breakOff(errorCode.internal);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  #headOf(status: number, headers: HeaderBlock): HeaderBlock {
    return { ":status": String(status), date: this.#date(), ...withExtra(headers, this.extraHeaders) };
  }
}
