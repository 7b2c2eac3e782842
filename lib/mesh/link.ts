import { MassaError } from "../core/errors.ts";
import type { Clock } from "../core/world.ts";
import { Answer, Request, type ExchangeLink } from "./exchange.ts";
import { Deframer, decodeFrame, kinds, pieceBytesMax, type Frame } from "./frames.ts";
import type { LinkLimits } from "./link-limits.ts";
import { Assembly, type Inbox } from "./inbox.ts";
import type { IncomingRequest, OutgoingRequest, RequestHead, RequestReceiver, ResponseReceiver } from "./mesh.ts";
import { bare, channelOutbox, type Outbox, type Outgoing } from "./outbox.ts";

/** What a link tells its owner. */
export interface LinkEvents {
  /** There is something to `take`. */
  wake(): void;
  frame(channel: number, body: Uint8Array): void;
  request(request: IncomingRequest): RequestReceiver;
  hello(hello: Uint8Array): void;
  /** The other end broke the protocol or gave no sign of life; the owner closes the streams and calls `close`. */
  broken(reason: string): void;
  /** A bound was met: a request is refused, or a long message waits for room. */
  limited(limit: "mesh.requests" | "mesh.assembly"): void;
}

const helloChannel = 0;
const channelsMax = 64;

/**
 * One peer link: multiplexes one-way frames and streamed requests over two byte streams, without doing I/O. Bytes that came in go to
 * `receive`; bytes to write come from `take`. Small frames go first, then pieces of everything else in turn.
 */
export class Link implements ExchangeLink {
  readonly limits: LinkLimits;
  readonly clock: Pick<Clock, "after">;
  readonly #events: LinkEvents;
  readonly #deframer = new Deframer();
  readonly #control: Outgoing[] = [];
  readonly #channels = new Map<number, Outbox>();
  readonly #assemblies = new Map<number, Assembly>();
  readonly #ready = new Set<Outbox>();
  readonly #requests = new Map<number, Request>();
  readonly #answers = new Map<number, Answer>();
  readonly #reservations: { readonly bytes: number; readonly inbox: Inbox }[] = [];
  #reservedBytes = 0;
  #queuedBytes = 0;
  #lastRequest = 0;
  #lastAnswer = 0;
  #heard = true;
  #silentTicks = 0;
  #closed: string | undefined;

  constructor(limits: LinkLimits, clock: Pick<Clock, "after">, events: LinkEvents) {
    this.limits = limits;
    this.clock = clock;
    this.#events = events;
  }

  /** Whether nothing is to be taken. */
  get isIdle(): boolean {
    return this.#control.length === 0 && this.#queuedBytes === 0 && this.#ready.size === 0;
  }

  send(channel: number, body: Uint8Array): boolean {
    if (this.#closed !== undefined || this.#queuedBytes + body.length > this.limits.sendBytesMax) return false;
    if (body.length > this.limits.messageBytesMax)
      throw new RangeError(`a frame of ${body.length} bytes is longer than ${this.limits.messageBytesMax}`);
    this.#push(channel, body);
    return true;
  }

  /** Tells the other end that the own hello is now this. */
  sendHello(hello: Uint8Array): void {
    if (this.#closed === undefined) this.#push(helloChannel, hello);
  }

  request(head: RequestHead, receiver: ResponseReceiver): OutgoingRequest {
    const request = new Request(this, ++this.#lastRequest, receiver);
    if (this.#closed !== undefined) request.refuse(new MassaError("unavailable", this.#closed));
    else if (this.#requests.size >= this.limits.requestsMax) {
      this.#events.limited("mesh.requests");
      request.refuse(new MassaError("exhausted", `${this.#requests.size} requests to this node are open already`));
    } else if (head.metadata.length + head.bridgedMessage.length > pieceBytesMax) {
      request.refuse(
        new MassaError("exhausted", `metadata of ${head.metadata.length} bytes is longer than ${pieceBytesMax}`),
      );
    } else {
      this.#requests.set(request.id, request);
      this.control(bare({ kind: kinds.open, request: request.id, head }));
      request.startDeadline(head.deadlineMs);
    }
    return request;
  }

  /** Takes in what the other end has written. */
  receive(chunk: Uint8Array): void {
    this.#heard = true;
    try {
      this.#deframer.push(chunk, (bytes) => this.#accept(decodeFrame(bytes)));
    } catch (failure) {
      if (!(failure instanceof MassaError) || failure.code !== "protocol") throw failure;
      this.#events.broken(failure.message);
    }
  }

  /** What is to be written next, of about `bytesMax` bytes; undefined when there is nothing. */
  take(bytesMax: number): Uint8Array | undefined {
    const batch: Outgoing[] = [];
    let size = 0;
    const add = (frame: Outgoing) => {
      batch.push(frame);
      size += frame.fields.length + (frame.body?.length ?? 0);
    };
    for (const frame of this.#control.splice(0)) add(frame);
    this.#takeSmall(bytesMax, () => size, add);
    for (const outbox of this.#ready) {
      if (size >= bytesMax) break;
      this.#ready.delete(outbox);
      if (!outbox.isReady()) continue;
      add(this.#piece(outbox));
      if (outbox.isReady()) this.#ready.add(outbox);
    }
    return batch.length === 0 ? undefined : joined(batch, size);
  }

  /** To be called at a steady pace: asks for a sign of life, and notices when the other end gives none. */
  tick(): void {
    if (this.#closed !== undefined) return;
    this.#silentTicks = this.#heard ? 0 : this.#silentTicks + 1;
    this.#heard = false;
    if (this.#silentTicks >= this.limits.silentTicksMax) this.#events.broken("gives no sign of life");
    else this.control(bare({ kind: kinds.ping }));
  }

  /** The link is gone: everything open fails, nothing more is sent or handed over. */
  close(reason: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    this.#control.length = 0;
    this.#channels.clear();
    this.#ready.clear();
    this.#queuedBytes = 0;
    const lost = new MassaError("unavailable", `the link to the node was lost: ${reason}`);
    for (const request of [...this.#requests.values()]) request.lost(lost);
    for (const answer of [...this.#answers.values()]) answer.lost();
  }

  // What exchanges call.

  wake(outbox: Outbox): void {
    if (this.#closed !== undefined) return;
    this.#ready.add(outbox);
    this.#events.wake();
  }

  control(frame: Outgoing): void {
    if (this.#closed !== undefined) return;
    this.#control.push(frame);
    this.#events.wake();
  }

  forget(side: "request" | "answer", id: number, outbox: Outbox): void {
    this.#ready.delete(outbox);
    if (side === "request") this.#requests.delete(id);
    else this.#answers.delete(id);
  }

  reserve(bytes: number, inbox: Inbox): void {
    this.#reservations.push({ bytes, inbox });
    this.#grantReservations();
    if (this.#reservations.at(-1)?.inbox === inbox) this.#events.limited("mesh.assembly");
  }

  release(bytes: number, inbox: Inbox): void {
    const waiting = this.#reservations.findIndex((reservation) => reservation.inbox === inbox);
    if (waiting >= 0) this.#reservations.splice(waiting, 1);
    else this.#reservedBytes -= bytes;
    this.#grantReservations();
  }

  #grantReservations(): void {
    for (
      let next = this.#reservations.at(0);
      next && this.#reservedBytes + next.bytes <= this.limits.assemblyBytesMax;
      next = this.#reservations.at(0)
    ) {
      this.#reservations.shift();
      this.#reservedBytes += next.bytes;
      next.inbox.reserved();
    }
  }

  /** Whole small one-way frames, up to half of a batch, so that a flood of them does not hold back requests for ever. */
  #takeSmall(bytesMax: number, size: () => number, add: (frame: Outgoing) => void): void {
    for (const outbox of this.#channels.values()) {
      while (outbox.small && size() < bytesMax / 2) add(this.#piece(outbox));
    }
  }

  #piece(outbox: Outbox): Outgoing {
    const before = outbox.queuedBytes;
    const piece = outbox.take();
    if (outbox.owner) outbox.owner.sent(outbox.queuedBytes);
    else this.#queuedBytes -= before - outbox.queuedBytes;
    return piece;
  }

  #accept(frame: Frame): void {
    if (this.#closed !== undefined) return;
    switch (frame.kind) {
      case kinds.oneWay:
        return this.#oneWay(frame);
      case kinds.open:
        return this.#open(frame);
      case kinds.input:
        return this.#answers.get(frame.request)?.received(frame);
      case kinds.halfClose:
        return this.#answers.get(frame.request)?.inputEnded();
      case kinds.cancel:
        return this.#answers.get(frame.request)?.canceled();
      case kinds.output:
        return this.#requests.get(frame.request)?.received(frame);
      case kinds.end:
        return this.#requests.get(frame.request)?.ended();
      case kinds.fail:
        return this.#requests
          .get(frame.request)
          ?.failed(frame.failure ?? new MassaError("internal", "the other node gave no reason"));
      case kinds.inputCredit:
        return this.#requests.get(frame.request)?.granted(frame.credit);
      case kinds.ping:
        return this.control(bare({ kind: kinds.pong }));
      case kinds.outputCredit:
        return this.#answers.get(frame.request)?.granted(frame.credit);
    }
  }

  #push(channel: number, body: Uint8Array): void {
    let outbox = this.#channels.get(channel);
    if (!outbox) this.#channels.set(channel, (outbox = channelOutbox(channel)));
    outbox.push(body);
    this.#queuedBytes += body.length;
    this.wake(outbox);
  }

  #oneWay(frame: Frame): void {
    let assembly = this.#assemblies.get(frame.channel);
    if (!assembly) {
      if (this.#assemblies.size >= channelsMax) throw new MassaError("protocol", "a peer uses too many channels");
      this.#assemblies.set(frame.channel, (assembly = new Assembly(this.limits.messageBytesMax)));
    }
    const body = assembly.push(frame.length, frame.body);
    if (!body) return;
    if (frame.channel === helloChannel) this.#events.hello(body);
    else this.#events.frame(frame.channel, body);
  }

  #open(frame: Frame): void {
    if (!frame.head || frame.request <= this.#lastAnswer)
      throw new MassaError("protocol", "a peer opens a request without a head or with an old number");
    this.#lastAnswer = frame.request;
    const answer = new Answer(this, frame.request, frame.head);
    if (this.#answers.size >= this.limits.requestsMax) {
      this.#events.limited("mesh.requests");
      this.control(
        bare({
          kind: kinds.fail,
          request: frame.request,
          failure: new MassaError("exhausted", "too many requests are open on this link"),
        }),
      );
      return;
    }
    this.#answers.set(frame.request, answer);
    answer.accept(this.#events.request(answer));
  }
}

function joined(frames: readonly Outgoing[], size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const { fields, body } of frames) {
    bytes.set(fields, at);
    at += fields.length;
    if (!body) continue;
    bytes.set(body, at);
    at += body.length;
  }
  return bytes;
}
