import { MassaError } from "../core/errors.ts";
import type { HeaderBlock } from "../wire/http2.ts";
import type { MetadataEntry } from "../wire/protocol.ts";
import { accepts, type Exchange } from "./exchange.ts";
import type { HttpMatch, HttpPart } from "./http-routes.ts";
import { metadataBytes, withMetadata } from "./metadata.ts";

const json: HeaderBlock = { "content-type": "application/json" };
const events: HeaderBlock = { "content-type": "text/event-stream", "cache-control": "no-cache" };
const text: HeaderBlock = { "content-type": "text/plain; charset=utf-8" };
const none: HeaderBlock = {};

/** How the replies of one call become the body of a response: one document, one a line, events, or the bytes of a HttpBody. */
export class JsonAnswer {
  readonly #match: HttpMatch;
  readonly #exchange: Exchange;
  readonly #headerBytesMax: number;
  #form: "lines" | "events" | "raw" = "lines";
  #isBegun = false;

  constructor(match: HttpMatch, exchange: Exchange, headerBytesMax: number) {
    this.#match = match;
    this.#exchange = exchange;
    this.#headerBytesMax = headerBytesMax;
  }

  /** Whether a part of the response is out, so that its status can no longer change. */
  get isBegun(): boolean {
    return this.#isBegun;
  }

  /** Sends the one reply of a unary method. Throws `protocol` for bytes that cannot be printed, `exhausted` for too much metadata. */
  whole(reply: Uint8Array, metadata: readonly MetadataEntry[]): void {
    const part = this.#match.response(reply);
    const headers = part.type === "json" ? json : rawHeaders(part.contentType, metadata);
    // A text goes out in one write with the head, which costs less than two.
    const body = part.type === "json" ? part.text : part.data;
    const head = this.#head(headers, metadata);
    this.#isBegun = true;
    this.#exchange.respondWhole(200, head, body);
  }

  /** Sends one reply of many; false: wait for `drained`. Throws as `whole` does, metadata counting for the first alone. */
  part(reply: Uint8Array, metadata: readonly MetadataEntry[]): boolean {
    const part = this.#match.response(reply);
    if (!this.#isBegun) this.#begin(part, metadata);
    return this.#exchange.write(this.#bytesOf(part));
  }

  /** What a GET would begin with, and the end. Throws as `part` does. */
  head(reply: Uint8Array, metadata: readonly MetadataEntry[]): void {
    this.#begin(this.#match.response(reply), metadata);
    this.#exchange.end();
  }

  /** Ends an answer of many parts, perhaps of none. */
  end(): void {
    if (!this.#isBegun) this.#begin(undefined, []);
    this.#exchange.end();
  }

  /** Answers with a failure, as long as nothing is out. */
  refuse(status: number, message: string): void {
    this.#isBegun = true;
    this.#exchange.respondWhole(status, text, Buffer.from(message));
  }

  /**
   * Says in a stream of events that the rest does not come, where other bodies have no place for it; false: wait for `drained`
   * before the response is broken off.
   */
  lament(error: MassaError): boolean {
    if (this.#form !== "events") return true;
    const data = JSON.stringify({ status: error.grpcStatus, description: error.message });
    return this.#exchange.write(Buffer.from(`event: error\ndata: ${data}\n\n`));
  }

  #begin(first: HttpPart | undefined, metadata: readonly MetadataEntry[]): void {
    const isRaw = first ? first.type === "raw" : this.#match.method.outputType === "google.api.HttpBody";
    this.#form = isRaw ? "raw" : accepts(this.#exchange.headers, "text/event-stream") ? "events" : "lines";
    const head = this.#head(
      { lines: json, events, raw: isRaw ? rawHeaders(rawType(first, metadata), metadata) : none }[this.#form],
      metadata,
    );
    this.#isBegun = true;
    this.#exchange.respond(200, head);
  }

  #head(headers: HeaderBlock, metadata: readonly MetadataEntry[]): HeaderBlock {
    if (metadata.length === 0) return headers;
    const bytes = metadataBytes(metadata);
    if (bytes > this.#headerBytesMax) {
      const message = `reply metadata of ${bytes} bytes is over limits.headers of ${this.#headerBytesMax} bytes`;
      throw new MassaError("exhausted", message);
    }
    return withMetadata(headers, metadata);
  }

  #bytesOf(part: HttpPart): Uint8Array {
    if (part.type === "raw") return part.data;
    return Buffer.from(this.#form === "events" ? `data: ${part.text}\n\n` : `${part.text}\n`);
  }
}

function rawType(first: HttpPart | undefined, metadata: readonly MetadataEntry[]): string {
  const own = first?.type === "raw" ? first.contentType : undefined;
  return [valueOf(metadata, "content-type"), own].find(isHeaderText) ?? anything;
}

/** What a function says of its bytes. */
function rawHeaders(contentType: string | undefined, metadata: readonly MetadataEntry[]): HeaderBlock {
  const encoding = valueOf(metadata, "content-encoding");
  return {
    ...(contentType === undefined ? none : { "content-type": isHeaderText(contentType) ? contentType : anything }),
    ...(isHeaderText(encoding) ? { "content-encoding": encoding } : none),
  };
}

function valueOf(metadata: readonly MetadataEntry[], name: string): unknown {
  return metadata.find(({ key }) => key.toLowerCase() === name)?.value;
}

const anything = "application/octet-stream";

/** Whether it can stand in a header. */
function isHeaderText(value: unknown): value is string {
  return typeof value === "string" && /^[\x21-\x7e][\x20-\x7e]*$/.test(value);
}
