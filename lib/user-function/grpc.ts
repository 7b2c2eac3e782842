import { MassaError } from "../core/errors.ts";
import { Budget } from "../wire/http2-budget.ts";
import { frameOf } from "../wire/http2-frames.ts";
import type { HeaderList } from "../wire/http2.ts";
import { spelled, type FunctionAddress } from "./connector.ts";
import { SessionPool, type PoolParts } from "./pool.ts";
import { GrpcStream, type StreamLink } from "./stream.ts";
import type {
  FunctionListener,
  FunctionStream,
  FunctionStreamReceiver,
  StreamOptions,
  UserFunction,
} from "./user-function.ts";

/** Settings of the link to the user function; the names are those of the configuration. */
export interface UserFunctionOptions {
  /** `userFunction.host`, `.port`, `.socket`. */
  readonly address: FunctionAddress;
  /** `userFunction.wait` (5 s): how long a stream waits for a session; `userFunction.waiting` (10,000): how many may. */
  readonly waitMs: number;
  readonly waitersMax: number;
  /** `userFunction.buffer` (64 MiB): bytes held for all streams together. */
  readonly bufferBytes: number;
  /** `userFunction.sessions` (64). */
  readonly sessionsMax: number;
  /** `userFunction.connectTimeout` (5 s): until the function has accepted and sent its settings. */
  readonly connectTimeoutMs: number;
  /** `userFunction.backoffMin` (100 ms) and `.backoffMax` (2 s). */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** `userFunction.window` (64 KiB): what the function may send ahead on one stream. */
  readonly windowBytes: number;
  /** `limits.message` (12 MiB). */
  readonly messageBytesMax: number;
}

const sessionMemoryMib = 2_048;
const headerBytesMax = 64 * 1024;

/** How much of the buffer bytes may fill: the rest is for what their coming and going leaves behind until it is collected. */
const filledShare = 0.35;

/** The paths of action calls, each of which is a stream of its own. */
const callPrefix = "/cloudstate.action.";

/** Starts the link to the user function. It connects at once and stays connected; whether it is there, `watch` tells. */
export function openUserFunction(parts: PoolParts, options: UserFunctionOptions): UserFunction {
  return new GrpcUserFunction(parts, options);
}

class GrpcUserFunction implements UserFunction {
  readonly address: string;
  readonly #pool: SessionPool;
  /** Calls that their callers may give up have sessions of their own: what that does to a session must not reach the entities. */
  #calls: SessionPool | undefined;
  readonly #link: StreamLink;
  readonly #openCalls: () => SessionPool;
  #callLink: StreamLink | undefined;
  readonly #streams = new Set<GrpcStream>();
  readonly #headers = new Map<string, HeaderList>();
  /** What waits elsewhere and counts for the buffer. */
  readonly #shares: (() => number)[] = [];

  constructor(parts: PoolParts, options: UserFunctionOptions) {
    this.address = spelled(options.address);
    const poolOptions = { ...options, limits: { ...options, sessionMemoryMib, headerBytesMax } };
    this.#pool = new SessionPool(parts, poolOptions);
    this.#openCalls = () => new SessionPool(parts, poolOptions);
    this.#link = {
      address: this.address,
      pool: this.#pool,
      world: parts.world,
      telemetry: parts.telemetry,
      budget: new Budget(options.bufferBytes * filledShare, () => this.#heldBytes()),
      windowBytes: options.windowBytes,
      messageBytesMax: options.messageBytesMax,
      headers: (path) => this.#headersOf(path),
      closed: (stream) => void this.#streams.delete(stream),
    };
    const { telemetry } = parts;
    telemetry.gauge("massa_function_streams", () => this.#streams.size);
    telemetry.gauge("massa_function_sessions", () => this.#pool.sessions + (this.#calls?.sessions ?? 0));
    telemetry.gauge("massa_function_waiting", () => this.#pool.waiting + (this.#calls?.waiting ?? 0));
  }

  open(path: string, receiver: FunctionStreamReceiver, options?: StreamOptions): FunctionStream {
    const stream = new GrpcStream(this.#linkOf(path), path, receiver, options?.deadlineAtMs);
    this.#streams.add(stream);
    stream.start();
    return stream;
  }

  unary(path: string, message: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    if (signal.aborted) {
      reject(MassaError.from(signal.reason, "canceled"));
      return promise;
    }
    let answer: Uint8Array | undefined;
    const over = () => signal.removeEventListener("abort", aborted);
    const aborted = () => {
      stream.cancel();
      reject(MassaError.from(signal.reason, "canceled"));
    };
    const stream = this.open(path, {
      message: (bytes) => {
        answer ??= bytes;
      },
      drain: () => undefined,
      end: () => {
        over();
        if (answer) resolve(answer);
        else
          reject(
            new MassaError(
              "internal",
              `the user function at ${this.address} answered ${path} with status OK and no message`,
            ),
          );
      },
      fail: (error) => {
        over();
        reject(error);
      },
    });
    signal.addEventListener("abort", aborted, { once: true });
    stream.write(frameOf(message));
    stream.end();
    return promise;
  }

  get isThere(): boolean {
    return this.#pool.isThere;
  }

  watch(listener: FunctionListener): () => void {
    return this.#pool.watch(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#pool.close(), this.#calls?.close()]);
  }

  #linkOf(path: string): StreamLink {
    if (!path.startsWith(callPrefix)) return this.#link;
    this.#calls ??= this.#openCalls();
    return (this.#callLink ??= { ...this.#link, pool: this.#calls });
  }

  share(held: () => number): (bytes: number) => boolean {
    this.#shares.push(held);
    const { budget, telemetry } = this.#link;
    return (bytes) => {
      const fits = budget.spend(bytes);
      if (!fits) telemetry.count("massa_limit_reached_total", { limit: "userFunction.buffer" });
      return fits;
    };
  }

  /** Asked when the buffer is full: what is only kept to be sent again goes first. */
  #heldBytes(): number {
    let bytes = 0;
    for (const held of this.#shares) bytes += held();
    for (const stream of this.#streams) {
      stream.forgetSent();
      bytes += stream.heldBytes;
    }
    return bytes;
  }

  #headersOf(path: string): HeaderList {
    let headers = this.#headers.get(path);
    if (headers) return headers;
    const authority = this.address.includes("/") ? "localhost" : this.address;
    const pseudo = [":method", "POST", ":scheme", "http", ":authority", authority, ":path", path];
    headers = [...pseudo, "te", "trailers", "content-type", "application/grpc"];
    // The paths are those of the protocol, a handful.
    this.#headers.set(path, headers);
    return headers;
  }
}
