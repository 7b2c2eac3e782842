import { MassaError } from "../lib/core/errors.ts";
import type { Logger } from "../lib/core/log.ts";
import type { Telemetry } from "../lib/core/telemetry.ts";
import type { Cancel, World } from "../lib/core/world.ts";
import { type Delivery, type Feed, type FeedListener, type Inlet, labelsOf, type Source, spoken } from "./driver.ts";
import { restartMs } from "./verdict.ts";
import { Watchdog } from "./watchdog.ts";

interface LastingFeedParts {
  readonly driver: Inlet;
  readonly source: Source;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  /** How long a feed may bring nothing while the broker has something, and half of what its opening may take. */
  readonly stallMs: number;
  readonly deliver: (delivery: Delivery, feed: Feed) => void;
  readonly revoked: FeedListener["revoked"];
  /** What its feed had handed out and was not settled comes again with the next one. */
  readonly lost: () => void;
}

/**
 * The feed of a source for as long as it is wanted: one that is lost, no longer moves or does not open is replaced after 3 to 30 s,
 * and what it still says is not listened to.
 */
export class LastingFeed {
  readonly #parts: LastingFeedParts;
  readonly #watchdog: Watchdog;
  #feed: Feed | undefined;
  #opening: Promise<void> = Promise.resolve();
  /** Counts the feeds asked for. */
  #turn = 0;
  #failures = 0;
  /** The next opening, or the end of the patience with this one. */
  #timer: Cancel | undefined;
  #trouble: string | undefined;
  #isWanted = false;
  #isRunning = false;
  #isEnding = false;

  constructor(parts: LastingFeedParts) {
    this.#parts = parts;
    this.#watchdog = new Watchdog({
      clock: parts.world.clock,
      stallMs: parts.stallMs,
      isWanting: () => this.#isRunning,
      lag: () => this.#feed?.lag() ?? Promise.resolve(0),
      stalled: (error) => this.#stalled(error),
    });
    this.#open();
  }

  /** Why nothing comes from the broker; undefined while the feed moves. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Whether messages are wanted at the moment. */
  want(isWanted: boolean): void {
    this.#isWanted = isWanted;
    this.#flow();
  }

  /** Takes nothing more and opens no other feed; resolves when no opening is under way. What is held can still be settled. */
  stop(): Promise<void> {
    this.#isEnding = true;
    this.#timer?.();
    this.#watchdog.stop();
    this.want(false);
    return this.#opening;
  }

  /** Hands back what is not settled. */
  async close(): Promise<void> {
    const feed = this.#feed;
    this.#turn += 1;
    this.#feed = undefined;
    await feed?.[Symbol.asyncDispose]();
  }

  #open(): void {
    const { driver, source, log, world, stallMs } = this.#parts;
    const turn = ++this.#turn;
    const isCurrent = () => turn === this.#turn;
    this.#trouble = `${spoken(driver, source)} is not open yet for group ${source.group}`;
    this.#timer = world.clock.after(stallMs * 2, () => {
      this.#lost(new MassaError("unavailable", `the broker has not opened it within ${stallMs * 2} ms`));
    });
    const opened = driver
      .declare(source.topic, [source.group])
      .then(() => driver.open(source, this.#listener(isCurrent)));
    this.#opening = opened.then(
      async (feed) => {
        if (!isCurrent() || this.#isEnding) return feed[Symbol.asyncDispose]();
        this.#timer?.();
        this.#feed = feed;
        this.#failures = 0;
        this.#trouble = undefined;
        this.#watchdog.start();
        log.info(source, "subscription open");
        this.#flow();
      },
      (reason: unknown) => {
        if (isCurrent()) this.#lost(MassaError.from(reason, "unavailable"));
      },
    );
  }

  #listener(isCurrent: () => boolean): FeedListener {
    const { deliver, revoked } = this.#parts;
    return {
      deliver: (delivery) => {
        if (!isCurrent() || !this.#feed) return;
        this.#watchdog.moved();
        deliver(delivery, this.#feed);
      },
      revoked: async (isLost) => {
        if (isCurrent()) await revoked(isLost);
      },
      closed: (error) => {
        if (isCurrent()) this.#lost(error);
      },
    };
  }

  #lost(error: MassaError): void {
    const { driver, source, log, world, lost } = this.#parts;
    this.#turn += 1;
    this.#timer?.();
    this.#watchdog.stop();
    this.#feed = undefined;
    this.#isRunning = false;
    lost();
    if (this.#isEnding) return;
    this.#failures += 1;
    this.#trouble = `${spoken(driver, source)} brings group ${source.group} nothing: ${error.message}`;
    const delayMs = restartMs(this.#failures, world.random);
    log.warn({ ...source, err: error, delayMs }, "subscription lost, opened again later");
    this.#timer = world.clock.after(delayMs, () => this.#open());
  }

  /** The feed is given up, and its end is not waited for. */
  #stalled(error: MassaError): void {
    const { driver, log, source, telemetry } = this.#parts;
    const feed = this.#feed;
    telemetry.count("massa_eventing_stalled_total", labelsOf(driver, source));
    this.#lost(error);
    feed?.[Symbol.asyncDispose]().then(undefined, (reason: unknown) => {
      log.debug({ ...source, err: MassaError.from(reason, "unavailable") }, "stalled feed did not close");
    });
  }

  #flow(): void {
    if (!this.#feed || this.#isWanted === this.#isRunning) return;
    this.#isRunning = this.#isWanted;
    if (this.#isRunning) this.#feed.resume();
    else this.#feed.pause();
  }
}
