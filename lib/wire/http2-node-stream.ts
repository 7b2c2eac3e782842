import type http2 from "node:http2";
import { addAbortSignal, Readable } from "node:stream";
import { errorCode, type Http2Stream, type SessionLimits, type StreamReceiver } from "./http2.ts";

/** How a stream of Node finds ours: listeners are shared functions, not closures of each stream. */
export const owner = Symbol("owner");
/** A stream of Node that carries ours. */
export type Owned<Stream, Ours> = Stream & { [owner]?: Ours };

/** An error of the kind for which Node resets a stream with CANCEL; only Node itself can make one. */
const abortError = makeAbortError();

function makeAbortError(): Error {
  const probe = addAbortSignal(AbortSignal.abort(), new Readable().on("error", ignoreError));
  return probe.errored!;
}

/** What both kinds of streams share. The receiver is let go when the stream was reset by us or has closed. */
export abstract class NodeStream<
  Node extends http2.Http2Stream,
  Receiver extends StreamReceiver,
> implements Http2Stream {
  readonly node: Node;
  receiver: Receiver | undefined;
  #paused = false;
  #stalled = false;
  #waitsForDrain = false;

  constructor(node: Node, receiver: Receiver | undefined) {
    this.node = node;
    this.receiver = receiver;
  }

  get bufferedBytes(): number {
    return this.node.readableLength + this.node.writableLength;
  }

  write(bytes: Uint8Array): boolean {
    if (this.node.destroyed || this.node.writableEnded) return true;
    if (this.node.write(bytes)) return true;
    if (!this.#waitsForDrain) {
      this.#waitsForDrain = true;
      this.node.once("drain", () => {
        this.#waitsForDrain = false;
        this.receiver?.drained();
      });
    }
    return false;
  }

  reset(code: number): void {
    this.receiver = undefined;
    if (this.node.destroyed) return;
    if (code === errorCode.cancel) {
      // `close` would half-close before it resets, and the peer would take a cancelled call for a complete one.
      // Later, for what is destroyed while Node reads from the session is never reset.
      setImmediate(() => this.node.destroy(abortError));
    } else {
      this.node.close(code);
    }
    this.discard();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.discard();
  }

  /** Lets what was stalled flow, to the receiver if there is one still. */
  discard(): void {
    if (!this.#stalled) return;
    this.#stalled = false;
    this.node.resume();
  }

  /** Hands on a chunk; the first one that comes while paused goes back and stops the stream of Node. */
  take(chunk: Buffer): void {
    if (!this.receiver) return;
    if (!this.#paused) {
      this.receiver.data(chunk);
      return;
    }
    this.#stalled = true;
    this.node.pause();
    this.node.unshift(chunk);
  }
}

/** Listens to the errors of a stream. */
export function ignoreError(): void {
  // `close` follows every error, and a stream without this listener would end the process.
}

/** Node ends the readable side of streams that were reset or lost, too; `close` tells of those. */
export function isCut(node: http2.Http2Stream): boolean {
  return node.destroyed || node.aborted || node.rstCode !== errorCode.none;
}

/** What one connection may hold in flight over all its streams; `node:http2` opens it again as bytes arrive, read or not. */
export const connectionWindowBytes = 4 * 1024 * 1024;
/** What sessions of both kinds are opened with. */
export function optionsOf(limits: SessionLimits) {
  return {
    maxSessionMemory: limits.sessionMemoryMib,
    settings: {
      enablePush: false,
      initialWindowSize: limits.windowBytes,
      maxHeaderListSize: limits.headerBytesMax,
    },
  };
}
