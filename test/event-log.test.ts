import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { createEventLog, type EventLogOptions, type EventLogStore } from "../eventing/event-log.ts";
import type { Delivery, Feed } from "../eventing/driver.ts";
import { judgeEvent, restartMs } from "../eventing/verdict.ts";
import { type Code, MassaError } from "../lib/core/errors.ts";
import { seededRandom } from "../lib/core/world.ts";
import type { Store } from "../lib/store/store.ts";
import { createMemoryStore } from "../lib/store/memory.ts";
import {
  answering,
  append,
  consume,
  consumer,
  eventOf,
  group,
  logOptions,
  oneUrl,
  recordingLogger,
  settle,
  tableOf,
  textOf,
  virtualWorld,
} from "./event-log-harness.ts";
import { listening, until } from "./eventing-harness.ts";

const source = { topic: "carts", group };
const texts = (deliveries: readonly Delivery[]) => deliveries.map(({ body }) => Buffer.from(body).toString());

/** One feed of log `carts`, in virtual time, that takes everything. */
async function open(store: EventLogStore, options: Partial<EventLogOptions> = {}) {
  const { world, time, pass } = virtualWorld();
  const lines: string[] = [];
  const taken: Delivery[] = [];
  const lost: MassaError[] = [];
  const inlet = createEventLog({
    store,
    clock: world.clock,
    log: recordingLogger(lines),
    options: { ...logOptions, ...options },
  });
  const feed: Feed = await inlet.open(source, { ...listening(taken), closed: (error) => void lost.push(error) });
  feed.resume();
  return { feed, taken, lost, lines, time, pass };
}

/** A store that writes down the places it is told to keep. */
function watched(store: Store, put: (offset: string) => Promise<void> = () => Promise.resolve()) {
  const kept: string[] = [];
  const spied: EventLogStore = {
    events: store.events,
    offsets: {
      get: (name) => store.offsets.get(name),
      put: async (name, offset) => {
        await put(offset);
        await store.offsets.put(name, offset);
        kept.push(offset);
      },
    },
  };
  return { spied, kept };
}

async function filled(count: number): Promise<Store> {
  const store = createMemoryStore();
  for (let number = 1; number <= count; number += 1) await append(store, `e${number % 3}`, eventOf(`${number}`));
  return store;
}

suite("event log", () => {
  test("brings all events of a persistence id in the order of the log, as records", async () => {
    const store = await filled(40);
    await store.events.append({ persistenceId: "orders", entityId: "e1" }, 0, [eventOf("of another log")]);
    const { feed, taken } = await open(store);
    await until(() => taken.length === 40, "all");
    assert.deepEqual(
      texts(taken),
      Array.from({ length: 40 }, (_, index) => `${index + 1}`),
    );
    assert.deepEqual(taken[6], {
      key: "e1",
      position: "7",
      id: "7",
      attempt: 1,
      headers: [
        ["ce-id", "7"],
        ["ce-source", "carts"],
        ["ce-specversion", "1.0"],
        ["ce-type", oneUrl],
        ["content-type", "application/vnd.cloudstate.protobuf.any"],
        ["ce-subject", "e1"],
      ],
      body: new Uint8Array(Buffer.from("7")),
    });
    await append(store, "e9", eventOf("new"));
    await until(() => taken.length === 41, "what came later");
    await feed[Symbol.asyncDispose]();
  });

  test("brings nothing before it is resumed nor while it is paused, and misses nothing meanwhile", async () => {
    const store = await filled(5);
    const { feed, taken } = await open(store, { pageMax: 2 });
    feed.pause();
    await append(store, "e1", eventOf("6"));
    await settle();
    assert.deepEqual(taken, []);
    feed.resume();
    await until(() => taken.length === 6, "all");
    feed.pause();
    await append(store, "e1", eventOf("7"));
    await settle();
    assert.equal(taken.length, 6);
    feed.resume();
    await until(() => taken.length === 7, "the last");
    await feed[Symbol.asyncDispose]();
  });

  test("misses nothing that is appended while it reads", async () => {
    const store = createMemoryStore();
    const gates: PromiseWithResolvers<undefined>[] = [];
    const slow: EventLogStore = {
      ...store,
      events: {
        ...store.events,
        log: async (...asked) => {
          const page = await store.events.log(...asked);
          const gate = Promise.withResolvers<undefined>();
          gates.push(gate);
          await gate.promise;
          return page;
        },
      },
    };
    const { feed, taken } = await open(slow);
    await until(() => gates.length === 1, "the first reading, of nothing");
    await append(store, "e1", eventOf("1"));
    await settle();
    gates[0]!.resolve(undefined);
    await until(() => gates.length === 2, "another reading");
    gates[1]!.resolve(undefined);
    await until(() => taken.length === 1, "what came meanwhile");
    await feed[Symbol.asyncDispose]();
  });

  test("keeps its place after 20 events, or a second after the first that is not covered, and when it closes", async () => {
    const store = await filled(50);
    const { spied, kept } = watched(store);
    const { feed, taken, time } = await open(spied);
    await until(() => taken.length === 50, "all");
    for (const delivery of taken.slice(0, 19)) feed.ack(delivery);
    time.run(999);
    await settle();
    assert.deepEqual(kept, []);
    feed.ack(taken[19]!);
    await until(() => kept.length === 1, "after 20");
    feed.ack(taken[20]!);
    time.run(999);
    await settle();
    assert.deepEqual(kept, ["20"]);
    time.run(1);
    await until(() => kept.length === 2, "after a second");
    feed.ack(taken[21]!);
    await feed[Symbol.asyncDispose]();
    assert.deepEqual(kept, ["20", "21", "22"]);
  });

  test("an event that is not settled keeps the place below it, and comes again with what is above", async () => {
    const store = await filled(50);
    const { spied, kept } = watched(store);
    const { feed, taken, time } = await open(spied);
    await until(() => taken.length === 50, "all");
    for (const delivery of taken) if (delivery.id !== "5" && delivery.id !== "30") feed.ack(delivery);
    time.run(10_000);
    await until(() => kept.includes("4"), "the place below");
    assert.deepEqual([...new Set(kept)], ["4"]);
    feed.ack(taken[4]!);
    time.run(1_000);
    await until(() => kept.includes("29"), "the place below the next");
    feed.release(taken[29]!, 0);
    await feed[Symbol.asyncDispose]();
    assert.equal(await store.offsets.get(consumer), "29");
    const next = await open(store);
    await until(() => next.taken.length === 21, "the rest");
    assert.equal(next.taken[0]!.id, "30");
    await next.feed[Symbol.asyncDispose]();
  });

  test("a place that is not kept is said, tried again, and costs only that events come again", async () => {
    const store = await filled(3);
    let isFull = true;
    const { spied, kept } = watched(store, async () => {
      if (isFull) throw new MassaError("unavailable", "disk full");
    });
    const { feed, taken, lines, time } = await open(spied, { saveEvents: 1 });
    await until(() => taken.length === 3, "all");
    feed.ack(taken[0]!);
    await until(() => lines.length === 1, "said");
    assert.match(lines[0]!, /not kept.*disk full/);
    isFull = false;
    time.run(1_000);
    await until(() => kept.length === 1, "kept after all");
    isFull = true;
    feed.ack(taken[1]!);
    await feed[Symbol.asyncDispose]();
    assert.equal(await store.offsets.get(consumer), "1");
  });

  test("a store that does not answer does not hold up the end", async () => {
    const store = await filled(1);
    const { spied } = watched(store, () => Promise.withResolvers<undefined>().promise);
    const { feed, taken, lines, time } = await open(spied);
    await until(() => taken.length === 1, "the event");
    feed.ack(taken[0]!);
    let hasEnded = false;
    const ended = feed[Symbol.asyncDispose]().then(() => void (hasEnded = true));
    time.run(4_999);
    await settle();
    assert.equal(hasEnded, false);
    time.run(1);
    await ended;
    assert.match(lines[0]!, /not known to be kept/);
  });

  test("a store that cannot be read ends the feed, with what it handed out unsettled", async () => {
    const store = await filled(1);
    let isDown = false;
    const broken: EventLogStore = {
      ...store,
      events: {
        ...store.events,
        log: async (...asked) => {
          if (isDown) throw new MassaError("unavailable", "store down");
          return store.events.log(...asked);
        },
      },
    };
    const { feed, taken, lost } = await open(broken);
    await until(() => taken.length === 1, "the first");
    isDown = true;
    await append(store, "e1", eventOf("2"));
    await until(() => lost.length === 1, "the end");
    assert.equal(lost[0]!.message, "store down");
    feed.ack(taken[0]!);
    assert.equal(await store.offsets.get(consumer), undefined);
  });
});

suite("event log over restarts", () => {
  /** Answers everything, and notes what came. */
  const taking = () => {
    const seen: string[] = [];
    const { router } = answering(({ payload }, caller) => {
      seen.push(textOf(payload));
      caller.end();
    });
    return { seen, router };
  };
  const table = tableOf({ name: "One" });

  test("after a drain nothing comes again, and nothing is missing", async () => {
    const store = await filled(33);
    const first = taking();
    const before = consume({ store, table, router: first.router });
    await until(() => before.accepted() === 33, "all");
    await before.consumers[Symbol.asyncDispose]();
    assert.equal(await store.offsets.get(consumer), "33");
    await append(store, "e1", eventOf("34"));
    const second = taking();
    const after = consume({ store, table, router: second.router });
    await until(() => after.accepted() === 1, "the new one");
    assert.deepEqual(second.seen, ["34"]);
    await after.consumers[Symbol.asyncDispose]();
  });

  test("after a crash there is no gap, and what was not kept as done comes again", async () => {
    const store = await filled(33);
    const first = taking();
    const crashed = consume({ store, table, router: first.router });
    await until(() => crashed.accepted() === 33, "all");
    await settle();
    assert.equal(await store.offsets.get(consumer), "20");
    const second = taking();
    const after = consume({ store, table, router: second.router });
    await append(store, "e1", eventOf("34"));
    await until(() => second.seen.includes("34"), "the new one");
    assert.deepEqual(
      second.seen.sort(),
      Array.from({ length: 14 }, (_, index) => `${21 + index}`),
    );
    await after.consumers[Symbol.asyncDispose]();
    await crashed.consumers[Symbol.asyncDispose]();
  });

  test("a store that is down is asked again after 3 s and more; meanwhile the proxy says that it is not ready", async () => {
    const store = await filled(3);
    let isDown = true;
    const failing: EventLogStore = {
      ...store,
      offsets: {
        ...store.offsets,
        get: async (name) => {
          if (isDown) throw new MassaError("unavailable", "store down");
          return store.offsets.get(name);
        },
      },
    };
    const { seen, router } = taking();
    const { consumers, accepted, pass, time } = consume({ store: failing, table, router });
    await until(() => consumers.reasons.some((reason) => reason.includes("store down")), "the reason");
    assert.deepEqual(consumers.reasons, [`event log carts brings group ${group} nothing: store down`]);
    isDown = false;
    await pass(() => accepted() === 3, "all");
    assert.ok(time.now() >= 3_000, `${time.now()} ms`);
    assert.equal(seen.length, 3);
    assert.deepEqual(consumers.reasons, []);
    await consumers[Symbol.asyncDispose]();
  });

  test("a log that grows without saying so is noticed by the watchdog", async () => {
    const store = await filled(1);
    const deaf: EventLogStore = { ...store, events: { ...store.events, watch: () => () => undefined } };
    const { router } = taking();
    const { consumers, accepted, counts, pass } = consume({ store: deaf, table, router });
    await until(() => accepted() === 1, "the first");
    await append(store, "e1", eventOf("2"));
    await pass(() => accepted() === 2, "the second", 1_000);
    assert.equal(counts.get("massa_eventing_stalled_total"), 1);
    await consumers[Symbol.asyncDispose]();
  });
});

suite("verdicts of event logs", () => {
  test("a failure reply counts, what is ours is held, anything else is tried until it passes", () => {
    const fails = (error: MassaError) => judgeEvent({ type: "failed", error }, 1, 1);
    assert.deepEqual(judgeEvent({ type: "accepted" }, 1, 1), { type: "ack" });
    assert.deepEqual(judgeEvent({ type: "permanent", error: new MassaError("invalid", "no") }, 1, 5), {
      type: "given-up",
      cause: "no",
    });
    const reply = new MassaError("failed", "no", { isReply: true });
    assert.deepEqual(fails(reply), { type: "given-up", cause: "no" });
    assert.deepEqual(judgeEvent({ type: "failed", error: reply }, 2, 3), { type: "retry" });
    assert.deepEqual(judgeEvent({ type: "failed", error: reply }, 3, 3), { type: "given-up", cause: "no" });
    assert.deepEqual(fails(new MassaError("exhausted", "full")), { type: "held", isDown: false });
    assert.deepEqual(fails(new MassaError("unavailable", "away")), { type: "held", isDown: true });
    for (const status of [2, 3, 8, 13, 14])
      assert.deepEqual(fails(MassaError.fromGrpc(status, "x")), { type: "restart" });
    for (const code of ["failed", "deadline", "internal", "not-found", "invalid", "conflict"] satisfies Code[]) {
      assert.deepEqual(fails(new MassaError(code, "x")), { type: "restart" });
    }
  });

  test("restarts are 3 to 30 s apart, and a fifth more at most", () => {
    const random = seededRandom(1);
    for (const [failures, leastMs] of [
      [1, 3_000],
      [2, 6_000],
      [4, 24_000],
      [5, 30_000],
      [1_000, 30_000],
    ] as const) {
      const waits = Array.from({ length: 100 }, () => restartMs(failures, random));
      assert.ok(waits.every((ms) => ms >= leastMs && ms < leastMs * 1.2));
      assert.ok(new Set(waits).size > 10);
    }
  });
});
