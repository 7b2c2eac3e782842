import assert from "node:assert/strict";
import type { DriverHarness } from "../eventing/conformance.ts";
import type { Delivery, FeedListener, Message } from "../eventing/driver.ts";
import { createMemoryBroker, type MemoryBroker, type MemoryOptions } from "../eventing/memory.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";

const defaults: MemoryOptions = {
  topicsMax: 100,
  topicMessagesMax: 10_000,
  topicBytesMax: 64 * 1024 * 1024,
  deadLettersMax: 1_000,
};

/** An embedded broker with some bounds of its own. */
export function memory(options: Partial<MemoryOptions>): MemoryBroker {
  return createMemoryBroker({ log: silentLogger, telemetry: silentTelemetry, options: { ...defaults, ...options } });
}

export const say = (text: string, key = "", headers: Message["headers"] = []): Message => ({
  key,
  headers,
  body: Buffer.from(text),
});

export function listening(taken: Delivery[]): FeedListener {
  return {
    deliver: (delivery) => void taken.push(delivery),
    revoked: () => Promise.resolve(),
    closed: () => undefined,
  };
}

/** Waits for a condition, five seconds at most. */
export async function until(isMet: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + 5_000;
  while (!isMet()) {
    if (performance.now() > endMs) assert.fail(`did not come: ${what}`);
    await realWorld.clock.sleep(1, new AbortController().signal);
  }
}

export function harnessOf(broker: MemoryBroker): DriverHarness {
  return {
    driver: broker,
    topic: "scenario",
    async fill(topic) {
      for (;;) {
        try {
          await broker.publish(topic, say("filling"));
        } catch (refusal) {
          return refusal;
        }
      }
    },
    deadLetters: async (topic, group) => broker.deadLetters({ topic, group }, 100),
    until,
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  };
}
