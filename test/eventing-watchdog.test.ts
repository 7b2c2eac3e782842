import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Delivery, Driver, FeedListener } from "../eventing/driver.ts";
import { Subscription } from "../eventing/subscription.ts";
import type { Outcome } from "../eventing/verdict.ts";
import { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { seededRandom } from "../lib/core/world.ts";
import { ProcessClock, VirtualTime } from "../lib/testing/virtual-time.ts";
import { memory, say } from "./eventing-harness.ts";

const stallMs = 10_000;
const accepted: Outcome = { type: "accepted" };
const never = new Promise<never>(() => undefined);

/** A broker that does only what the test says. */
function scripted() {
  const listeners: FeedListener[] = [];
  const calls: string[] = [];
  const script: { open: () => Promise<void>; lag: () => Promise<number>; close: () => Promise<void> } = {
    open: async () => undefined,
    lag: async () => 0,
    close: async () => undefined,
  };
  const driver: Driver = {
    ...memory({}),
    async open(_source, listener) {
      const number = listeners.push(listener);
      await script.open();
      const say = (call: string) => void calls.push(`${call} ${number}`);
      return {
        ack: ({ id }) => say(`ack ${id}`),
        release: ({ id }) => say(`release ${id}`),
        bury: async ({ id }) => say(`bury ${id}`),
        extend: () => undefined,
        pause: () => say("pause"),
        resume: () => say("resume"),
        lag: () => script.lag(),
        [Symbol.asyncDispose]: () => (say("close"), script.close()),
      };
    },
  };
  return { driver, listeners, calls, script };
}

async function subscribe(run: () => Promise<Outcome> = async () => accepted, inFlightMax = 4) {
  const time = new VirtualTime();
  const broker = scripted();
  const counted: string[] = [];
  const subscription = new Subscription({
    driver: broker.driver,
    source: { topic: "t", group: "g" },
    world: { clock: new ProcessClock(time, 0), random: seededRandom(1) },
    log: silentLogger,
    telemetry: { ...silentTelemetry, count: (name) => void counted.push(name) },
    options: { inFlightMax, attemptsMax: 5, backoffMinMs: 100, backoffMaxMs: 1_000, drainMs: 1_000, stallMs },
    plan: ({ key }) => ({ lane: key, run }),
  });
  /** Lets time go on in steps, so that whatever was answered in between is heard. */
  const pass = async (durationMs: number) => {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 100) {
      for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
      time.run(100);
    }
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  };
  const deliver = (id: string, from = broker.listeners.length) =>
    broker.listeners[from - 1]!.deliver({ ...say("", id), id, position: id, attempt: 1 } satisfies Delivery);
  await pass(0);
  return {
    ...broker,
    time,
    subscription,
    pass,
    deliver,
    stalls: () => counted.filter((name) => name.includes("stalled")).length,
  };
}

suite("watchdog", () => {
  test("a feed with nothing to bring, or that brings something, is left alone", async () => {
    const { subscription, listeners, script, pass, deliver, stalls } = await subscribe();
    await pass(10 * stallMs);
    script.lag = async () => 7;
    for (let number = 0; number < 20; number += 1) {
      await pass(stallMs / 2);
      deliver(String(number));
    }
    assert.deepEqual([listeners.length, stalls(), subscription.trouble], [1, 0, undefined]);
    await subscription[Symbol.asyncDispose]();
  });

  test("a feed that brings nothing of what waits is made anew, and says why until it is", async () => {
    const { subscription, listeners, script, calls, pass, deliver, stalls } = await subscribe();
    script.lag = async () => 7;
    script.close = () => never;
    await pass(2 * stallMs - 200);
    assert.equal(listeners.length, 1);
    await pass(300);
    assert.equal(stalls(), 1);
    assert.match(
      subscription.trouble!,
      /topic t brings group g nothing: 7 messages wait and none has come for 20000 ms/,
    );
    assert.ok(calls.includes("close 1"));
    await pass(4_000);
    assert.deepEqual([listeners.length, subscription.trouble], [2, undefined]);
    script.lag = async () => 0;
    deliver("late", 1);
    deliver("new", 2);
    listeners[0]!.closed(new MassaError("unavailable", "late"));
    await pass(stallMs);
    assert.deepEqual(
      calls.filter((call) => call.startsWith("ack")),
      ["ack new 2"],
    );
    assert.equal(listeners.length, 2);
    script.close = async () => undefined;
    await subscription[Symbol.asyncDispose]();
  });

  test("a broker that does not say whether something waits is taken for stalled", async () => {
    for (const [lag, afterMs, why] of [
      [() => never, 2 * stallMs, /has said nothing for 20000 ms/],
      [() => Promise.reject(new Error("cut")), stallMs, /does not tell its lag: cut/],
    ] as const) {
      const { subscription, script, pass, stalls } = await subscribe();
      script.lag = lag;
      await pass(afterMs - 200);
      assert.equal(stalls(), 0);
      await pass(400);
      assert.equal(stalls(), 1);
      assert.match(subscription.trouble!, why);
      await subscription[Symbol.asyncDispose]();
    }
  });

  test("what an earlier feed says of its lag is nothing to the one that came after", async () => {
    const { subscription, listeners, script, pass, stalls } = await subscribe();
    const answer = Promise.withResolvers<number>();
    script.lag = () => answer.promise;
    await pass(stallMs + 100);
    listeners[0]!.closed(new MassaError("unavailable", "cut"));
    script.lag = async () => 0;
    await pass(4_000);
    assert.equal(listeners.length, 2);
    answer.resolve(7);
    await pass(3 * stallMs);
    assert.deepEqual([stalls(), listeners.length, subscription.trouble], [0, 2, undefined]);
    await subscription[Symbol.asyncDispose]();
  });

  test("a broker that never opens the feed is asked again, and a feed that comes too late is closed", async () => {
    const { script, subscription, listeners, calls, pass } = await subscribe();
    const opening = Promise.withResolvers<undefined>();
    script.open = () => opening.promise;
    listeners[0]!.closed(new MassaError("unavailable", "cut"));
    await pass(4_000);
    assert.equal(listeners.length, 2);
    assert.match(subscription.trouble!, /is not open yet for group g/);
    await pass(2 * stallMs);
    assert.match(subscription.trouble!, /has not opened it within 20000 ms/);
    script.open = async () => undefined;
    await pass(8_000);
    assert.deepEqual([listeners.length, subscription.trouble], [3, undefined]);
    opening.resolve(undefined);
    await pass(0);
    assert.ok(calls.includes("close 2"));
    assert.ok(!calls.includes("resume 2"));
    await subscription[Symbol.asyncDispose]();
    assert.ok(calls.includes("close 3"));
  });

  test("an opening that failed is not given up a second time when its patience would end", async () => {
    const { script, subscription, listeners, stalls, pass } = await subscribe();
    script.open = () => Promise.reject(new MassaError("unavailable", "not yet"));
    listeners[0]!.closed(new MassaError("unavailable", "cut"));
    await pass(4_000);
    assert.match(subscription.trouble!, /nothing: not yet/);
    script.open = async () => undefined;
    await pass(8_000);
    const opened = listeners.length;
    await pass(4 * stallMs);
    assert.deepEqual([listeners.length, stalls(), subscription.trouble], [opened, 0, undefined]);
    await subscription[Symbol.asyncDispose]();
    await pass(4 * stallMs);
    assert.equal(listeners.length, opened);
  });

  test("work that ends just as its time is over does not hold up the stop", async () => {
    const gate = Promise.withResolvers<Outcome>();
    const { subscription, deliver, pass, time } = await subscribe(() => gate.promise);
    deliver("one");
    let isOver = false;
    const stopping = subscription[Symbol.asyncDispose]().then(() => (isOver = true));
    await pass(900);
    assert.equal(isOver, false);
    gate.resolve(accepted);
    time.run(200);
    await stopping;
  });

  test("a subscription that is full, or waits for the function, asks the broker for nothing", async () => {
    for (const outcome of [
      never,
      Promise.resolve<Outcome>({ type: "failed", error: new MassaError("unavailable", "") }),
    ]) {
      const { script, subscription, deliver, pass, stalls, listeners } = await subscribe(() => outcome, 1);
      script.lag = async () => 7;
      deliver("one");
      await pass(5 * stallMs);
      assert.deepEqual([stalls(), listeners.length], [0, 1]);
      const stopping = subscription[Symbol.asyncDispose]();
      await pass(1_100);
      await stopping;
    }
  });

  test("stopping does not wait longer than it may for a feed that never opens", async () => {
    const { script, subscription, listeners, pass } = await subscribe();
    script.open = () => never;
    listeners[0]!.closed(new MassaError("unavailable", "cut"));
    await pass(4_000);
    let isOver = false;
    const stopping = subscription[Symbol.asyncDispose]().then(() => (isOver = true));
    await pass(900);
    assert.equal(isOver, false);
    await pass(200);
    assert.equal(isOver, true);
    await stopping;
  });
});
