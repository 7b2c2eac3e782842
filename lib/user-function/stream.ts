import { MassaError } from "../core/errors.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, World } from "../core/world.ts";
import type { Budget } from "../wire/http2-budget.ts";
import { FrameReader } from "../wire/http2-frames.ts";
import {
  errorCode,
  type ClientSession,
  type ClientStream,
  type ClientStreamReceiver,
  type HeaderList,
} from "../wire/http2.ts";
import type { SessionPool, Waiter } from "./pool.ts";
import { errorOfHttp, errorOfReset, statusIn, valueOf, type GrpcStatus } from "./status.ts";
import type { FunctionStream, FunctionStreamReceiver } from "./user-function.ts";

/** What the streams of one user function share. */
export interface StreamLink {
  readonly address: string;
  readonly pool: SessionPool;
  readonly world: World;
  readonly telemetry: Telemetry;
  readonly budget: Budget;
  readonly windowBytes: number;
  readonly messageBytesMax: number;
  headers(path: string): HeaderList;
  closed(stream: GrpcStream): void;
}

/** What is kept of a stream to send it again should the function refuse it unseen; longer ones are not sent again. */
const replayBytesMax = 64 * 1024;
const attemptsMax = 4;
/** The longest delay that a timer takes; a later deadline counts as this one. */
const timerMsMax = 2 ** 31 - 1;

/** One gRPC stream to the function: waits for a session, is sent again when refused unseen, and reads messages and status. */
export class GrpcStream implements FunctionStream, ClientStreamReceiver, Waiter {
  readonly #link: StreamLink;
  readonly #path: string;
  readonly #reader: FrameReader;
  readonly #deadlineAtMs: number | undefined;
  /** Let go at the end, whatever the end was. */
  #receiver: FunctionStreamReceiver | undefined;
  #stream: ClientStream | undefined;
  #session: ClientSession | undefined;
  #cancelDeadline: Cancel | undefined;
  /** All that was written, until the function has answered or it is too long. */
  #sent: Uint8Array[] | undefined = [];
  #sentBytes = 0;
  #attempts = 0;
  #ended = false;
  #canceled = false;
  #paused = false;
  #reached = false;
  #status: GrpcStatus | undefined;
  #complete = false;

  constructor(link: StreamLink, path: string, receiver: FunctionStreamReceiver, deadlineAtMs: number | undefined) {
    this.#link = link;
    this.#path = path;
    this.#receiver = receiver;
    this.#deadlineAtMs = deadlineAtMs;
    this.#reader = new FrameReader(link.messageBytesMax);
  }

  get reached(): boolean {
    return this.#reached;
  }

  /** Bytes that count for `userFunction.buffer`. A paused stream counts with its whole window, which may fill unseen. */
  get heldBytes(): number {
    const waiting = this.#stream ? this.#stream.bufferedBytes : this.#sentBytes;
    return waiting + this.#reader.bufferedBytes + (this.#paused ? this.#link.windowBytes : 0);
  }

  /** Lets go of what is kept of a stream that has begun; should the function refuse it unseen, it fails. */
  forgetSent(): void {
    if (this.#stream) this.#sent = undefined;
  }

  start(): void {
    const { clock } = this.#link.world;
    if (this.#deadlineAtMs !== undefined) {
      const leftMs = Math.min(timerMsMax, Math.max(0, this.#deadlineAtMs - clock.monotonic()));
      this.#cancelDeadline = clock.after(leftMs, () =>
        this.#fail(new MassaError("deadline", `${this.#path} was not answered in time`)),
      );
    }
    this.#seek();
  }

  write(frames: Uint8Array): boolean {
    if (!this.#receiver || this.#ended) return true;
    if (!this.#link.budget.spend(frames.byteLength)) {
      this.#overBudget();
      return true;
    }
    this.#keep(frames);
    return this.#stream ? this.#stream.write(frames) : this.#sentBytes < replayBytesMax;
  }

  end(): void {
    this.#ended = true;
    this.#stream?.end();
  }

  cancel(): void {
    this.#canceled = true;
    if (this.#receiver) this.#over(errorCode.cancel);
  }

  pause(): void {
    if (!this.#receiver || this.#paused) return;
    this.#paused = true;
    this.#stream?.pause();
    if (!this.#link.budget.spend(this.#link.windowBytes)) this.#overBudget();
  }

  resume(): void {
    if (!this.#receiver || !this.#paused) return;
    this.#paused = false;
    this.#stream?.resume();
    // Later, for the caller may be in the middle of the message before.
    if (this.#reader.bufferedBytes > 0 || this.#complete) process.nextTick(() => this.#deliver());
  }

  attach(session: ClientSession): void {
    if (!this.#receiver) return;
    this.#attempts += 1;
    const waited = this.#stream === undefined && this.#sentBytes > 0;
    const stream = session.open(this.#requestHeaders(), this);
    this.#stream = stream;
    this.#reached = true;
    this.#session = session;
    this.#link.pool.opened(session);
    let flowing = true;
    for (const frames of this.#sent ?? []) flowing = stream.write(frames);
    if (this.#ended) stream.end();
    if (this.#paused) stream.pause();
    if (waited && flowing && !this.#ended) this.#receiver.drain();
  }

  refuse(error: MassaError): void {
    this.#fail(error);
  }

  headers(headers: HeaderList): void {
    if (!this.#receiver) return;
    this.#sent = undefined;
    const httpStatus = valueOf(headers, ":status");
    this.#status = statusIn(headers);
    if (this.#status) return;
    if (httpStatus !== "200") {
      this.#fail(errorOfHttp(httpStatus, this.#link.address));
      return;
    }
    const contentType = valueOf(headers, "content-type");
    if (!contentType?.startsWith("application/grpc")) {
      this.#fail(
        new MassaError(
          "failed",
          `the user function at ${this.#link.address} answered content-type ${contentType ?? "none"}`,
        ),
      );
      return;
    }
    this.#reader.encoding = valueOf(headers, "grpc-encoding") ?? "identity";
  }

  data(bytes: Uint8Array): void {
    if (!this.#isHeard()) return;
    this.#reader.push(bytes);
    this.#deliver();
    if (this.#isHeard() && this.#reader.bufferedBytes > 0 && !this.#link.budget.spend(bytes.byteLength))
      this.#overBudget();
  }

  trailers(headers: HeaderList): void {
    this.#status = statusIn(headers);
  }

  ended(): void {
    if (!this.#receiver) return;
    this.#complete = true;
    this.#deliver();
  }

  drained(): void {
    this.#receiver?.drain();
  }

  closed(code: number): void {
    if (!this.#receiver && this.#stream) this.#link.pool.closed(this.#session!, this.#stream);
    if (!this.#receiver || (this.#complete && this.#paused)) return;
    if (code === errorCode.refusedStream) this.#reached = false;
    if (code === errorCode.refusedStream && this.#sent && this.#attempts < attemptsMax) {
      this.#stream = undefined;
      this.#seek();
      return;
    }
    this.#fail(errorOfReset(code, this.#link.address));
  }

  /** Whether anybody still hears of the stream; it may end within each call of the receiver. */
  #isHeard(): boolean {
    return this.#receiver !== undefined;
  }

  #seek(): void {
    const session = this.#link.pool.free();
    if (session) this.attach(session);
    else this.#link.pool.wait(this);
  }

  /** Hands on what has come whole, then the status once all has been taken. */
  #deliver(): void {
    while (this.#receiver && !this.#paused) {
      let bytes: Uint8Array;
      try {
        const next = this.#reader.next();
        if (!next) break;
        bytes = next;
      } catch (failure) {
        const { code, message } = MassaError.from(failure);
        // The function's own doing, whoever asks again gets the same: a poison message is not to be held for ever on it.
        this.#fail(new MassaError(code, message, { cause: failure, isAnswer: true }));
        return;
      }
      this.#receiver.message(bytes);
    }
    if (this.#receiver && this.#complete && !this.#paused) this.#conclude(this.#receiver);
  }

  #conclude(receiver: FunctionStreamReceiver): void {
    if (this.#reader.bufferedBytes > 0) {
      this.#fail(
        new MassaError(
          "internal",
          `the user function at ${this.#link.address} ended a stream in the middle of a message`,
        ),
      );
    } else if (!this.#status) {
      this.#fail(errorOfReset(errorCode.none, this.#link.address));
    } else if (this.#status.status !== 0) {
      this.#fail(MassaError.fromGrpc(this.#status.status, this.#status.message));
    } else {
      this.#over(errorCode.none);
      receiver.end();
    }
  }

  #keep(frames: Uint8Array): void {
    if (!this.#sent) return;
    this.#sent.push(frames);
    this.#sentBytes += frames.byteLength;
    if (this.#stream && this.#sentBytes > replayBytesMax) this.#sent = undefined;
  }

  #overBudget(): void {
    this.#link.telemetry.count("massa_limit_reached_total", { limit: "userFunction.buffer" });
    const error = new MassaError(
      "exhausted",
      "too many bytes wait on streams to and from the user function (userFunction.buffer)",
    );
    // Later, for the caller is in the middle of a call on this stream.
    const receiver = this.#receiver;
    this.#over(errorCode.cancel);
    process.nextTick(() => {
      if (!this.#canceled) receiver?.fail(error);
    });
  }

  #fail(error: MassaError): void {
    const receiver = this.#receiver;
    this.#over(errorCode.cancel);
    receiver?.fail(error);
  }

  /** Lets go of everything; what the peer still does with the stream is ended with `code`. */
  #over(code: number): void {
    this.#receiver = undefined;
    this.#sent = undefined;
    this.#cancelDeadline?.();
    this.#link.pool.forget(this);
    this.#link.closed(this);
    if (this.#stream && (!this.#complete || !this.#ended)) this.#link.pool.reset(this.#session!, this.#stream, code);
  }

  #requestHeaders(): HeaderList {
    const headers = this.#link.headers(this.#path);
    if (this.#deadlineAtMs === undefined) return headers;
    const leftMs = Math.max(1, Math.ceil(this.#deadlineAtMs - this.#link.world.clock.monotonic()));
    return [...headers, "grpc-timeout", timeoutHeader(leftMs)];
  }
}

/** `grpc-timeout` takes eight digits at most. */
function timeoutHeader(leftMs: number): string {
  return leftMs < 1e8 ? `${leftMs}m` : `${Math.min(99_999_999, Math.ceil(leftMs / 1000))}S`;
}
