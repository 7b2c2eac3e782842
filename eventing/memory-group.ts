import type { MassaError } from "../lib/core/errors.ts";
import type { Delivery, Feed, FeedListener, Grave, Message } from "./driver.ts";

/** What became of a message in all groups of its topic: a dead letter if it became one in any. */
export type Settlement = { readonly outcome: "accepted" } | { readonly outcome: "dead-letter"; readonly cause: string };

/** A message that some group has not settled yet. */
export interface HeldMessage extends Message {
  readonly position: number;
  readonly id: string;
  readonly bytes: number;
  /** Groups that are not done with it. */
  unsettled: number;
  /** Why it became a dead letter, where it did. */
  cause: string | undefined;
  readonly settled: ((settlement: Settlement) => void) | undefined;
}

/** A message that one group gave up. */
export interface DeadLetter extends Grave {
  readonly id: string;
  readonly position: string;
  readonly bytes: number;
  readonly message: Message;
}

interface GroupParts {
  readonly name: string;
  readonly deadLettersMax: number;
  readonly deadLetterBytesMax: number;
  settled(message: HeldMessage, cause: string | undefined): void;
  deadLetterLost(): void;
}

interface Waiting {
  readonly message: HeldMessage;
  readonly attempt: number;
}

/** One group's place in a topic: what is still to come, and one active feed; later feeds stand by until it closes. */
export class MemoryGroup {
  readonly name: string;
  readonly deadLetters: DeadLetter[] = [];
  readonly #parts: GroupParts;
  readonly #feeds: MemoryFeed[] = [];
  /** Empty below `#head`. */
  #queue: (Waiting | undefined)[] = [];
  #head = 0;
  #handed = 0;
  #deadBytes = 0;

  constructor(parts: GroupParts) {
    this.name = parts.name;
    this.#parts = parts;
  }

  /** Messages that no feed holds. */
  get waiting(): number {
    return this.#queue.length - this.#head;
  }

  /** Messages it has not settled. */
  get unsettled(): number {
    return this.waiting + this.#handed;
  }

  add(message: HeldMessage): void {
    this.#queue.push({ message, attempt: 1 });
    this.#feeds[0]?.wake();
  }

  open(listener: FeedListener): Feed {
    const feed = new MemoryFeed(this, listener);
    this.#feeds.push(feed);
    return feed;
  }

  close(reason: MassaError): void {
    for (const feed of this.#feeds.splice(0)) feed.lose(reason);
  }

  isActive(feed: MemoryFeed): boolean {
    return this.#feeds[0] === feed;
  }

  take(): Waiting | undefined {
    const next = this.#queue[this.#head];
    if (!next) return undefined;
    // A settled message must not be kept alive by its old place.
    this.#queue[this.#head] = undefined;
    this.#head += 1;
    this.#handed += 1;
    if (this.#head > 1_000 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return next;
  }

  /** Puts back what a feed had taken, each at its place. */
  giveBack(returned: readonly Waiting[]): void {
    const rest = this.#queue.slice(this.#head) as Waiting[];
    this.#queue = [...returned, ...rest].sort((a, b) => a.message.position - b.message.position);
    this.#head = 0;
    this.#handed -= returned.length;
    this.#feeds[0]?.wake();
  }

  settle(message: HeldMessage): void {
    this.#handed -= 1;
    this.#parts.settled(message, undefined);
  }

  bury(message: HeldMessage, grave: Grave): void {
    const { key, headers, body, position, id, bytes } = message;
    const { deadLettersMax, deadLetterBytesMax } = this.#parts;
    this.#handed -= 1;
    this.deadLetters.push({ ...grave, id, position: String(position), bytes, message: { key, headers, body } });
    this.#deadBytes += bytes;
    while (this.deadLetters.length > deadLettersMax || this.#deadBytes > deadLetterBytesMax) {
      this.#deadBytes -= this.deadLetters.shift()!.bytes;
      this.#parts.deadLetterLost();
    }
    this.#parts.settled(message, grave.cause);
  }

  leave(feed: MemoryFeed): void {
    const place = this.#feeds.indexOf(feed);
    if (place >= 0) this.#feeds.splice(place, 1);
    this.#feeds[0]?.wake();
  }
}

class MemoryFeed implements Feed {
  readonly #group: MemoryGroup;
  readonly #listener: FeedListener;
  readonly #unsettled = new Map<Delivery, Waiting>();
  #isPaused = true;
  #isAwake = false;
  #isClosed = false;

  constructor(group: MemoryGroup, listener: FeedListener) {
    this.#group = group;
    this.#listener = listener;
  }

  /** Delivers soon, never from within the call of somebody else. */
  wake(): void {
    if (this.#isAwake || this.#isPaused || this.#isClosed) return;
    this.#isAwake = true;
    queueMicrotask(() => {
      this.#isAwake = false;
      this.#deliver();
    });
  }

  ack(delivery: Delivery): void {
    const waiting = this.#settle(delivery);
    if (waiting) this.#group.settle(waiting.message);
  }

  release(delivery: Delivery, attempts: number): void {
    const waiting = this.#settle(delivery);
    if (waiting) this.#group.giveBack([{ message: waiting.message, attempt: waiting.attempt + attempts }]);
  }

  async bury(delivery: Delivery, grave: Grave): Promise<void> {
    const waiting = this.#settle(delivery);
    if (waiting) this.#group.bury(waiting.message, grave);
  }

  extend(): void {
    // A delivery is the feed's as long as the feed lives.
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.wake();
  }

  async lag(): Promise<number> {
    return this.#group.isActive(this) ? this.#group.waiting : 0;
  }

  /** The broker ends the feed. */
  lose(reason: MassaError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#listener.closed(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const returned = [...this.#unsettled.values()].map(({ message, attempt }) => ({ message, attempt: attempt + 1 }));
    this.#unsettled.clear();
    this.#group.giveBack(returned);
    this.#group.leave(this);
  }

  #settle(delivery: Delivery): Waiting | undefined {
    const waiting = this.#unsettled.get(delivery);
    this.#unsettled.delete(delivery);
    return waiting;
  }

  #deliver(): void {
    while (!this.#isPaused && !this.#isClosed && this.#group.isActive(this)) {
      const waiting = this.#group.take();
      if (!waiting) return;
      const { message, attempt } = waiting;
      const { key, headers, body, id } = message;
      const delivery: Delivery = { key, headers, body, id, attempt, position: String(message.position) };
      this.#unsettled.set(delivery, waiting);
      this.#listener.deliver(delivery);
    }
  }
}
