import assert from "node:assert/strict";
import { join } from "node:path";
import { suite, test } from "node:test";
import { createPublisher } from "../eventing/publisher.ts";
import { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import { createOutlet } from "../lib/frontend/outlet.ts";
import type { Element, Handler } from "../lib/routing/command.ts";
import { createRouter } from "../lib/routing/router.ts";
import { createMemoryStore } from "../lib/store/memory.ts";
import {
  answering,
  append,
  consume,
  consumer,
  eventOf,
  fromLog,
  group,
  oneUrl,
  settle,
  tableOf,
  textOf,
} from "./event-log-harness.ts";
import { memory, until } from "./eventing-harness.ts";
import { openEmbedded, temporaryFolder } from "./store-harness.ts";

const one = tableOf({ name: "One" });
const failureReply = new MassaError("failed", "no such cart", { isReply: true });

suite("consumers of event logs", () => {
  test("an event is a command for the method of its type, with the attributes of the record in their order", async () => {
    const store = createMemoryStore();
    const { opened, router } = answering((_command, caller) => caller.end());
    const table = tableOf({ name: "One" }, { name: "Two", input: "m.Two" });
    const { consumers, accepted } = consume({ store, table, router });
    await append(store, "cart-1", eventOf("a"), eventOf("b", "type.googleapis.com/m.Two"));
    await until(() => accepted() === 2, "both");
    assert.deepEqual(
      opened.map(({ method, payload }) => [method, payload!.typeUrl, textOf(payload)]),
      [
        ["One", oneUrl, "a"],
        ["Two", "type.googleapis.com/m.Two", "b"],
      ],
    );
    assert.deepEqual(
      opened[0]!.metadata.map(({ key, value }) => [key, value]),
      [
        ["ce-id", "1"],
        ["ce-source", "carts"],
        ["ce-specversion", "1.0"],
        ["ce-type", oneUrl],
        ["Content-Type", "application/vnd.cloudstate.protobuf.any"],
        ["ce-subject", "cart-1"],
      ],
    );
    assert.equal(opened[0]!.hops, 0);
    await consumers[Symbol.asyncDispose]();
  });

  test("JSON and primitives go to the method that takes any, as they are", async () => {
    const store = createMemoryStore();
    const { opened, router } = answering((_command, caller) => caller.end());
    const table = tableOf({ name: "One" }, { name: "Any", input: "google.protobuf.Any" });
    const { consumers, accepted } = consume({ store, table, router });
    const urls = ["json.cloudstate.io/m.One", "p.cloudstate.io/string", "type.googleapis.com/m.Unknown", oneUrl];
    await append(store, "cart-1", ...urls.map((url) => eventOf("x", url)));
    await until(() => accepted() === 4, "all");
    assert.deepEqual(
      opened.map(({ method, payload }) => [method, payload!.typeUrl, textOf(payload)]),
      urls.map((url) => [url === oneUrl ? "One" : "Any", url, "x"]),
    );
    await consumers[Symbol.asyncDispose]();
  });

  for (const kind of ["memory", "embedded"] as const) {
    test(`events of the ${kind} store are pushed to their subscriber, no clock has to pass`, async (t) => {
      using folder = temporaryFolder();
      await using store = kind === "memory" ? createMemoryStore() : await openEmbedded(join(folder.path, "massa.db"));
      const { router } = answering((_command, caller) => {
        arrivedMs = performance.now();
        caller.end();
      });
      let arrivedMs = 0;
      const { consumers, accepted, time } = consume({ store, table: one, router });
      const latencies: number[] = [];
      for (let number = 0; number < 21; number += 1) {
        await append(store, `cart-${number}`, eventOf("x"));
        const appendedMs = performance.now();
        await until(() => accepted() === number + 1, "the next");
        latencies.push(arrivedMs - appendedMs);
      }
      t.diagnostic(`${latencies.sort((left, right) => left - right)[10]!.toFixed(1)} ms after the append`);
      assert.equal(time.now(), 0);
      await consumers[Symbol.asyncDispose]();
      assert.equal(await store.offsets.get(consumer), "21");
    });
  }

  test("the events of each of 100 entities run one after another in order, entities side by side", async () => {
    const store = createMemoryStore();
    const seen = new Map<string, string[]>();
    const running = new Set<string>();
    let most = 0;
    const { router } = answering(({ metadata, payload }, caller) => {
      const entity = String(metadata.at(-1)!.value);
      assert.ok(!running.has(entity), `two events of ${entity} at once`);
      running.add(entity);
      most = Math.max(most, running.size);
      seen.set(entity, [...(seen.get(entity) ?? []), textOf(payload)]);
      setImmediate(() => {
        running.delete(entity);
        caller.end();
      });
    });
    for (let number = 0; number < 20; number += 1) {
      for (let entity = 0; entity < 100; entity += 1) await append(store, `e${entity}`, eventOf(`${number}`));
    }
    const { consumers, accepted } = consume({ store, table: one, router });
    await until(() => accepted() === 2_000, "all");
    const order = Array.from({ length: 20 }, (_, number) => `${number}`);
    assert.equal(seen.size, 100);
    for (const texts of seen.values()) assert.deepEqual(texts, order);
    assert.ok(most > 10 && most <= 64, `${most} ran at once`);
    await consumers[Symbol.asyncDispose]();
  });

  test("a failure reply is acknowledged and counted, said, and nobody waits for it", async () => {
    const store = createMemoryStore();
    const { opened, router } = answering(({ payload }, caller) => {
      if (textOf(payload) === "bad") caller.fail(failureReply);
      else caller.end();
    });
    const { consumers, accepted, counts, lines, time } = consume({ store, table: one, router });
    await append(store, "cart-1", eventOf("bad"), eventOf("good"));
    await until(() => accepted() === 1, "the good one");
    assert.deepEqual(
      opened.map(({ payload }) => textOf(payload)),
      ["bad", "good"],
    );
    assert.equal(counts.get("massa_eventing_messages_total failed"), 1);
    assert.match(
      lines.find((line) => line.includes("failure"))!,
      /"position":"1","key":"cart-1".*no such cart/,
    );
    await consumers[Symbol.asyncDispose]();
    assert.equal(await store.offsets.get(consumer), "2");
    assert.equal(time.now(), 0);
  });

  test("with attempts configured a failure reply is tried again before it is acknowledged", async () => {
    const store = createMemoryStore();
    const at: number[] = [];
    const { router } = answering((_command, caller) => {
      at.push(around.time.now());
      caller.fail(failureReply);
    });
    const around = consume({ store, table: one, router, options: { attemptsMax: 3 } });
    const { consumers, counts, pass } = around;
    await append(store, "cart-1", eventOf("bad"));
    await pass(() => counts.get("massa_eventing_messages_total failed") === 1, "given up");
    assert.deepEqual(
      at.map((each) => each - at[0]!),
      [0, 100, 300],
    );
    await consumers[Symbol.asyncDispose]();
  });

  for (const [what, error] of [
    ["an RPC error", MassaError.fromGrpc(2, "exploded")],
    ["an own UNAVAILABLE of the function", MassaError.fromGrpc(14, "database away")],
    ["an unknown target", new MassaError("internal", "Error")],
    ["a timeout", new MassaError("deadline", "too long")],
  ] as const) {
    test(`${what} is tried again after 3 s and more until it passes; other entities go on`, async () => {
      const store = createMemoryStore();
      const at: number[] = [];
      const { router } = answering(({ payload }, caller) => {
        if (textOf(payload) !== "bad") return caller.end();
        at.push(around.time.now());
        if (at.length < 4) caller.fail(error);
        else caller.end();
      });
      const around = consume({ store, table: one, router });
      const { consumers, accepted, lines, pass } = around;
      await append(store, "cart-1", eventOf("bad"), eventOf("after the bad"));
      for (let number = 0; number < 200; number += 1) await append(store, `other-${number}`, eventOf("x"));
      await until(() => accepted() === 200, "the others, without time going on");
      assert.equal(at.length, 1);
      await pass(() => accepted() === 202, "all");
      for (const [index, least] of [3_000, 6_000, 12_000].entries()) {
        const waited = at[index + 1]! - at[index]!;
        assert.ok(waited >= least && waited <= least * 1.2 + 100, `${waited} ms for ${least}`);
      }
      assert.equal(lines.filter((line) => line.startsWith("message is held up")).length, 3);
      await consumers[Symbol.asyncDispose]();
      assert.equal(await store.offsets.get(consumer), "202");
    });
  }

  test("while the function is away nothing begins, and all goes on when it is back", async () => {
    const store = createMemoryStore();
    let isAway = true;
    const { opened, router } = answering((_command, caller) => {
      if (isAway) caller.fail(new MassaError("unavailable", "the user function is away"));
      else caller.end();
    });
    const { consumers, accepted, counts, pass } = consume({ store, table: one, router });
    await append(store, "cart-0", eventOf("x"));
    await until(() => opened.length === 1, "one try");
    for (let number = 1; number < 50; number += 1) await append(store, `cart-${number}`, eventOf("x"));
    await settle();
    assert.equal(opened.length, 1);
    isAway = false;
    await pass(() => accepted() === 50, "all");
    assert.equal(opened.length, 51);
    assert.equal(counts.get("massa_eventing_messages_total failed"), undefined);
    await consumers[Symbol.asyncDispose]();
  });

  test("what no method takes, and what cannot be read, is acknowledged and counted; each type is said once", async () => {
    const store = createMemoryStore();
    const { opened, router } = answering((_command, caller) => caller.end());
    const { consumers, accepted, counts, lines } = consume({ store, table: one, router });
    const unknown = (text: string) => eventOf(text, "type.googleapis.com/m.Unknown");
    await append(store, "cart-1", unknown("1"), unknown("2"), eventOf("!3"), eventOf("!4"), eventOf("5"));
    await append(store, "cart-2", unknown("6"), eventOf("x", "json.cloudstate.io/m.One"));
    await until(() => accepted() === 1, "the one that is fine");
    await until(() => counts.get("massa_eventing_messages_total unreadable") === 6, "the others");
    assert.deepEqual(
      opened.map(({ payload }) => textOf(payload)),
      ["5"],
    );
    const said = lines.filter((line) => line.startsWith("events of a type"));
    assert.equal(said.length, 3, said.join("\n"));
    assert.match(said[0]!, /no method takes type\.googleapis\.com\/m\.Unknown from event log carts/);
    assert.match(said[1]!, /wire type 7/);
    assert.match(said[2]!, /json\.cloudstate\.io/);
    await consumers[Symbol.asyncDispose]();
    assert.equal(await store.offsets.get(consumer), "7");
  });

  test("two groups get every event each, whatever the other one does", async () => {
    const store = createMemoryStore();
    const { opened, router } = answering(({ method }, caller) => {
      if (method === "Slow") caller.fail(MassaError.fromGrpc(13, "exploded"));
      else caller.end();
    });
    const table = tableOf({ name: "Slow", eventing: fromLog("carts", "slow") }, { name: "Fast" });
    const { consumers, accepted } = consume({ store, table, router });
    await append(store, "cart-1", eventOf("1"), eventOf("2"), eventOf("3"));
    await until(() => accepted() === 3, "the fast one");
    await until(() => opened.length === 4, "the slow one's first");
    await consumers[Symbol.asyncDispose]();
    assert.equal(await store.offsets.get(consumer), "3");
    assert.equal(await store.offsets.get("carts%2Fslow"), undefined);
  });

  test("methods of several services with one log and group share its events", async () => {
    const store = createMemoryStore();
    const { opened, router } = answering((_command, caller) => caller.end());
    const table = tableOf(
      { name: "One", service: "s.S" },
      { name: "Two", input: "m.Two", service: "s.T", eventing: fromLog("carts", group) },
    );
    const { consumers, accepted } = consume({ store, table, router });
    await append(store, "cart-1", eventOf("1"), eventOf("2", "type.googleapis.com/m.Two"));
    await until(() => accepted() === 2, "both");
    assert.deepEqual(
      opened.map(({ service, method }) => `${service}/${method}`),
      ["s.S/One", "s.T/Two"],
    );
    await consumers[Symbol.asyncDispose]();
  });

  test("another table ends what it does not name and begins what is new, from where its group stood", async () => {
    const store = createMemoryStore();
    const { opened, router } = answering((_command, caller) => caller.end());
    const { consumers, accepted } = consume({ store, table: one, router });
    await append(store, "cart-1", eventOf("1"));
    await until(() => accepted() === 1, "the first");
    consumers.setTable(tableOf({ name: "Other", eventing: fromLog("orders") }));
    await until(() => consumers.reasons.length === 0, "the new one");
    await append(store, "cart-1", eventOf("2"));
    await store.events.append({ persistenceId: "orders", entityId: "o" }, 0, [eventOf("o")]);
    await until(() => accepted() === 2, "of the other log");
    consumers.setTable(one);
    await until(() => accepted() === 3, "what was left");
    assert.deepEqual(
      opened.map(({ payload }) => textOf(payload)),
      ["1", "o", "2"],
    );
    await consumers[Symbol.asyncDispose]();
  });

  test("a reply with a destination is published before the event is acknowledged", async () => {
    const store = createMemoryStore();
    const broker = memory({});
    await broker.declare("out", ["g"]);
    const gate = Promise.withResolvers<undefined>();
    const held = {
      ...broker,
      publish: async (topic: string, message: Parameters<typeof broker.publish>[1]) => {
        await gate.promise;
        return broker.publish(topic, message);
      },
    };
    const publisher = createPublisher({
      driver: held,
      world: realWorld,
      telemetry: silentTelemetry,
      options: { inFlightMax: 10, timeoutMs: 1_000 },
    });
    const table = tableOf({ name: "One", eventing: { ...fromLog(), out: { topic: "out" } } });
    const { opened, router } = answering((_command, caller) => {
      caller.reply(eventOf("reply"), []);
      caller.end();
    });
    const outlet = createOutlet({ router, publisher, tableOf: () => table, world: realWorld });
    const { consumers, accepted } = consume({ store, table, router: outlet, log: { saveEvents: 1 } });
    await append(store, "cart-1", eventOf("1"));
    await until(() => opened.length === 1, "the call");
    await settle();
    assert.deepEqual([accepted(), await store.offsets.get(consumer)], [0, undefined]);
    gate.resolve(undefined);
    await until(() => accepted() === 1, "the acknowledgement");
    assert.equal(Buffer.from(broker.messages("out", 1)![0]!.body).toString(), "reply");
    await consumers[Symbol.asyncDispose]();
  });

  test("a forward's target is called once, and its answer is the event's", async () => {
    const store = createMemoryStore();
    const calls: string[] = [];
    const respond: Record<string, Element> = {
      One: {
        action: {
          type: "forward",
          serviceName: "s.S",
          commandName: "Effect",
          payload: eventOf("forwarded"),
          metadata: [],
        },
        effects: [
          { serviceName: "s.S", commandName: "Aside", payload: eventOf("aside"), metadata: [], synchronous: true },
        ],
      },
      Effect: { action: { type: "failure", commandId: 0, description: "not mine", restart: false }, effects: [] },
      Aside: { action: undefined, effects: [] },
    };
    const handler: Handler = {
      open: (method, { payload }, receiver) => {
        calls.push(`${method.name} ${textOf(payload)}`);
        return {
          ...{ send: () => true, cancel: () => undefined, pause: () => undefined, resume: () => undefined },
          halfClose: () => {
            receiver.element(respond[method.name]!);
            receiver.end();
          },
        };
      },
    };
    const router = createRouter({
      handlers: { action: handler },
      others: { host: () => false, open: () => assert.fail("no other nodes") },
      reportError: (message) => assert.fail(message),
      log: silentLogger,
      telemetry: silentTelemetry,
      options: { hopsMax: 8, effectsMax: 8 },
    });
    const table = tableOf({ name: "One" }, { name: "Effect", eventing: {} }, { name: "Aside", eventing: {} });
    router.setTable(table);
    const { consumers, counts } = consume({ store, table, router });
    await append(store, "cart-1", eventOf("event"));
    await until(() => counts.get("massa_eventing_messages_total failed") === 1, "the target's failure");
    assert.deepEqual(calls, ["One event", "Aside aside", "Effect forwarded"]);
    await consumers[Symbol.asyncDispose]();
  });
});
