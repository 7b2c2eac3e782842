import { gunzipSync } from "node:zlib";
import { MassaError } from "../core/errors.ts";
import type { AnyValue } from "../wire/protocol.ts";
import { headerOf, type Exchange } from "./exchange.ts";
import { checkJsonType } from "./http-request.ts";
import type { HttpMatch } from "./http-routes.ts";
import { JsonDocuments } from "./json-documents.ts";

/** Cuts a body into the pieces of which messages are made. */
interface Cutter {
  /** Bytes that came and were not taken. */
  readonly bufferedBytes: number;
  push(chunk: Uint8Array): void;
  /** The next piece, or undefined until more has come. */
  next(): Uint8Array | undefined;
  /** No more comes. */
  end(): void;
}

const lines = /^application\/(x-ndjson|ndjson|jsonl|x-jsonl|jsonlines)\s*(;|$)/i;

/** The messages that a request holds: one, or for a method that streams in one for each document of the body. */
export class JsonInput {
  /** Whether messages come before the body has ended. */
  readonly isStreamed: boolean;
  readonly #match: HttpMatch;
  readonly #query: string;
  readonly #contentType: string | undefined;
  readonly #cutter: Cutter | undefined;
  #isEnded = false;
  #isTaken = false;

  /**
   * Throws `unimplemented` for a `content-encoding` that is not taken, `exhausted` for a `content-length` over `bytesMax`, the
   * bound of one message.
   */
  constructor(match: HttpMatch, exchange: Exchange, bytesMax: number) {
    const { method, readsBody } = match;
    const contentType = headerOf(exchange.headers, "content-type");
    const isRaw = method.inputType === "google.api.HttpBody";
    this.isStreamed = readsBody && method.streamedIn;
    this.#match = match;
    this.#query = exchange.query;
    this.#contentType = this.isStreamed && !isRaw && lines.test(contentType ?? "") ? "application/json" : contentType;
    const isZipped = readsBody && isGzip(exchange, this.isStreamed);
    if (!readsBody) return;
    if (this.isStreamed) {
      this.#cutter = isRaw ? new Chunks() : new JsonDocuments(bytesMax);
      return;
    }
    const bytes = Number(headerOf(exchange.headers, "content-length") ?? 0);
    if (bytes > bytesMax) throw tooLarge(`a body of ${bytes} bytes is`, bytesMax);
    this.#cutter = new Whole(bytesMax, isZipped);
  }

  /** Bytes that are held. */
  get bufferedBytes(): number {
    return this.#cutter?.bufferedBytes ?? 0;
  }

  /** Tells what is wrong with path, query and content type before the body has come. Throws `invalid`. */
  checkHead(): void {
    this.#match.request(this.#query, undefined);
    if (this.#match.wantsJson) checkJsonType(this.#contentType);
  }

  /** Takes bytes of the body. Throws `exhausted` when one message gets too large. */
  push(bytes: Uint8Array): void {
    this.#cutter?.push(bytes);
  }

  end(): void {
    this.#isEnded = true;
    this.#cutter?.end();
  }

  /** The next message, or undefined until more has come. Throws `exhausted` for one too large, `invalid` for one that is wrong. */
  next(): AnyValue | undefined {
    const { method } = this.#match;
    let body: { readonly contentType: string | undefined; readonly bytes: Uint8Array } | undefined;
    if (this.#cutter) {
      const bytes = this.#cutter.next();
      if (bytes === undefined) return undefined;
      body = { contentType: this.#contentType, bytes };
    } else {
      if (!this.#isEnded || this.#isTaken) return undefined;
      this.#isTaken = true;
    }
    return { typeUrl: method.inputUrl, value: this.#match.request(this.#query, body) };
  }
}

function isGzip(exchange: Exchange, isStreamed: boolean): boolean {
  const encoding = headerOf(exchange.headers, "content-encoding")?.toLowerCase() ?? "identity";
  if (encoding === "identity") return false;
  if (encoding === "gzip" && !isStreamed) return true;
  const use = isStreamed ? "a streamed body comes as it is" : "use gzip or identity";
  throw new MassaError("unimplemented", `content-encoding ${encoding.slice(0, 100)} is not supported here: ${use}`);
}

function tooLarge(what: string, bytesMax: number, cause?: unknown): MassaError {
  return new MassaError("exhausted", `${what} over limits.message of ${bytesMax} bytes`, { cause });
}

/** A body that is one piece. */
class Whole implements Cutter {
  readonly #bytesMax: number;
  readonly #isZipped: boolean;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #isEnded = false;
  #isTaken = false;

  constructor(bytesMax: number, isZipped: boolean) {
    this.#bytesMax = bytesMax;
    this.#isZipped = isZipped;
  }

  get bufferedBytes(): number {
    return this.#bytes;
  }

  push(chunk: Uint8Array): void {
    this.#bytes += chunk.byteLength;
    if (this.#bytes > this.#bytesMax) throw tooLarge("a body is", this.#bytesMax);
    this.#chunks.push(chunk);
  }

  end(): void {
    this.#isEnded = true;
  }

  next(): Uint8Array | undefined {
    if (!this.#isEnded || this.#isTaken) return undefined;
    this.#isTaken = true;
    const bytes = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#bytes);
    this.#chunks = [];
    this.#bytes = 0;
    return this.#isZipped ? this.#inflated(bytes) : bytes;
  }

  #inflated(bytes: Uint8Array): Uint8Array {
    try {
      return gunzipSync(bytes, { maxOutputLength: this.#bytesMax });
    } catch (failure) {
      if (failure instanceof RangeError) throw tooLarge("a body is inflated", this.#bytesMax, failure);
      throw new MassaError("invalid", "the body is no gzip stream", { cause: failure });
    }
  }
}

/** A body of raw bytes, each chunk a piece as it comes. */
class Chunks implements Cutter {
  readonly #chunks: Uint8Array[] = [];
  bufferedBytes = 0;

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.bufferedBytes += chunk.byteLength;
  }

  end(): void {
    // Every chunk is whole in itself.
  }

  next(): Uint8Array | undefined {
    const chunk = this.#chunks.shift();
    if (chunk) this.bufferedBytes -= chunk.byteLength;
    return chunk;
  }
}
