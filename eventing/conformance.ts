import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import type { Delivery, Driver, Feed, FeedListener, Message } from "./driver.ts";
import { Subscription } from "./subscription.ts";
import type { Outcome } from "./verdict.ts";

/** What the suite needs to run on some broker. */
export interface DriverHarness extends AsyncDisposable {
  readonly driver: Driver;
  /** A name that no other scenario uses. */
  readonly topic: string;
  /** Publishes until the broker refuses, and returns why. */
  fill(topic: string): Promise<unknown>;
  /** The causes of the dead letters kept for a group, oldest first. */
  deadLetters(topic: string, group: string): Promise<readonly { readonly cause: string; readonly attempts: number }[]>;
  /** Waits for `isMet`; rejects with `what` after a bounded time. */
  until(isMet: () => boolean, what: string): Promise<void>;
}

/** A scenario that a broker cannot have, to be named with the reason in the driver's documentation. */
export type Skipped = "full" | "lag";

/** Holds what a feed brought. */
class Inbox implements FeedListener {
  readonly deliveries: Delivery[] = [];
  feed: Feed | undefined;
  lost: MassaError | undefined;
  onDelivery: (delivery: Delivery) => void = () => undefined;

  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery);
    this.onDelivery(delivery);
  }

  async revoked(): Promise<void> {
    // One member alone loses nothing.
  }

  closed(error: MassaError): void {
    this.lost = error;
  }

  texts(): readonly string[] {
    return this.deliveries.map(({ body }) => Buffer.from(body).toString());
  }
}

const say = (text: string, key = ""): Message => ({ key, headers: [], body: Buffer.from(text) });

/** What subscriptions and the publisher rely on from any broker. A driver is finished when this passes. */
export function conformsToDriver(
  name: string,
  openHarness: () => Promise<DriverHarness>,
  skip: readonly Skipped[] = [],
): void {
  suite(`${name} driver`, () => {
    const check = (title: string, body: (harness: DriverHarness) => Promise<void>, scenario?: Skipped) => {
      test(title, { skip: scenario !== undefined && skip.includes(scenario) }, async () => {
        await using harness = await openHarness();
        await body(harness);
      });
    };

    check("delivers what is published, whole", async (harness) => {
      const { driver, topic } = harness;
      const inbox = await open(harness, "g");
      const large = Buffer.alloc(200_000, "abc");
      const headers = [
        ["content-type", "text/plain; charset=utf-8"],
        ["ce-subject", "Größe – 尺寸 🚚"],
        ["X-Empty", ""],
        ["x-long", "v".repeat(2_000)],
      ] as const;
      await driver.publish(topic, { key: "k\u0000 /ü", headers, body: large });
      await driver.publish(topic, { key: "", headers: [], body: new Uint8Array() });
      await harness.until(() => inbox.deliveries.length === 2, "two deliveries");
      const whole = inbox.deliveries.find(({ body }) => body.byteLength > 0)!;
      assert.deepEqual(Buffer.from(whole.body), large);
      assert.equal(whole.key, "k\u0000 /ü");
      for (const header of headers) {
        assert.ok(
          whole.headers.some(([key, value]) => key.toLowerCase() === header[0].toLowerCase() && value === header[1]),
          `header ${header[0]} came whole`,
        );
      }
      assert.equal(inbox.deliveries.find(({ body }) => body.byteLength === 0)!.key, "");
      assert.notEqual(inbox.deliveries[0]!.id, inbox.deliveries[1]!.id);
    });

    check("gives each group its own copy", async (harness) => {
      const [a, b] = [await open(harness, "a"), await open(harness, "b")];
      await harness.driver.publish(harness.topic, say("one"));
      await harness.until(() => a.deliveries.length === 1 && b.deliveries.length === 1, "both groups");
      a.feed!.ack(a.deliveries[0]!);
      assert.deepEqual([a.texts(), b.texts()], [["one"], ["one"]]);
    });

    check("keeps what a declared group has not taken yet", async (harness) => {
      await harness.driver.declare(harness.topic, ["g"]);
      await harness.driver.publish(harness.topic, say("early"));
      const inbox = await open(harness, "g");
      await harness.until(() => inbox.texts().includes("early"), "the message from before");
    });

    check("delivers what was unsettled when a feed closed again, and counts it", async (harness) => {
      const first = await open(harness, "g");
      for (const text of ["one", "two", "three"]) await harness.driver.publish(harness.topic, say(text, "k"));
      await harness.until(() => first.deliveries.length === 3, "three deliveries");
      assert.deepEqual(
        first.deliveries.map(({ attempt }) => attempt),
        [1, 1, 1],
      );
      first.feed!.ack(first.deliveries[1]!);
      await first.feed![Symbol.asyncDispose]();
      const second = await open(harness, "g");
      await harness.until(() => second.texts().includes("three"), "what was unsettled");
      assert.deepEqual(
        second.texts().filter((text) => text !== "two"),
        ["one", "three"],
      );
      const attempts = second.deliveries.map(({ attempt }) => attempt);
      const { countsAttempts } = harness.driver.features;
      assert.ok(
        attempts.every((attempt) => attempt === (countsAttempts ? 2 : 1)),
        `attempts are ${attempts.join()}`,
      );
      assert.equal(second.deliveries[0]!.id, first.deliveries[0]!.id);
    });

    check("delivers a released message again, counting what it is told to", async (harness) => {
      const inbox = await open(harness, "g");
      await harness.driver.publish(harness.topic, say("one"));
      for (const [index, counted] of [0, 2, 0].entries()) {
        await harness.until(() => inbox.deliveries.length === index + 1, `delivery ${index + 1}`);
        inbox.feed!.release(inbox.deliveries[index]!, counted);
      }
      await harness.until(() => inbox.deliveries.length === 4, "delivery 4");
      if (!harness.driver.features.countsAttempts) return;
      assert.deepEqual(
        inbox.deliveries.map(({ attempt }) => attempt),
        [1, 1, 3, 3],
      );
    });

    check("does not deliver again what was acknowledged or buried", async (harness) => {
      const first = await open(harness, "g");
      for (const text of ["acknowledged", "buried", "open"]) await harness.driver.publish(harness.topic, say(text));
      await harness.until(() => first.deliveries.length === 3, "three deliveries");
      first.feed!.ack(first.deliveries[0]!);
      await first.feed!.bury(first.deliveries[1]!, { cause: "it was bad", attempts: 3 });
      await first.feed![Symbol.asyncDispose]();
      const second = await open(harness, "g");
      await harness.until(() => second.texts().includes("open"), "what was open");
      assert.deepEqual(second.texts(), ["open"]);
      const kept = await harness.deadLetters(harness.topic, "g");
      assert.deepEqual(
        kept.map(({ cause, attempts }) => ({ cause, attempts })),
        [{ cause: "it was bad", attempts: 3 }],
      );
    });

    check("keeps the order of a key under concurrent publishing", async (harness) => {
      const inbox = await open(harness, "g");
      const sent: Promise<string>[] = [];
      for (let number = 0; number < 200; number += 1) {
        sent.push(harness.driver.publish(harness.topic, say(String(number), `k${number % 7}`)));
      }
      assert.equal(new Set(await Promise.all(sent)).size, 200);
      await harness.until(() => inbox.deliveries.length >= 200, "200 deliveries");
      for (let key = 0; key < 7; key += 1) {
        const numbers = inbox.deliveries
          .filter((delivery) => delivery.key === `k${key}`)
          .map(({ body }) => Number(body));
        assert.deepEqual(
          numbers,
          [...numbers].sort((a, b) => a - b),
        );
      }
    });

    check("takes nothing while paused", async (harness) => {
      const { driver, topic } = harness;
      await driver.declare(topic, ["g"]);
      for (let number = 0; number < 50; number += 1) await driver.publish(topic, say(String(number)));
      let isResumed = false;
      const inbox = await open(harness, "g", (_delivery, feed) => {
        if (!isResumed) feed.pause();
      });
      await harness.until(() => inbox.deliveries.length > 0, "a delivery");
      const other = await open(harness, "other");
      await harness.driver.publish(harness.topic, say("later"));
      await harness.until(() => other.texts().includes("later"), "the other group goes on");
      assert.ok(inbox.deliveries.length < 50, `${inbox.deliveries.length} came to a paused feed`);
      isResumed = true;
      inbox.feed!.resume();
      await harness.until(() => inbox.texts().includes("later"), "all after resuming");
    });

    check("delivers nothing after a feed closed in the middle of a delivery", async (harness) => {
      const first = await open(harness, "g");
      const closing = Promise.withResolvers<undefined>();
      first.onDelivery = () => {
        first.feed![Symbol.asyncDispose]().then(() => closing.resolve(undefined), closing.reject);
        first.onDelivery = () => assert.fail("a delivery to a closed feed");
      };
      for (const text of ["one", "two", "three"]) await harness.driver.publish(harness.topic, say(text, "k"));
      await harness.until(() => first.deliveries.length === 1, "a delivery");
      await closing.promise;
      const second = await open(harness, "g");
      await harness.until(() => second.deliveries.length === 3, "all three");
      assert.deepEqual(second.texts(), ["one", "two", "three"]);
    });

    check("ignores what is settled twice, or after the feed closed", async (harness) => {
      const first = await open(harness, "g");
      await harness.driver.publish(harness.topic, say("one"));
      await harness.until(() => first.deliveries.length === 1, "a delivery");
      await first.feed![Symbol.asyncDispose]();
      first.feed!.ack(first.deliveries[0]!);
      const second = await open(harness, "g");
      await harness.until(() => second.deliveries.length === 1, "it came again");
      second.feed!.ack(second.deliveries[0]!);
      second.feed!.ack(second.deliveries[0]!);
      second.feed!.release(second.deliveries[0]!, 1);
      await harness.driver.publish(harness.topic, say("two"));
      await harness.until(() => second.texts().includes("two"), "the next one");
      assert.deepEqual(second.texts(), ["one", "two"]);
    });

    check("tells an open feed that the driver closes, and refuses from then on", async (harness) => {
      const inbox = await open(harness, "g");
      await harness.driver[Symbol.asyncDispose]();
      assert.equal(inbox.lost?.code, "unavailable");
      await assert.rejects(harness.driver.publish(harness.topic, say("late")), { code: "unavailable" });
      await assert.rejects(harness.driver.open({ topic: harness.topic, group: "g" }, inbox), { code: "unavailable" });
    });

    check("keeps order and content of messages with the same headers twice", async (harness) => {
      const inbox = await open(harness, "g");
      const headers = [
        ["x-twice", "a"],
        ["x-twice", "b"],
      ] as const;
      await harness.driver.publish(harness.topic, { key: "k", headers, body: Buffer.from("one") });
      await harness.until(() => inbox.deliveries.length === 1, "a delivery");
      const values = inbox.deliveries[0]!.headers.filter(([key]) => key.toLowerCase() === "x-twice");
      assert.equal(values.at(-1)?.[1], "b");
    });

    check(
      "gives each message to one member of a group, and all of a member that leaves to the others",
      async (harness) => {
        const [first, second] = [await open(harness, "g"), await open(harness, "g")];
        const taken = () => [...first.texts(), ...second.texts()];
        for (let number = 0; number < 20; number += 1) {
          await harness.driver.publish(harness.topic, say(String(number), `k${number % 5}`));
        }
        await harness.until(() => taken().length === 20, "each message once");
        assert.equal(new Set(taken()).size, 20);
        const given = first.deliveries.length;
        await first.feed![Symbol.asyncDispose]();
        await harness.until(() => new Set(second.texts()).size === 20, "what the other had");
        assert.equal(first.deliveries.length, given);
      },
    );

    check("lets 1,000 messages pass a key whose first message fails", async (harness) => {
      const { driver, topic } = harness;
      const runs: string[] = [];
      const running = new Set<string>();
      await driver.declare(topic, ["g"]);
      const subscription = new Subscription({
        driver,
        source: { topic, group: "g" },
        world: realWorld,
        log: silentLogger,
        telemetry: silentTelemetry,
        options: {
          inFlightMax: 64,
          attemptsMax: 3,
          backoffMinMs: 600_000,
          backoffMaxMs: 600_000,
          drainMs: 1_000,
          stallMs: 10_000,
        },
        plan: ({ key, body }) => ({
          lane: key,
          async run(): Promise<Outcome> {
            assert.ok(!running.has(key), `two at once in lane ${key}`);
            running.add(key);
            await Promise.resolve();
            running.delete(key);
            const text = Buffer.from(body).toString();
            runs.push(text);
            return text === "bad" ? { type: "failed", error: new MassaError("failed", "no") } : { type: "accepted" };
          },
        }),
      });
      await driver.publish(topic, say("bad", "bad"));
      await driver.publish(topic, say("behind", "bad"));
      for (let number = 0; number < 1_000; number += 1)
        await driver.publish(topic, say(String(number), `k${number % 97}`));
      await harness.until(() => runs.length >= 1_001, "the 1,000 others");
      assert.equal(runs.filter((text) => text === "bad").length, 1);
      assert.ok(!runs.includes("behind"));
      for (let key = 0; key < 97; key += 1) {
        const numbers = runs.filter((text) => Number(text) % 97 === key).map(Number);
        assert.deepEqual(
          numbers,
          [...numbers].sort((a, b) => a - b),
        );
      }
      await subscription[Symbol.asyncDispose]();
      const next = await open(harness, "g");
      await harness.until(() => next.texts().includes("behind"), "what was parked");
      assert.deepEqual(next.texts(), ["bad", "behind"]);
      if (driver.features.countsAttempts)
        assert.deepEqual(
          next.deliveries.map(({ attempt }) => attempt),
          [2, 1],
        );
    });

    check("does not know a topic that nobody declared", async ({ driver, topic }) => {
      const unknown = `${topic}-unknown`;
      const listener = new Inbox();
      const isUnknown = (error: unknown) => {
        assert.ok(error instanceof MassaError);
        assert.equal(error.code, "not-found");
        assert.match(error.message, new RegExp(unknown));
        assert.equal(driver.classify(error), "lasting");
        return true;
      };
      await assert.rejects(driver.open({ topic: unknown, group: "g" }, listener), isUnknown);
      await assert.rejects(driver.publish(unknown, say("one")), isUnknown);
    });

    check(
      "refuses when the topic is full, and takes again when there is room",
      async (harness) => {
        const { driver, topic } = harness;
        await driver.declare(topic, ["g"]);
        const refusal = await harness.fill(topic);
        assert.ok(refusal instanceof MassaError);
        assert.equal(refusal.code, "exhausted");
        assert.match(refusal.message, new RegExp(topic));
        assert.equal(driver.classify(refusal), "passing");
        const inbox = await open(harness, "g");
        await harness.until(() => inbox.deliveries.length > 0, "a delivery");
        for (const delivery of inbox.deliveries) inbox.feed!.ack(delivery);
        inbox.onDelivery = (delivery) => inbox.feed!.ack(delivery);
        await driver.publish(topic, say("room"));
        await harness.until(() => inbox.texts().includes("room"), "the one after");
      },
      "full",
    );

    check(
      "knows how far a group is behind",
      async (harness) => {
        await harness.driver.declare(harness.topic, ["g"]);
        for (let number = 0; number < 5; number += 1) await harness.driver.publish(harness.topic, say(String(number)));
        const inbox = new Inbox();
        const feed = await harness.driver.open({ topic: harness.topic, group: "g" }, inbox);
        assert.equal(await feed.lag(), 5);
        inbox.onDelivery = (delivery) => feed.ack(delivery);
        feed.resume();
        await harness.until(() => inbox.deliveries.length === 5, "all five");
        assert.equal(await feed.lag(), 0);
      },
      "lag",
    );
  });
}

async function open(
  { driver, topic }: DriverHarness,
  group: string,
  onDelivery: (delivery: Delivery, feed: Feed) => void = () => undefined,
): Promise<Inbox> {
  const inbox = new Inbox();
  await driver.declare(topic, [group]);
  const feed = await driver.open({ topic, group }, inbox);
  inbox.feed = feed;
  inbox.onDelivery = (delivery) => onDelivery(delivery, feed);
  feed.resume();
  return inbox;
}
