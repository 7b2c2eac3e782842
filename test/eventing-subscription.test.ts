import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Delivery, Driver, FeedListener } from "../eventing/driver.ts";
import type { MemoryBroker } from "../eventing/memory.ts";
import { Subscription, type SubscriptionOptions } from "../eventing/subscription.ts";
import type { Outcome } from "../eventing/verdict.ts";
import { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import type { Clock, World } from "../lib/core/world.ts";
import { realWorld } from "../lib/core/world.ts";
import { VirtualTime } from "../lib/testing/virtual-time.ts";
import { memory, say, until } from "./eventing-harness.ts";

const accepted: Outcome = { type: "accepted" };
const failed = (code: "failed" | "exhausted" | "unavailable", text = "no"): Outcome => ({
  type: "failed",
  error: new MassaError(code, text),
});
const source = { topic: "t", group: "g" };

interface Run {
  readonly text: string;
  readonly attempt: number;
  readonly atMs: number;
}

const defaults: SubscriptionOptions = {
  inFlightMax: 256,
  attemptsMax: 5,
  backoffMinMs: 100,
  backoffMaxMs: 1_000,
  drainMs: 5_000,
  stallMs: 30_000,
};

function virtualWorld() {
  const time = new VirtualTime();
  const clock: Clock = {
    ...realWorld.clock,
    now: () => time.now(),
    monotonic: () => time.now(),
    after: (delayMs, callback) => time.after(delayMs, callback),
  };
  const world: World = { clock, random: realWorld.random };
  return { time, world };
}

/** A subscription on virtual time whose work is done by `work`. */
async function subscribe(
  work: (text: string, run: number) => Outcome | Promise<Outcome>,
  options: Partial<SubscriptionOptions> = {},
) {
  const broker = memory({});
  const { time, world } = virtualWorld();
  const runs: Run[] = [];
  const open = () =>
    new Subscription({
      driver: broker,
      source,
      world,
      log: silentLogger,
      telemetry: silentTelemetry,
      options: { ...defaults, ...options },
      plan: (delivery: Delivery) => {
        const text = Buffer.from(delivery.body).toString();
        if (text === "too early" && time.now() < 1_000) throw new MassaError("unavailable", "no services yet");
        if (text === "undecodable") throw new MassaError("invalid", "not a message");
        return {
          lane: delivery.key,
          run: async () => {
            runs.push({ text, attempt: delivery.attempt, atMs: time.now() });
            return work(text, runs.filter((run) => run.text === text).length);
          },
        };
      },
    });
  await broker.declare(source.topic, [source.group]);
  return { broker, time, runs, subscription: open(), open };
}

const done = (broker: MemoryBroker) => () => broker.topics()[0]!.messages === 0;
/** Lets time go on, step by step, until something is so. */
const pass = (time: VirtualTime, isMet: () => boolean, what: string) =>
  until(() => {
    if (!isMet()) time.run(100);
    return isMet();
  }, what);

suite("subscription", () => {
  test("a failing key parks its own lane while 1,000 others pass", async () => {
    const { broker, time, runs, subscription } = await subscribe((text) =>
      text === "bad" ? failed("failed") : accepted,
    );
    await broker.publish("t", say("bad", "bad"));
    await broker.publish("t", say("after the bad", "bad"));
    for (let number = 0; number < 1_000; number += 1) await broker.publish("t", say(String(number), `k${number}`));
    await until(() => runs.length >= 1_001, "the 1,000 without time going on");
    assert.equal(time.now(), 0);
    assert.equal(runs.filter(({ text }) => text === "bad").length, 1);
    assert.ok(runs.every(({ text }) => text !== "after the bad"));
    await pass(time, done(broker), "all settled");
    const lane = runs.filter(({ text }) => text.includes("bad"));
    assert.deepEqual(
      lane.map(({ text }) => text),
      ["bad", "bad", "bad", "bad", "bad", "after the bad"],
    );
    assert.deepEqual(
      lane.slice(0, 5).map(({ atMs }) => atMs),
      [0, 100, 300, 700, 1_500],
    );
    const [dead] = broker.deadLetters(source, 10);
    assert.deepEqual([dead!.cause, dead!.attempts, dead!.position, dead!.message.key], ["no", 5, "0", "bad"]);
    await subscription[Symbol.asyncDispose]();
  });

  test("what can never succeed is a dead letter after one attempt, and the lane goes on", async () => {
    const { broker, runs, subscription } = await subscribe((text) =>
      text === "never" ? { type: "permanent", error: new MassaError("invalid", "never") } : accepted,
    );
    for (const text of ["never", "undecodable", "fine"]) await broker.publish("t", say(text, "k", [["x", text]]));
    await until(done(broker), "all settled");
    assert.deepEqual(
      runs.map(({ text }) => text),
      ["never", "fine"],
    );
    const dead = broker.deadLetters(source, 10);
    assert.deepEqual(dead.map(({ cause, attempts }) => [cause, attempts]).sort(), [
      ["never", 1],
      ["not a message", 1],
    ]);
    assert.ok(dead.every(({ message }) => message.headers[0]![1] === Buffer.from(message.body).toString()));
    await subscription[Symbol.asyncDispose]();
  });

  for (const code of ["exhausted", "unavailable"] as const) {
    test(`${code} is not the message's fault: no attempt counts`, async () => {
      const { broker, time, subscription } = await subscribe((_text, run) => (run <= 20 ? failed(code) : accepted));
      await broker.publish("t", say("one", "k"));
      await pass(time, done(broker), "settled in the end");
      assert.deepEqual(broker.deadLetters(source, 10), []);
      await subscription[Symbol.asyncDispose]();
    });
  }

  test("what cannot be read yet is read later", async () => {
    const { broker, time, runs, subscription } = await subscribe(() => accepted);
    await broker.publish("t", say("too early"));
    await pass(time, done(broker), "settled in the end");
    assert.ok(runs[0]!.atMs >= 1_000);
    assert.deepEqual(broker.deadLetters(source, 10), []);
    await subscription[Symbol.asyncDispose]();
  });

  test("while the function is down nothing else begins", async () => {
    let isDown = true;
    const { broker, time, runs, subscription } = await subscribe(() => (isDown ? failed("unavailable") : accepted));
    await broker.publish("t", say("first", "a"));
    await until(() => runs.length === 1, "one try");
    for (let number = 0; number < 50; number += 1) await broker.publish("t", say(String(number), `k${number}`));
    await realWorld.clock.sleep(5, new AbortController().signal);
    assert.deepEqual([runs.length, subscription.held], [1, 1]);
    isDown = false;
    await pass(time, done(broker), "all settled");
    assert.equal(runs.length, 52);
    await subscription[Symbol.asyncDispose]();
  });

  test("a lane keeps its order, lanes run side by side within the bound", async () => {
    let running = 0;
    let most = 0;
    const byKey = new Map<string, number>();
    const { broker, runs, subscription } = await subscribe(
      async (text) => {
        const key = text.split(":")[0]!;
        const inLane = (byKey.get(key) ?? 0) + 1;
        byKey.set(key, inLane);
        assert.equal(inLane, 1);
        most = Math.max(most, ++running);
        await realWorld.clock.sleep(1, new AbortController().signal);
        running -= 1;
        byKey.set(key, 0);
        return accepted;
      },
      { inFlightMax: 8 },
    );
    for (let number = 0; number < 100; number += 1) {
      await broker.publish("t", say(`${number % 20}:${String(number).padStart(3, "0")}`, String(number % 20)));
    }
    await until(() => subscription.held > 0, "some taken");
    assert.ok(subscription.held <= 8);
    await until(done(broker), "all settled");
    assert.equal(broker.deadLetters(source, 10).length, 0);
    assert.ok(most > 1 && most <= 8, `${most} ran at once`);
    for (let key = 0; key < 20; key += 1) {
      const texts = runs.filter(({ text }) => text.startsWith(`${key}:`)).map(({ text }) => text);
      assert.deepEqual(texts, [...texts].sort());
    }
    await subscription[Symbol.asyncDispose]();
  });

  test("stopping lets work end and hands the rest back uncounted, its failed attempts kept", async () => {
    const gate = Promise.withResolvers<Outcome>();
    const isOpen = { value: false };
    const { broker, time, runs, subscription, open } = await subscribe((text) => {
      if (isOpen.value) return accepted;
      return text === "slow" ? gate.promise : failed("failed");
    });
    for (const [text, key] of [
      ["slow", "a"],
      ["queued", "a"],
      ["failing", "b"],
    ] as const) {
      await broker.publish("t", say(text, key));
    }
    await until(() => runs.length === 2, "two under way");
    await until(() => subscription.held === 3, "three held");
    const stopping = subscription[Symbol.asyncDispose]();
    await broker.publish("t", say("later", "c"));
    gate.resolve(accepted);
    await stopping;
    assert.deepEqual(runs.map(({ text }) => text).sort(), ["failing", "slow"]);
    assert.equal(broker.topics()[0]!.groups[0]!.unsettled, 3);
    isOpen.value = true;
    const next = open();
    await pass(time, done(broker), "all settled");
    assert.deepEqual(
      runs.slice(2).map(({ text, attempt }) => [text, attempt]),
      [
        ["queued", 1],
        ["failing", 2],
        ["later", 1],
      ],
    );
    await next[Symbol.asyncDispose]();
  });

  test("stopping does not wait longer than it may for work that hangs", async () => {
    const { broker, time, runs, subscription } = await subscribe(() => Promise.withResolvers<Outcome>().promise);
    await broker.publish("t", say("hangs", "a"));
    await until(() => runs.length === 1, "it runs");
    let isStopped = false;
    const stopping = subscription[Symbol.asyncDispose]().then(() => void (isStopped = true));
    await until(() => true, "a turn");
    time.run(4_999);
    await realWorld.clock.sleep(5, new AbortController().signal);
    assert.equal(isStopped, false);
    time.run(1);
    await stopping;
    assert.equal(broker.topics()[0]!.groups[0]!.unsettled, 1);
  });

  test("a feed that is lost is opened again, and what another member took over is left alone", async () => {
    const gates = new Map<string, PromiseWithResolvers<Outcome>>();
    const settled: string[] = [];
    const listeners: FeedListener[] = [];
    const driver: Driver = {
      ...memory({}),
      open: async (_source, listener) => {
        listeners.push(listener);
        return {
          ack: ({ id }) => void settled.push(`ack ${id}`),
          release: ({ id }) => void settled.push(`release ${id}`),
          bury: async ({ id }) => void settled.push(`bury ${id}`),
          extend: () => undefined,
          pause: () => undefined,
          resume: () => undefined,
          lag: async () => 0,
          [Symbol.asyncDispose]: async () => undefined,
        };
      },
    };
    const { time, world } = virtualWorld();
    const begun: string[] = [];
    const subscription = new Subscription({
      ...{ driver, source, world, log: silentLogger, telemetry: silentTelemetry, options: defaults },
      plan: ({ id, key }) => ({
        lane: key,
        run: () => {
          begun.push(id);
          const gate = Promise.withResolvers<Outcome>();
          gates.set(id, gate);
          return gate.promise;
        },
      }),
    });
    await until(() => listeners.length === 1, "a feed");
    await realWorld.clock.sleep(1, new AbortController().signal);
    const deliver = (id: string, key: string) =>
      listeners.at(-1)!.deliver({ ...say("", key), id, position: id, attempt: 1 });
    for (const [id, key] of [
      ["1", "a"],
      ["2", "a"],
      ["3", "b"],
    ] as const)
      deliver(id, key);
    let isRevoked = false;
    const revoked = listeners[0]!.revoked(({ key }) => key === "a").then(() => void (isRevoked = true));
    gates.get("3")!.resolve(accepted);
    await until(() => settled.length === 1, "the one that stays");
    assert.equal(isRevoked, false);
    gates.get("1")!.resolve(failed("failed"));
    await revoked;
    time.run(10_000);
    assert.deepEqual([settled, begun, subscription.held], [["ack 3"], ["1", "3"], 0]);
    listeners[0]!.closed(new MassaError("unavailable", "cut"));
    time.run(2_999);
    assert.equal(listeners.length, 1);
    time.run(700);
    await until(() => listeners.length === 2, "another feed");
    await realWorld.clock.sleep(1, new AbortController().signal);
    deliver("4", "a");
    gates.get("4")!.resolve(accepted);
    await until(() => settled.includes("ack 4"), "it goes on");
    await subscription[Symbol.asyncDispose]();
  });
});
