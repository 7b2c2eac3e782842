import { MassaError } from "../core/errors.ts";
import type { Cancel, Clock } from "../core/world.ts";
import { kinds, type Frame } from "./frames.ts";
import { Inbox } from "./inbox.ts";
import type { LinkLimits } from "./link-limits.ts";
import type { IncomingRequest, OutgoingRequest, RequestHead, RequestReceiver, ResponseReceiver } from "./mesh.ts";
import { bare, Outbox, type Outgoing } from "./outbox.ts";

/** What the two ends of a request need of their link. */
export interface ExchangeLink {
  readonly limits: LinkLimits;
  readonly clock: Pick<Clock, "after">;
  /** `outbox` has something to send. */
  wake(outbox: Outbox): void;
  /** Sends a frame before everything else. */
  control(frame: Outgoing): void;
  forget(side: "request" | "answer", id: number, outbox: Outbox): void;
  reserve(bytes: number, inbox: Inbox): void;
  release(bytes: number, inbox: Inbox): void;
}

/** What both ends have in common: messages out by credit, messages in against credit. */
abstract class Exchange {
  readonly id: number;
  protected abstract readonly side: "request" | "answer";
  protected readonly link: ExchangeLink;
  protected readonly outbox: Outbox;
  protected readonly inbox: Inbox;
  protected over = false;
  protected outputDone = false;
  #full = false;

  constructor(link: ExchangeLink, id: number, outKind: number, creditKind: number) {
    this.link = link;
    this.id = id;
    this.outbox = new Outbox({ kind: outKind, request: id, channel: 0 }, link.limits.windowBytes, this);
    this.inbox = new Inbox({
      windowBytes: link.limits.windowBytes,
      messageBytesMax: link.limits.messageBytesMax,
      grant: (credit) => link.control(bare({ kind: creditKind, request: id, credit })),
      reserve: (bytes, inbox) => link.reserve(bytes, inbox),
      release: (bytes, inbox) => link.release(bytes, inbox),
      deliver: (message) => this.deliver(message),
      finish: () => this.finished(),
    });
  }

  send(message: Uint8Array): boolean {
    if (this.over || this.outputDone) return false;
    const { messageBytesMax, windowBytes } = this.link.limits;
    if (message.length > messageBytesMax) {
      this.refuse(
        new MassaError("exhausted", `a message of ${message.length} bytes is longer than ${messageBytesMax}`),
      );
      return false;
    }
    if (this.outbox.queuedBytes > messageBytesMax + windowBytes) {
      this.refuse(new MassaError("exhausted", `${this.outbox.queuedBytes} bytes wait to be taken already`));
      return false;
    }
    this.outbox.push(message);
    if (this.outbox.isReady()) this.link.wake(this.outbox);
    this.#full = this.outbox.queuedBytes >= windowBytes;
    return !this.#full;
  }

  pause(): void {
    this.inbox.pause();
  }

  resume(): void {
    if (!this.over) this.inbox.resume();
  }

  received(frame: Frame): void {
    this.inbox.push(frame.length, frame.body);
  }

  granted(credit: number): void {
    this.outbox.grant(credit);
    if (this.outbox.isReady()) this.link.wake(this.outbox);
  }

  /** Called by the link when a piece has left. */
  sent(queuedBytes: number): void {
    if (!this.#full || queuedBytes > this.link.limits.windowBytes / 2) return;
    this.#full = false;
    if (!this.over && !this.outputDone) this.drained();
  }

  /** Ends the exchange for a reason of this side. */
  abstract refuse(error: MassaError): void;
  protected abstract deliver(message: Uint8Array): void;
  protected abstract finished(): void;
  protected abstract drained(): void;

  protected stop(): boolean {
    if (this.over) return false;
    this.over = true;
    this.inbox.close();
    this.link.forget(this.side, this.id, this.outbox);
    return true;
  }
}

/** The requester's end. */
export class Request extends Exchange implements OutgoingRequest {
  protected override readonly side = "request";
  readonly #receiver: ResponseReceiver;
  #cancelDeadline: Cancel | undefined;
  #failure: MassaError | undefined;

  constructor(link: ExchangeLink, id: number, receiver: ResponseReceiver) {
    super(link, id, kinds.input, kinds.outputCredit);
    this.#receiver = receiver;
  }

  /** Lets the request fail with `deadline` after `deadlineMs`, unless that is 0. */
  startDeadline(deadlineMs: number): void {
    if (deadlineMs <= 0) return;
    this.#cancelDeadline = this.link.clock.after(deadlineMs, () => {
      this.#abandon(new MassaError("deadline", "the other node did not answer in time"));
    });
  }

  halfClose(): void {
    if (this.over || this.outputDone) return;
    this.outputDone = true;
    this.outbox.finish(bare({ kind: kinds.halfClose, request: this.id }));
    if (this.outbox.isReady()) this.link.wake(this.outbox);
  }

  cancel(): void {
    if (this.stop()) this.link.control(bare({ kind: kinds.cancel, request: this.id }));
  }

  /** Fails the request from within one of the requester's own calls; it hears of it after the call. */
  override refuse(error: MassaError): void {
    if (!this.stop()) return;
    this.link.control(bare({ kind: kinds.cancel, request: this.id }));
    this.link.clock.after(0, () => this.#receiver.fail(error));
  }

  ended(): void {
    this.inbox.end();
  }

  failed(error: MassaError): void {
    this.#failure = error;
    this.inbox.end();
  }

  lost(error: MassaError): void {
    if (this.stop()) this.#receiver.fail(error);
  }

  protected override deliver(message: Uint8Array): void {
    this.#receiver.message(message);
  }

  protected override finished(): void {
    if (!this.stop()) return;
    if (this.#failure) this.#receiver.fail(this.#failure);
    else this.#receiver.end();
  }

  protected override drained(): void {
    this.#receiver.drain();
  }

  protected override stop(): boolean {
    this.#cancelDeadline?.();
    return super.stop();
  }

  #abandon(error: MassaError): void {
    if (!this.stop()) return;
    this.link.control(bare({ kind: kinds.cancel, request: this.id }));
    this.#receiver.fail(error);
  }
}

/** The answering end. */
export class Answer extends Exchange implements IncomingRequest {
  readonly head: RequestHead;
  protected override readonly side = "answer";
  #receiver: RequestReceiver | undefined;

  constructor(link: ExchangeLink, id: number, head: RequestHead) {
    super(link, id, kinds.output, kinds.inputCredit);
    this.head = head;
  }

  /** Names who hears the input. */
  accept(receiver: RequestReceiver): void {
    this.#receiver = receiver;
  }

  end(): void {
    this.#finish(bare({ kind: kinds.end, request: this.id }));
  }

  fail(error: MassaError): void {
    this.#finish(bare({ kind: kinds.fail, request: this.id, failure: error }));
  }

  override refuse(error: MassaError): void {
    this.fail(error);
  }

  inputEnded(): void {
    this.inbox.end();
  }

  canceled(): void {
    this.lost();
  }

  lost(): void {
    const told = this.outputDone;
    if (this.stop() && !told) this.#receiver?.cancel();
  }

  override sent(queuedBytes: number): void {
    super.sent(queuedBytes);
    if (this.outputDone && this.outbox.done) this.stop();
  }

  protected override deliver(message: Uint8Array): void {
    this.#receiver?.message(message);
  }

  protected override finished(): void {
    this.#receiver?.halfClose();
  }

  protected override drained(): void {
    this.#receiver?.drain();
  }

  #finish(last: Outgoing): void {
    if (this.over || this.outputDone) return;
    this.outputDone = true;
    this.inbox.close();
    this.outbox.finish(last);
    if (this.outbox.isReady()) this.link.wake(this.outbox);
  }
}
