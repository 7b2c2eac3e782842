import { MassaError } from "../lib/core/errors.ts";
import type { Logger } from "../lib/core/log.ts";
import type { Cancel, Clock } from "../lib/core/world.ts";
import { messageOf } from "./cloud-event.ts";
import type { Delivery, Feed, FeedListener, Inlet, Source } from "./driver.ts";
import type { Payload } from "./event-payload.ts";

/** One event in the log of a persistence id. */
export interface LoggedEvent {
  readonly entityId: string;
  readonly payload: Payload;
  /** Its place in the log; only the store compares them. */
  readonly offset: string;
}

/** What a store has of event logs and of how far their consumers have come. */
export interface EventLogStore {
  readonly events: {
    /** Events of all entities of a persistence id after `offset` (undefined: from the first), in the order of the log, without gaps. */
    log(persistenceId: string, offset: string | undefined, max: number): Promise<readonly LoggedEvent[]>;
    /** Calls back, soon, whenever the log may have grown. Returns the unsubscription. */
    watch(persistenceId: string, grown: () => void): () => void;
  };
  readonly offsets: {
    get(consumer: string): Promise<string | undefined>;
    put(consumer: string, offset: string): Promise<void>;
  };
}

export interface EventLogOptions {
  /** Events read at once, at most. */
  readonly pageMax: number;
  /** How far a consumer has come is kept after so many events, or so long after the first that is not covered. */
  readonly saveEvents: number;
  readonly saveAfterMs: number;
}

export interface EventLogParts {
  readonly store: EventLogStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly options: EventLogOptions;
}

/** How long the end of a feed waits for its last place to be kept. */
const closeMaxMs = 5_000;

/**
 * The event logs of a store as sources: a source's topic is a persistence id, its messages are the events of all entities of that
 * id in the order of the log, its key is the entity's id. How far a group has come is kept in the store, so that a restart loses
 * nothing; what came after the last place kept comes again. Each group has one feed at a time.
 */
export function createEventLog(parts: EventLogParts): Inlet {
  return {
    name: "event-log",
    noun: "event log",
    features: { countsAttempts: false },
    declare: () => Promise.resolve(),
    async open(source, listener) {
      const consumer = consumerOf(source);
      return new EventLogFeed(parts, source, consumer, await parts.store.offsets.get(consumer), listener);
    },
  };
}

/** The name under which the place of a group in an event log is kept (Cloudstate protocol, *Event log source*). */
function consumerOf({ topic, group }: Source): string {
  return encodeURIComponent(`${topic}/${group}`);
}

class EventLogFeed implements Feed {
  readonly #parts: EventLogParts;
  readonly #source: Source;
  readonly #consumer: string;
  readonly #listener: FeedListener;
  readonly #unwatch: () => void;
  /** What is read and not handed out: `#page` from `#next` on. */
  #page: readonly LoggedEvent[] = [];
  #next = 0;
  /** The last place read, the last handed out, the last kept in the store. */
  #read: string | undefined;
  #handed: string | undefined;
  #saved: string | undefined;
  /** What is handed out and not settled, in the order of the log, with the place before it. */
  readonly #unsettled = new Map<Delivery, string | undefined>();
  #settledSinceSave = 0;
  #saveTimer: Cancel | undefined;
  #saving: Promise<void> | undefined;
  #isPaused = true;
  #isAwake = false;
  #isReading = false;
  #hasGrown = false;
  #isClosed = false;

  constructor(
    parts: EventLogParts,
    source: Source,
    consumer: string,
    offset: string | undefined,
    listener: FeedListener,
  ) {
    this.#parts = parts;
    this.#source = source;
    this.#consumer = consumer;
    this.#listener = listener;
    this.#read = this.#handed = this.#saved = offset;
    this.#unwatch = parts.store.events.watch(source.topic, () => {
      this.#hasGrown = true;
      this.#wake();
    });
  }

  ack(delivery: Delivery): void {
    if (!this.#unsettled.delete(delivery) || this.#isClosed) return;
    this.#settledSinceSave += 1;
    if (this.#settledSinceSave >= this.#parts.options.saveEvents) this.#save();
    else this.#saveLater();
  }

  release(): void {
    // Its place stays below what is kept as done, so that the next feed brings it.
  }

  bury(delivery: Delivery): Promise<void> {
    this.ack(delivery); // It stays in the log.
    return Promise.resolve();
  }

  extend(): void {
    // An event is the feed's as long as the feed lives.
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#wake();
  }

  async lag(): Promise<number> {
    const read = this.#page.length - this.#next;
    if (read > 0) return read;
    return (await this.#parts.store.events.log(this.#source.topic, this.#read, 1)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    const late = Promise.withResolvers<undefined>();
    const cancel = this.#parts.clock.after(closeMaxMs, () => {
      this.#parts.log.warn({ ...this.#source, waitedMs: closeMaxMs }, "place in the event log not known to be kept");
      late.resolve(undefined);
    });
    await Promise.race([this.#saveLast(), late.promise]);
    cancel();
  }

  async #saveLast(): Promise<void> {
    await this.#saving;
    await this.#put(this.#done());
  }

  /** Delivers soon, never from within the call of somebody else. */
  #wake(): void {
    if (this.#isAwake || this.#isPaused || this.#isClosed) return;
    this.#isAwake = true;
    queueMicrotask(() => {
      this.#isAwake = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    while (!this.#isPaused && !this.#isClosed) {
      const event = this.#page[this.#next];
      if (!event) return this.#readOn();
      this.#next += 1;
      const delivery = deliveryOf(this.#source, event);
      this.#unsettled.set(delivery, this.#handed);
      this.#handed = event.offset;
      this.#listener.deliver(delivery);
    }
  }

  #readOn(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#hasGrown = false;
    const { store, options } = this.#parts;
    store.events.log(this.#source.topic, this.#read, options.pageMax).then(
      (page) => {
        this.#isReading = false;
        this.#page = page;
        this.#next = 0;
        this.#read = page.at(-1)?.offset ?? this.#read;
        if (page.length > 0 || this.#hasGrown) this.#wake();
      },
      (reason: unknown) => {
        this.#isReading = false;
        if (this.#isClosed) return;
        this.#end();
        this.#listener.closed(MassaError.from(reason, "unavailable"));
      },
    );
  }

  /** The place up to which everything is settled. */
  #done(): string | undefined {
    const lowest = this.#unsettled.values().next();
    return lowest.done === true ? this.#handed : lowest.value;
  }

  #saveLater(): void {
    this.#saveTimer ??= this.#parts.clock.after(this.#parts.options.saveAfterMs, () => this.#save());
  }

  #save(): void {
    this.#saveTimer?.();
    this.#saveTimer = undefined;
    if (this.#saving) return;
    this.#settledSinceSave = 0;
    const offset = this.#done();
    if (offset === this.#saved) return;
    this.#saving = this.#put(offset).then(() => {
      this.#saving = undefined;
      if (this.#isClosed) return;
      if (this.#settledSinceSave >= this.#parts.options.saveEvents) this.#save();
      else if (this.#saved !== this.#done()) this.#saveLater();
    });
  }

  /** Keeps a place; one that could not be kept is said and costs that its events come again. */
  async #put(offset: string | undefined): Promise<void> {
    if (offset === undefined || offset === this.#saved) return;
    try {
      await this.#parts.store.offsets.put(this.#consumer, offset);
      this.#saved = offset;
    } catch (reason) {
      const err = MassaError.from(reason, "unavailable");
      this.#parts.log.warn({ ...this.#source, offset, err }, "place in the event log not kept");
    }
  }

  #end(): void {
    this.#isClosed = true;
    this.#unwatch();
    this.#saveTimer?.();
  }
}

/** The event as the Cloudstate protocol has it of a log: a CloudEvent without time whose type is the stored type URL. */
function deliveryOf({ topic }: Source, { entityId, payload, offset }: LoggedEvent): Delivery {
  const message = messageOf(
    {
      id: offset,
      source: topic,
      specVersion: "1.0",
      type: payload.typeUrl,
      contentType: "application/vnd.cloudstate.protobuf.any",
      subject: entityId,
      data: payload.value,
    },
    entityId,
  );
  return { ...message, position: offset, id: offset, attempt: 1 };
}
