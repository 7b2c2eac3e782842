import { gzipSync } from "node:zlib";
import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import type { Call, Caller, Command, Router } from "../routing/command.ts";
import type { Budget } from "../wire/http2-budget.ts";
import { FrameReader, frameOf } from "../wire/http2-frames.ts";
import type { HeaderBlock, HeaderList, ServerStream, StreamReceiver } from "../wire/http2.ts";
import type { AnyValue, MetadataEntry } from "../wire/protocol.ts";
import { Deadline } from "./deadline.ts";
import { timeoutMsOf, trailersOf } from "./grpc-text.ts";
import { metadataBytes, metadataOf, withMetadata } from "./metadata.ts";

/** Where the calls of one path go. */
export interface Route {
  readonly router: Router;
  readonly service: string;
  readonly method: string;
  readonly inputUrl: string;
  readonly streamedIn: boolean;
}

/** What all calls of one front share. */
export interface CallParts {
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly budget: Budget;
  readonly windowBytes: number;
  readonly messageBytesMax: number;
  readonly headerBytesMax: number;
  /** The stream of a call has closed, its answer delivered or not. */
  closed(call: GrpcCall): void;
}

const plainHeaders: HeaderBlock = {
  ":status": "200",
  "content-type": "application/grpc",
  "grpc-accept-encoding": "identity,gzip",
};
const gzipHeaders: HeaderBlock = { ...plainHeaders, "grpc-encoding": "gzip" };
const okTrailers: HeaderBlock = { "grpc-status": "0" };
/** Messages from this size on are written beside their prefix instead of behind it, uncopied. */
const uncopiedBytes = 32 * 1024;

/** One gRPC call of a client: bytes become commands, replies become bytes, nothing in between is decoded. */
export class GrpcCall implements StreamReceiver, Caller {
  readonly #parts: CallParts;
  readonly #route: Route;
  readonly #stream: ServerStream;
  readonly #reader: FrameReader;
  readonly #metadata: readonly MetadataEntry[];
  #acceptsGzip = false;
  #deadline: Deadline | undefined;
  #call: Call | undefined;
  #payload: AnyValue | undefined;
  #inputEnded = false;
  #inputDone = false;
  #blocked = false;
  #paused = false;
  #pumping = false;
  #responded = false;
  #over = false;

  constructor(parts: CallParts, route: Route, stream: ServerStream, headers: HeaderList) {
    this.#parts = parts;
    this.#route = route;
    this.#stream = stream;
    this.#reader = new FrameReader(parts.messageBytesMax);
    this.#metadata = metadataOf(headers);
  }

  get service(): string {
    return this.#route.service;
  }

  /** Bytes that count for `frontend.buffer`. Input that is held back counts with its whole window, which may fill unseen. */
  get heldBytes(): number {
    return this.#stream.bufferedBytes + this.#reader.bufferedBytes + (this.#blocked ? this.#parts.windowBytes : 0);
  }

  /** Reads what the headers say of the call and opens it if it streams in. */
  start(headers: HeaderList): void {
    for (let at = 0; at < headers.length; at += 2) {
      const value = headers[at + 1]!;
      switch (headers[at]) {
        case "grpc-encoding":
          this.#reader.encoding = value;
          break;
        case "grpc-accept-encoding":
          this.#acceptsGzip = value.includes("gzip");
          break;
        case "grpc-timeout":
          this.#setDeadline(value);
          break;
      }
    }
    const { encoding } = this.#reader;
    if (encoding !== "identity" && encoding !== "gzip") {
      this.fail(new MassaError("unimplemented", `grpc-encoding ${encoding} is not supported: use gzip or identity`));
    }
    if (!this.#over && this.#route.streamedIn) this.#open(undefined);
  }

  data(bytes: Uint8Array): void {
    if (this.#over) return;
    this.#reader.push(bytes);
    this.#pump();
    if (this.#reader.bufferedBytes > 0 && !this.#parts.budget.spend(bytes.byteLength)) this.#overBudget();
  }

  ended(): void {
    this.#inputEnded = true;
    this.#pump();
  }

  /** The client reads again. */
  drained(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#call?.resume();
  }

  closed(): void {
    this.#parts.closed(this);
    if (this.#over) return;
    this.#finish();
    this.#call?.cancel();
  }

  reply(payload: AnyValue, metadata: readonly MetadataEntry[]): void {
    if (this.#over) return;
    if (!this.#responded && !this.#respond(metadata)) return;
    const bytes = payload.value;
    if (!this.#parts.budget.spend(bytes.byteLength)) {
      this.#overBudget();
      return;
    }
    if (this.#write(bytes) || this.#paused) return;
    this.#paused = true;
    this.#call?.pause();
  }

  end(): void {
    if (this.#over) return;
    this.#finish();
    if (this.#responded) this.#stream.finish(okTrailers);
    else this.#stream.respondOnly({ ...plainHeaders, ...okTrailers });
  }

  fail(error: MassaError): void {
    if (this.#over) return;
    this.#finish();
    if (error.cause !== undefined) this.#logCause(error);
    const trailers = trailersOf(this.#deadline?.told(error) ?? error);
    if (this.#responded) this.#stream.finish(trailers);
    else this.#stream.respondOnly({ ...plainHeaders, ...trailers });
  }

  /** The callee takes input again. */
  drain(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#stream.resume();
    this.#pump();
  }

  /** Ends the call from our side: the client gets `error`, the callee is told that nobody listens. */
  abort(error: MassaError): void {
    if (this.#over) return;
    this.fail(error);
    this.#call?.cancel();
  }

  #setDeadline(text: string): void {
    const timeoutMs = timeoutMsOf(text);
    if (timeoutMs === undefined) {
      this.fail(new MassaError("internal", `malformed grpc-timeout: ${text}`));
      return;
    }
    this.#deadline = new Deadline(this.#parts.world.clock, timeoutMs, (error) => this.abort(error));
  }

  #open(payload: AnyValue | undefined): void {
    const { service, method, router } = this.#route;
    const metadata = this.#metadata;
    const deadlineAtMs = this.#deadline?.atMs;
    const command: Command =
      deadlineAtMs === undefined
        ? { service, method, metadata, payload, hops: 0 }
        : { service, method, metadata, payload, hops: 0, deadlineAtMs };
    const call = router.open(command, this);
    this.#call = call;
    if (this.#paused) call.pause();
  }

  /** Hands on the whole messages that have come, as far as they are taken. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#over && !this.#blocked) {
      const value = this.#nextMessage();
      if (value) {
        this.#message({ typeUrl: this.#route.inputUrl, value });
      } else {
        if (this.#inputEnded && !this.#inputDone) this.#endInput();
        break;
      }
    }
    this.#pumping = false;
  }

  #nextMessage(): Uint8Array | undefined {
    try {
      return this.#reader.next();
    } catch (failure) {
      const error = MassaError.from(failure);
      if (error.code === "exhausted") this.#limitReached("limits.message");
      this.abort(error);
      return undefined;
    }
  }

  #message(payload: AnyValue): void {
    if (!this.#route.streamedIn) {
      if (this.#payload)
        this.abort(
          new MassaError("internal", `more than one request message for ${this.#route.method}, which takes one`),
        );
      this.#payload = payload;
    } else if (!this.#call!.send(payload)) {
      this.#block();
    }
  }

  #block(): void {
    this.#blocked = true;
    this.#stream.pause();
    if (!this.#parts.budget.spend(this.#parts.windowBytes)) this.#overBudget();
  }

  #endInput(): void {
    if (this.#over) return;
    this.#inputDone = true;
    if (this.#reader.bufferedBytes > 0) {
      this.abort(new MassaError("internal", "the request ended in the middle of a message"));
      return;
    }
    if (!this.#route.streamedIn) {
      if (!this.#payload) {
        this.abort(new MassaError("internal", `no request message for ${this.#route.method}, which takes one`));
        return;
      }
      const payload = this.#payload;
      // Whoever carries it out holds it from here on, and no longer than it has to.
      this.#payload = undefined;
      this.#open(payload);
    }
    this.#call!.halfClose();
  }

  /** Sends the headers; false: the metadata is too much for them, and the call has failed. */
  #respond(metadata: readonly MetadataEntry[]): boolean {
    const headers = this.#answersGzip ? gzipHeaders : plainHeaders;
    if (metadata.length === 0) {
      this.#stream.respond(headers);
    } else {
      const { headerBytesMax } = this.#parts;
      const bytes = metadataBytes(metadata);
      if (bytes > headerBytesMax) {
        this.#limitReached("limits.headers");
        const text = `reply metadata of ${bytes} bytes is over limits.headers of ${headerBytesMax} bytes`;
        this.abort(new MassaError("exhausted", text));
        return false;
      }
      this.#stream.respond(withMetadata(headers, metadata));
    }
    this.#responded = true;
    return true;
  }

  /** Who sends gzip and accepts it gets it. */
  get #answersGzip(): boolean {
    return this.#acceptsGzip && this.#reader.encoding === "gzip";
  }

  #write(bytes: Uint8Array): boolean {
    if (this.#answersGzip) return this.#stream.write(frameOf(gzipSync(bytes), true));
    if (bytes.byteLength < uncopiedBytes) return this.#stream.write(frameOf(bytes));
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(bytes.byteLength, 1);
    this.#stream.write(prefix);
    return this.#stream.write(bytes);
  }

  #overBudget(): void {
    this.#limitReached("frontend.buffer");
    this.abort(new MassaError("exhausted", "too many bytes wait on calls of this proxy (frontend.buffer)"));
  }

  #limitReached(limit: string): void {
    this.#parts.telemetry.count("massa_limit_reached_total", { limit });
  }

  /** What the client is not told. */
  #logCause(error: MassaError): void {
    const { service, method } = this.#route;
    const cause = error.cause instanceof Error ? error.cause.message : String(error.cause);
    this.#parts.log.warn({ service, method, code: error.code, reason: error.message, cause }, "call failed");
  }

  #finish(): void {
    this.#over = true;
    this.#deadline?.cancel();
  }
}

/** The answer to a call that reaches no route. */
export function refuse(stream: ServerStream, error: MassaError): void {
  stream.respondOnly({ ...plainHeaders, ...trailersOf(error) });
}

/** Hears of a stream that was answered already. */
export const deaf: StreamReceiver = {
  data: () => undefined,
  ended: () => undefined,
  drained: () => undefined,
  closed: () => undefined,
};
