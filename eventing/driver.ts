import type { MassaError } from "../lib/core/errors.ts";

/** One header of a message. Names keep their case and may occur twice; drivers give values as text. */
export type Header = readonly [name: string, value: string];

/** What is published. */
export interface Message {
  /** Orders it among those of the same key; "" orders it with nothing. */
  readonly key: string;
  readonly headers: readonly Header[];
  readonly body: Uint8Array;
}

/** A topic (or an event log) as one group of consumers sees it: each group gets every message once, whoever of its members takes it. */
export interface Source {
  readonly topic: string;
  readonly group: string;
}

/** One message handed to a feed; it stays the feed's until it is settled, or the feed closes. */
export interface Delivery extends Message {
  /** Where it stands in the topic, in the broker's own words: partition and offset, delivery tag, receipt. */
  readonly position: string;
  /** The broker's id of the message; redeliveries have the same. */
  readonly id: string;
  /** 1 for the first; counts those that were lost without being settled, and those that a release names. */
  readonly attempt: number;
}

/** What a broker does by itself, where brokers differ. */
export interface Features {
  /** Whether `Delivery.attempt` goes on counting over feeds; else it is 1 each time. */
  readonly countsAttempts: boolean;
  /** How long a delivery stays the feed's unless it is extended, in milliseconds; absent: as long as the feed lives. */
  readonly leaseMs?: number;
}

/** Why a message became a dead letter. */
export interface Grave {
  readonly cause: string;
  readonly attempts: number;
}

/** Receives what a feed brings. Nothing is called before the first `Feed.resume`, nor after `closed`. */
export interface FeedListener {
  deliver(delivery: Delivery): void;
  /**
   * The broker gives these deliveries to another member. Those not begun are to be forgotten; the promise resolves when those under
   * way have ended. The driver waits for it no longer than its broker allows, and ignores what is settled too late.
   */
  revoked(isLost: (delivery: Delivery) => boolean): Promise<void>;
  /** The feed is lost; what was not settled comes again with another feed. Not called when it is closed from this side. */
  closed(error: MassaError): void;
}

/**
 * The messages of one source, in the order of the topic for equal keys. Settling is by delivery, in any order, once; a driver
 * whose broker knows only positions commits up to the lowest one that is not settled. Disposal hands back what is unsettled.
 */
export interface Feed extends AsyncDisposable {
  /** Done with it: it does not come again. */
  ack(delivery: Delivery): void;
  /** It comes again, to this feed or another one, `attempts` counted for it (0: it was not the message's fault). */
  release(delivery: Delivery, attempts: number): void;
  /**
   * Keeps it as a dead letter of the source, with its headers and position, then acknowledges it. Rejects if it could not. A source
   * that keeps its messages anyway only acknowledges it.
   */
  bury(delivery: Delivery, grave: Grave): Promise<void>;
  /** Prolongs the lease; does nothing where there is none. */
  extend(delivery: Delivery): void;
  /** Takes nothing more until `resume`; a delivery already on its way may still come. */
  pause(): void;
  resume(): void;
  /**
   * How many messages this feed could still bring, as far as the broker tells: not those it handed out, nor what other members of the
   * group hold. Rejects if the broker cannot be asked; a feed with messages to bring that brings none is taken for stalled.
   */
  lag(): Promise<number>;
}

/**
 * Where messages come from: the half of a broker that subscriptions need.
 *
 * - `declare` makes the topic and its groups if the broker lets us, and does nothing for what exists. From then on every group named
 *   gets every message published.
 * - `open` makes a feed of a source, paused: `resume` starts it. A topic that does not exist rejects with `not-found`.
 */
export interface Inlet {
  readonly name: string;
  /** What a source is called where it is no topic. */
  readonly noun?: string;
  readonly features: Features;
  declare(topic: string, groups: readonly string[]): Promise<void>;
  open(source: Source, listener: FeedListener): Promise<Feed>;
}

/**
 * A broker. Drivers are thin: lanes, attempts, back-off and dead-letter rules are the subscription's, CloudEvents are plain headers
 * here (`ce-<attribute>` and `content-type`, whatever the broker's own binding calls them).
 *
 * - `publish` resolves when the broker has confirmed the message, and gives its id. Messages of one key published one after
 *   another, without waiting, keep their order.
 * - A full topic or broker rejects with `exhausted`, one that cannot be reached with `unavailable`.
 * - `classify` says whether an error of this driver may pass by itself.
 */
export interface Driver extends Inlet, AsyncDisposable {
  publish(topic: string, message: Message): Promise<string>;
  classify(error: unknown): "passing" | "lasting";
}

/** The source in a sentence, such as `topic orders` or `event log carts`. */
export function spoken({ noun = "topic" }: Pick<Inlet, "noun">, { topic }: Source): string {
  return `${noun} ${topic}`;
}

/** What metrics of a source are labelled with; event logs are told from topics of the same name. */
export function labelsOf(
  inlet: Pick<Inlet, "noun">,
  source: Source,
): { readonly topic: string; readonly group: string } {
  return { topic: inlet.noun === undefined ? source.topic : spoken(inlet, source), group: source.group };
}
