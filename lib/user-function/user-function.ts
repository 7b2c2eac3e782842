import type { MassaError } from "../core/errors.ts";

/** One gRPC stream to the user function, seen from the proxy, which is always the client. */
export interface FunctionStream {
  /**
   * Whether the function may have got something of it: it has been on a connection, and was not refused unseen there (RFC 9113
   * section 8.7). Holds at the end, too, when `fail` is told.
   */
  readonly reached: boolean;
  /** Writes bytes that hold whole gRPC frames (5-byte prefix included); false: wait for `drain`. The bytes are owned by the stream afterwards. */
  write(frames: Uint8Array): boolean;
  /** Half-closes: no more messages come from the proxy. */
  end(): void;
  /** Resets the stream; the receiver hears nothing more. */
  cancel(): void;
  /** While paused no message is delivered, and the function is held back by flow control. */
  pause(): void;
  resume(): void;
}

/** Callbacks of one stream. `end` or `fail` comes exactly once and last, unless the stream was cancelled. */
export interface FunctionStreamReceiver {
  /** One message, without its frame prefix, inflated; valid for as long as it is held. */
  message(bytes: Uint8Array): void;
  drain(): void;
  /** The function completed the stream with status OK. */
  end(): void;
  /** The function answered another status, reset the stream, or is gone (`unavailable`). */
  fail(error: MassaError): void;
}

export interface StreamOptions {
  /** On `Clock.monotonic`; sent as grpc-timeout, and failed with `deadline` when it passes. */
  readonly deadlineAtMs?: number;
}

/**
 * The user function. Streams opened while it is away wait (bounded in number and by `userFunction.wait`), then fail with `unavailable`.
 * Callbacks never come from within `open`.
 */
export interface UserFunction extends AsyncDisposable {
  readonly address: string;
  /** Whether there is a connection to it that takes streams. */
  readonly isThere: boolean;
  open(path: string, receiver: FunctionStreamReceiver, options?: StreamOptions): FunctionStream;
  /** One message there, one back; rejects with the function's status as a MassaError. */
  unary(path: string, message: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
  /**
   * Lets bytes that wait for the function elsewhere count towards its buffer (`userFunction.buffer`): `held` tells how many do at
   * the moment. The answer says of so many more whether they fit, and counts it where they do not.
   */
  share(held: () => number): (bytes: number) => boolean;
  /** Told when no session is left and a new one failed (`lost`), and when it can be reached again (`found`). Returns the unsubscription. */
  watch(listener: FunctionListener): () => void;
}

export interface FunctionListener {
  lost(reason: MassaError): void;
  found(): void;
  /**
   * The last session of those that stood when this was told, or `found`, has ended, and others stand: the function did not count
   * as lost, but may be another one by now.
   */
  renewed?(): void;
}
