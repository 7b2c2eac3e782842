import { type Code, MassaError } from "../lib/core/errors.ts";
import type { Logger } from "../lib/core/log.ts";
import type { Telemetry } from "../lib/core/telemetry.ts";
import type { Cancel, World } from "../lib/core/world.ts";
import { type Delivery, type Feed, type Inlet, labelsOf, type Source } from "./driver.ts";
import { Lanes } from "./lanes.ts";
import { LastingFeed } from "./lasting-feed.ts";
import { backoffMs, type Judge, judge, type Outcome, restartMs } from "./verdict.ts";

/** What is to be done with one message. */
export interface Work {
  /** Messages of one lane run one after another, in order; "" runs by itself. */
  readonly lane: string;
  /** Does it once; never rejects. When the signal aborts, whatever it answers is ignored. */
  run(signal: AbortSignal): Promise<Outcome>;
}

export interface SubscriptionOptions {
  /** Messages taken and not settled, the parked ones included (`eventing.inFlight`). */
  readonly inFlightMax: number;
  /** `eventing.maxAttempts` */
  readonly attemptsMax: number;
  /** `eventing.backoffMin` and `eventing.backoffMax` */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** How long work under way may take once the subscription is disposed (`drain.timeout`). */
  readonly drainMs: number;
  /**
   * How long a feed may bring nothing while the broker has something (`eventing.stallAfter`); after twice that it is made anew.
   * Absent: 10 s.
   */
  readonly stallMs?: number;
}

export interface SubscriptionParts {
  readonly driver: Inlet;
  readonly source: Source;
  /** What becomes of a message by how its work ended; absent: as for topics, with dead letters. */
  readonly judge?: Judge;
  /** Called when a delivery arrives; what it throws is permanent if the code says so, else it is called again later. */
  readonly plan: (delivery: Delivery) => Work;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly options: SubscriptionOptions;
}

interface Entry {
  readonly delivery: Delivery;
  readonly work: Work;
  readonly lane: string;
  readonly feed: Feed;
  attempt: number;
  /** Attempts in a row that came to nothing, counted or not: the back-off goes by them. */
  misses: number;
  state: "queued" | "running" | "parked" | "gone";
  /** Another member's by now: it is neither settled nor begun again. */
  isLost: boolean;
  unpark: Cancel | undefined;
  /** Why it is a dead letter that could not be kept yet: its work is not run again. */
  grave: string | undefined;
}

/** Why a message cannot be read by anybody, ever; whatever else keeps it from being planned may pass. */
const lasting: ReadonlySet<Code> = new Set(["invalid", "not-found", "protocol", "unimplemented"]);
const stallDefaultMs = 10_000;
/** After how many attempts in a row that nobody is blamed for a message is spoken of. */
const missesQuiet = 10;

/**
 * Takes a source's messages and works on them: in order within a lane, lanes side by side. A message that fails parks its own lane
 * and comes again; after its last attempt it becomes a dead letter. A feed that is lost, or no longer moves, is opened again after
 * 3 to 30 s. Disposal takes nothing more, lets what runs end within its time, and hands the rest back uncounted.
 */
export class Subscription implements AsyncDisposable {
  readonly #parts: SubscriptionParts;
  readonly #labels: { readonly topic: string; readonly group: string };
  readonly #lanes = new Lanes<Entry>();
  readonly #abort = new AbortController();
  readonly #feed: LastingFeed;
  #isStopping = false;
  #running = 0;
  #loner = 0;
  /** Failures in a row that were nobody's but the function's or the store's; no work begins while `#wake` is set. */
  #downs = 0;
  #wake: Cancel | undefined;
  #waiters: (() => void)[] = [];

  constructor(parts: SubscriptionParts) {
    this.#parts = parts;
    this.#labels = labelsOf(parts.driver, parts.source);
    this.#feed = new LastingFeed({
      ...parts,
      stallMs: parts.options.stallMs ?? stallDefaultMs,
      deliver: (delivery, feed) => this.#deliver(delivery, feed),
      revoked: (isLost) => this.#revoked(isLost),
      lost: () => void this.#forget(() => true),
    });
    this.#feed.want(true);
    if (parts.driver.features.leaseMs !== undefined) {
      const stop = parts.world.clock.every(parts.driver.features.leaseMs / 3, () => this.#extend());
      this.#abort.signal.addEventListener("abort", stop, { once: true });
    }
  }

  /** Messages taken and not settled. */
  get held(): number {
    return this.#lanes.size;
  }

  /** Why nothing comes from the broker, for readiness; undefined while its feed moves. */
  get trouble(): string | undefined {
    return this.#feed.trouble;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    this.#wake?.();
    const late = Promise.withResolvers<undefined>();
    const cancel = this.#parts.world.clock.after(this.#parts.options.drainMs, () => {
      this.#running = 0;
      this.#settled();
      late.resolve(undefined);
    });
    await Promise.race([this.#feed.stop(), late.promise]);
    // What still ends after its time counts below zero.
    await this.#until(() => this.#running <= 0);
    cancel();
    this.#abort.abort(new MassaError("canceled", "the subscription ends"));
    for (const entry of this.#lanes.items()) {
      entry.unpark?.();
      entry.state = "gone";
      if (!entry.isLost) entry.feed.release(entry.delivery, entry.attempt - entry.delivery.attempt);
    }
    await this.#feed.close();
  }

  #deliver(delivery: Delivery, feed: Feed): void {
    const work = this.#plan(delivery);
    const lane = work.lane === "" ? `\0${++this.#loner}` : work.lane;
    const { attempt } = delivery;
    const entry: Entry = {
      delivery,
      work,
      lane,
      feed,
      attempt,
      misses: 0,
      state: "queued",
      isLost: false,
      unpark: undefined,
      grave: undefined,
    };
    if (this.#lanes.enter(lane, entry)) this.#begin(entry);
    this.#flow();
  }

  #plan(delivery: Delivery): Work {
    try {
      return this.#parts.plan(delivery);
    } catch (reason) {
      const error = MassaError.from(reason);
      if (lasting.has(error.code)) return { lane: "", run: async () => ({ type: "permanent", error }) };
      return { lane: "", run: async (signal) => this.#parts.plan(delivery).run(signal) };
    }
  }

  #begin(entry: Entry): void {
    entry.state = "queued";
    if (this.#isStopping || this.#wake) return;
    entry.state = "running";
    this.#running += 1;
    if (entry.grave !== undefined) return this.#bury(entry, entry.grave);
    const ended = (outcome: Outcome) => this.#ended(entry, outcome);
    entry.work.run(this.#abort.signal).then(ended, (reason: unknown) => {
      ended({ type: "failed", error: MassaError.from(reason) });
    });
  }

  #ended(entry: Entry, outcome: Outcome): void {
    if (this.#abort.signal.aborted) return;
    const { attemptsMax } = this.#parts.options;
    const verdict = (this.#parts.judge ?? judge)(outcome, entry.attempt, attemptsMax);
    if (verdict.type !== "held") this.#downs = 0;
    if (entry.isLost) return this.#next(entry);
    switch (verdict.type) {
      case "ack":
        entry.feed.ack(entry.delivery);
        this.#count("accepted");
        return this.#next(entry);
      case "retry":
        entry.attempt += 1;
        return this.#park(entry, outcome);
      case "held":
        if (verdict.isDown) this.#down();
        return this.#park(entry, outcome);
      case "restart":
        return this.#park(entry, outcome, restartMs(entry.misses + 1, this.#parts.world.random));
      case "given-up":
        this.#giveUp(entry, outcome, verdict.cause);
        return this.#next(entry);
      case "dead-letter":
        return this.#bury(entry, verdict.cause);
    }
  }

  #giveUp({ feed, delivery, attempt }: Entry, { type }: Outcome, cause: string): void {
    const { log, source } = this.#parts;
    feed.ack(delivery);
    this.#count(type === "permanent" ? "unreadable" : "failed");
    const { position, key } = delivery;
    const fields = { ...source, position, key, attempts: attempt, cause };
    // Of what nobody can read whoever plans it speaks, once.
    if (type === "permanent") log.debug(fields, "message given up");
    else log.warn(fields, "message was answered with a failure, and is given up");
  }

  #bury(entry: Entry, cause: string): void {
    const { log, source } = this.#parts;
    const { delivery, attempt, feed } = entry;
    entry.grave = cause;
    feed.bury(delivery, { cause, attempts: attempt }).then(
      () => {
        this.#count("dead-letter");
        log.warn(
          { ...source, position: delivery.position, id: delivery.id, attempts: attempt, cause },
          "message became a dead letter",
        );
        this.#next(entry);
      },
      (reason: unknown) => {
        const error = MassaError.from(reason, "unavailable");
        log.warn({ ...source, position: delivery.position, err: error }, "dead letter not kept, tried again");
        if (this.#abort.signal.aborted) return;
        if (entry.isLost) this.#next(entry);
        else this.#park(entry, { type: "failed", error });
      },
    );
  }

  /** The lane waits with its first message; others go on. */
  #park(entry: Entry, outcome: Outcome, restartAfterMs?: number): void {
    const { world, options, telemetry, log, source } = this.#parts;
    entry.misses += 1;
    entry.state = "parked";
    const delayMs = restartAfterMs ?? backoffMs(entry.misses, options.backoffMinMs, options.backoffMaxMs);
    telemetry.count("massa_eventing_retries_total", this.#labels);
    if (outcome.type === "failed") {
      const { position } = entry.delivery;
      const fields = { ...source, position, attempt: entry.attempt, delayMs, err: outcome.error };
      if (restartAfterMs !== undefined || entry.misses % missesQuiet === 0)
        log.warn({ ...fields, misses: entry.misses }, "message is held up");
      else log.debug(fields, "message comes again");
    }
    entry.unpark = world.clock.after(delayMs, () => {
      entry.unpark = undefined;
      this.#begin(entry);
    });
    this.#ran();
  }

  /** Nobody's message can be served: nothing begins until the back-off has passed. */
  #down(): void {
    const { world, options } = this.#parts;
    if (this.#wake || this.#isStopping) return;
    this.#downs += 1;
    this.#wake = world.clock.after(backoffMs(this.#downs, options.backoffMinMs, options.backoffMaxMs), () => {
      this.#wake = undefined;
      const begun = new Set<string>();
      for (const entry of this.#lanes.items()) {
        if (begun.has(entry.lane)) continue;
        begun.add(entry.lane);
        if (entry.state === "queued") this.#begin(entry);
      }
      this.#flow();
    });
    this.#flow();
  }

  #next(entry: Entry): void {
    entry.state = "gone";
    const next = this.#lanes.leave(entry.lane);
    this.#ran();
    if (next) this.#begin(next);
    this.#flow();
  }

  #ran(): void {
    this.#running -= 1;
    this.#settled();
  }

  /** Takes messages as long as there is room for them. */
  #flow(): void {
    this.#feed.want(!this.#isStopping && this.#wake === undefined && this.held < this.#parts.options.inFlightMax);
  }

  async #revoked(isLost: (delivery: Delivery) => boolean): Promise<void> {
    const lost = this.#forget(isLost);
    await this.#until(() => lost.every((entry) => entry.state !== "running"));
  }

  /** Drops what is not under way; what is stays in its lane until it ends. Returns the latter. */
  #forget(isLost: (delivery: Delivery) => boolean): readonly Entry[] {
    this.#lanes.remove(({ delivery }) => isLost(delivery));
    const lost = this.#lanes.items().filter(({ delivery }) => isLost(delivery));
    for (const entry of lost) {
      entry.isLost = true;
      if (entry.state === "running") continue;
      entry.unpark?.();
      this.#running += 1;
      this.#next(entry);
    }
    return lost.filter((entry) => entry.state === "running");
  }

  #extend(): void {
    for (const { feed, delivery, isLost } of this.#lanes.items()) if (!isLost) feed.extend(delivery);
  }

  #count(outcome: string): void {
    this.#parts.telemetry.count("massa_eventing_messages_total", { ...this.#labels, outcome });
  }

  #until(isMet: () => boolean): Promise<void> {
    if (isMet()) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const check = () => {
      if (!isMet()) return;
      this.#waiters = this.#waiters.filter((waiter) => waiter !== check);
      resolve(undefined);
    };
    this.#waiters.push(check);
    return promise;
  }

  #settled(): void {
    for (const check of [...this.#waiters]) check();
  }
}
