import { encodeFrame, kinds, pieceBytesMax, type Frame } from "./frames.ts";

/** A frame that is ready to go: its fields encoded, and the bytes of its body. */
export interface Outgoing {
  readonly fields: Uint8Array;
  readonly body: Uint8Array | undefined;
}

/** A frame without a body. */
export function bare(frame: Parameters<typeof encodeFrame>[0]): Outgoing {
  return { fields: encodeFrame(frame), body: undefined };
}

/** Messages that leave in order and in pieces: of one channel, or of one direction of a request, there as far as credit goes. */
export class Outbox {
  readonly #frame: Pick<Frame, "kind" | "request" | "channel">;
  readonly #queue: Uint8Array[] = [];
  #offset = 0;
  #queuedBytes = 0;
  #credit: number;
  #last: Outgoing | undefined;
  /** Hears how much is left whenever a piece has left. */
  readonly owner: { sent(queuedBytes: number): void } | undefined;

  constructor(
    frame: Pick<Frame, "kind" | "request" | "channel">,
    credit: number,
    owner?: { sent(queuedBytes: number): void },
  ) {
    this.#frame = frame;
    this.#credit = credit;
    this.owner = owner;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Whether all has left, the last frame included. Only after `finish`. */
  get done(): boolean {
    return this.#queue.length === 0 && this.#last === undefined;
  }

  /** Whether `take` has something to give. */
  isReady(): boolean {
    return this.#queue.length === 0 ? this.#last !== undefined : this.#credit > 0 || this.#queue[0]!.length === 0;
  }

  /** Whether the next piece is a whole message that fits into one frame. */
  get small(): boolean {
    return this.#offset === 0 && this.#queue.length > 0 && this.#queue[0]!.length <= pieceBytesMax;
  }

  push(message: Uint8Array): void {
    this.#queue.push(message);
    this.#queuedBytes += message.length;
  }

  /** `frame` leaves after all messages; nothing may be pushed any more. */
  finish(frame: Outgoing): void {
    this.#last = frame;
  }

  grant(credit: number): void {
    this.#credit += credit;
  }

  /** The next piece, or the last frame. Only when `isReady`. */
  take(): Outgoing {
    const message = this.#queue[0];
    if (!message) {
      const last = this.#last!;
      this.#last = undefined;
      return last;
    }
    const body = message.subarray(this.#offset, this.#offset + Math.min(pieceBytesMax, this.#credit));
    const length = this.#offset === 0 && body.length < message.length ? message.length : 0;
    const fields = encodeFrame({ ...this.#frame, length, body });
    this.#credit -= body.length;
    this.#queuedBytes -= body.length;
    this.#offset += body.length;
    if (this.#offset === message.length) {
      this.#queue.shift();
      this.#offset = 0;
    }
    return { fields, body };
  }
}

const unlimited = Number.MAX_SAFE_INTEGER;

/** The outbox of a channel's one-way frames. */
export function channelOutbox(channel: number): Outbox {
  return new Outbox({ kind: kinds.oneWay, request: 0, channel }, unlimited);
}
