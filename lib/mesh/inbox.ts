import { MassaError } from "../core/errors.ts";

/** Puts the pieces of one message after the other together again. */
export class Assembly {
  readonly #messageBytesMax: number;
  readonly #pieces: Uint8Array[] = [];
  #length = 0;
  #filled = 0;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** The whole length of the message that is coming in, 0 between messages. */
  get pendingBytes(): number {
    return this.#length;
  }

  /** The message that `piece` completes, if it does. Throws `protocol` when pieces do not fit together or the message is too long. */
  push(length: number, piece: Uint8Array): Uint8Array | undefined {
    if (length > this.#messageBytesMax) {
      throw new MassaError("protocol", `a peer sends a message of ${length} bytes, more than ${this.#messageBytesMax}`);
    }
    if (this.#length === 0 && (length === 0 || length === piece.length)) return piece;
    if (this.#length > 0 && length > 0)
      throw new MassaError("protocol", "a peer begins a message before the last one is complete");
    if (length > 0) this.#length = length;
    this.#pieces.push(piece);
    this.#filled += piece.length;
    if (this.#filled > this.#length) throw new MassaError("protocol", "a peer sends more than the length it gave");
    return this.#filled === this.#length ? this.#complete() : undefined;
  }

  #complete(): Uint8Array {
    const message = new Uint8Array(this.#length);
    let at = 0;
    for (const piece of this.#pieces) {
      message.set(piece, at);
      at += piece.length;
    }
    this.#pieces.length = 0;
    this.#length = 0;
    this.#filled = 0;
    return message;
  }
}

/** What an inbox needs of its link. */
interface InboxOwner {
  readonly windowBytes: number;
  readonly messageBytesMax: number;
  /** Tells the sender that it may send `bytes` more. */
  grant(bytes: number): void;
  /** Asks for room for a message longer than the window; calls `reserved` once there is. */
  reserve(bytes: number, inbox: Inbox): void;
  release(bytes: number, inbox: Inbox): void;
  deliver(message: Uint8Array): void;
  finish(): void;
}

/**
 * The receiving half of one direction of a request. What has come and is not handed over counts against the window;
 * the rest of a message longer than that is let in once the link has room for the whole of it.
 */
export class Inbox {
  readonly #owner: InboxOwner;
  readonly #assembly: Assembly;
  readonly #waiting: Uint8Array[] = [];
  #paused = false;
  #finished = false;
  #closed = false;
  #delivering = false;
  #consumed = 0;
  /** Bytes of the unfinished message whose credit has not been given back. */
  #unpaid = 0;
  #granted = 0;
  #reservation: "none" | "asked" | "held" = "none";
  #reservedBytes = 0;
  #creditLeft: number;

  constructor(owner: InboxOwner) {
    this.#owner = owner;
    this.#assembly = new Assembly(owner.messageBytesMax);
    this.#creditLeft = owner.windowBytes;
  }

  /** A piece has come. Throws `protocol` when the sender had no credit for it. */
  push(length: number, piece: Uint8Array): void {
    if (this.#closed) return;
    this.#creditLeft -= piece.length;
    if (this.#creditLeft < 0) throw new MassaError("protocol", "a peer sends more than its credit");
    const message = this.#assembly.push(length, piece);
    if (message) {
      this.#waiting.push(message);
      this.#unpaid = 0;
      this.#flush();
    } else {
      this.#unpaid += piece.length;
      this.#settle();
    }
  }

  /** The sender is done; `finish` is called after the last message was handed over. */
  end(): void {
    this.#finished = true;
    this.#flush();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#flush();
  }

  /** Hands over nothing more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting.length = 0;
    this.#release();
  }

  /** The link has the room that was asked for. */
  reserved(): void {
    this.#reservation = "held";
    this.#settle();
  }

  #flush(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    while (!this.#closed && !this.#paused && this.#waiting.length > 0) {
      const message = this.#waiting.shift()!;
      this.#consumed += message.length;
      if (message.length > this.#owner.windowBytes) {
        this.#consumed -= this.#granted;
        this.#granted = 0;
        this.#release();
      }
      if (this.#consumed >= this.#owner.windowBytes / 4) this.#give(this.#consumed);
      this.#owner.deliver(message);
    }
    this.#delivering = false;
    if (this.#isClosed()) return;
    this.#settle();
    if (this.#finished && this.#waiting.length === 0) {
      this.close();
      this.#owner.finish();
    }
  }

  /** Gives back what an unfinished message needs to go on; a long one is let in once everything before it was handed over. */
  #settle(): void {
    const pending = this.#assembly.pendingBytes;
    if (pending === 0) return;
    if (pending > this.#owner.windowBytes) {
      if (this.#reservation === "none" && this.#waiting.length === 0) {
        this.#reservation = "asked";
        this.#reservedBytes = pending;
        this.#owner.reserve(pending, this);
      }
      if (this.#isReserved()) {
        this.#granted += this.#unpaid;
        this.#consumed += this.#unpaid;
        this.#unpaid = 0;
      }
    }
    this.#give(this.#consumed);
  }

  #give(bytes: number): void {
    this.#consumed -= bytes;
    if (bytes === 0) return;
    this.#creditLeft += bytes;
    this.#owner.grant(bytes);
  }

  #release(): void {
    if (this.#reservation === "none") return;
    this.#reservation = "none";
    this.#owner.release(this.#reservedBytes, this);
  }

  #isReserved(): boolean {
    return this.#reservation === "held";
  }

  #isClosed(): boolean {
    return this.#closed;
  }
}
