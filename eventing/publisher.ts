import { MassaError } from "../lib/core/errors.ts";
import type { Telemetry } from "../lib/core/telemetry.ts";
import type { World } from "../lib/core/world.ts";
import type { Driver, Message } from "./driver.ts";
import { backoffMs } from "./verdict.ts";

export interface PublisherOptions {
  /** Messages given and not confirmed (`eventing.inFlight`). */
  readonly inFlightMax: number;
  /** How long a message is tried again while the broker cannot take it (`eventing.publishTimeout`). */
  readonly timeoutMs: number;
}

/** Publishes for everybody in the process. */
export interface Publisher {
  /**
   * Resolves when the broker has confirmed the message; those of one topic and key in the order given. Rejects with
   * `exhausted` when too many wait, or with the driver's error when it lasts.
   */
  publish(topic: string, message: Message): Promise<void>;
}

const retryMinMs = 50;
const retryMaxMs = 2_000;

export function createPublisher(parts: {
  readonly driver: Driver;
  readonly world: World;
  readonly telemetry: Telemetry;
  readonly options: PublisherOptions;
}): Publisher {
  const { driver, telemetry, options } = parts;
  const { clock } = parts.world;
  const never = new AbortController().signal;
  const tails = new Map<string, Promise<void>>();
  let inFlight = 0;

  const confirmed = async (topic: string, message: Message): Promise<void> => {
    const startMs = clock.monotonic();
    for (let failures = 1; ; failures += 1) {
      try {
        await driver.declare(topic, []);
        await driver.publish(topic, message);
        telemetry.observe("massa_publish_seconds", (clock.monotonic() - startMs) / 1_000);
        return;
      } catch (reason) {
        const waitMs = backoffMs(failures, retryMinMs, retryMaxMs);
        const isLate = clock.monotonic() + waitMs - startMs > options.timeoutMs;
        if (isLate || driver.classify(reason) === "lasting") throw MassaError.from(reason, "unavailable");
        await clock.sleep(waitMs, never);
      }
    }
  };

  return {
    async publish(topic, message) {
      if (inFlight >= options.inFlightMax) {
        telemetry.count("massa_limit_reached_total", { limit: "eventing.inFlight" });
        throw new MassaError("exhausted", `${inFlight} messages wait to be confirmed already (eventing.inFlight)`);
      }
      inFlight += 1;
      const lane = JSON.stringify([topic, message.key]);
      const earlier = message.key === "" ? undefined : tails.get(lane);
      const publish = () => confirmed(topic, message);
      const done = earlier ? earlier.then(publish, publish) : publish();
      if (message.key !== "") tails.set(lane, done);
      try {
        await done;
      } finally {
        inFlight -= 1;
        if (tails.get(lane) === done) tails.delete(lane);
      }
    },
  };
}
