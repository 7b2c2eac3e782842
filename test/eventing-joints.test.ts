import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createRegistry } from "@bufbuild/protobuf";
import { eventOf } from "../eventing/cloud-event.ts";
import type { Driver, Feed } from "../eventing/driver.ts";
import { Subscription } from "../eventing/subscription.ts";
import { backoffMs, judge, type Outcome } from "../eventing/verdict.ts";
import { topicHandlers } from "../lib/admin/topics.ts";
import { type Code, MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import type { Method, Service, ServiceTable } from "../lib/discovery/service-table.ts";
import { createOutlet } from "../lib/frontend/outlet.ts";
import { laneOf, select } from "../lib/frontend/topic-methods.ts";
import { openTopics } from "../lib/frontend/topics.ts";
import type { Caller, Command } from "../lib/routing/command.ts";
import { listening, memory, say, until } from "./eventing-harness.ts";

const failed = (error: MassaError): Outcome => ({ type: "failed", error });

function methodOf(name: string, input: string, key: string, out?: string): Method {
  const service: Service = { name: "s.S", entityType: "action", persistenceId: "", methods: new Map() };
  return {
    service,
    name,
    path: `/s.S/${name}`,
    labels: { service: "s.S", method: name },
    inputType: input,
    outputType: "p.Out",
    inputUrl: `type.googleapis.com/${input}`,
    outputUrl: "type.googleapis.com/p.Out",
    streamedIn: false,
    streamedOut: false,
    key: () => key,
    eventing: out === undefined ? { in: { topic: "in", consumerGroup: "s.S" } } : { out: { topic: out } },
  };
}

function tableOf(...methods: readonly Method[]): ServiceTable {
  const byName = new Map(methods.map((method) => [method.name, method]));
  const service: Service = { name: "s.S", entityType: "action", persistenceId: "", methods: byName };
  return { services: new Map([[service.name, service]]), files: [], registry: createRegistry() };
}

suite("verdicts", () => {
  test("each outcome has its verdict, and only what is ours is nobody's fault", () => {
    const kinds: readonly [Outcome, first: string, last: string][] = [
      [{ type: "accepted" }, "ack", "ack"],
      [{ type: "permanent", error: new MassaError("exhausted", "x") }, "dead-letter", "dead-letter"],
      [failed(new MassaError("exhausted", "our bound")), "held", "held"],
      [failed(new MassaError("unavailable", "it is away")), "held", "held"],
      [failed(MassaError.fromGrpc(8, "it says: too large")), "retry", "dead-letter"],
      [failed(MassaError.fromGrpc(14, "it says: not now")), "retry", "dead-letter"],
      ...(["failed", "invalid", "deadline", "not-found", "conflict", "internal", "canceled"] satisfies Code[]).map(
        (code): [Outcome, string, string] => [failed(new MassaError(code, "x")), "retry", "dead-letter"],
      ),
    ];
    for (const [outcome, first, last] of kinds) {
      const said = [1, 4, 5, 6].map((attempt) => judge(outcome, attempt, 5).type);
      assert.deepEqual(said, [first, first, last, last], JSON.stringify(outcome));
    }
    assert.deepEqual(judge(failed(new MassaError("unavailable", "")), 1, 5), { type: "held", isDown: true });
    assert.deepEqual(judge(failed(new MassaError("exhausted", "")), 1, 5), { type: "held", isDown: false });
  });

  test("waits double up to their bound, whatever the number of failures", () => {
    const waits = [1, 2, 3, 4, 5, 1_000].map((failures) => backoffMs(failures, 100, 1_000));
    assert.deepEqual(waits, [100, 200, 400, 800, 1_000, 1_000]);
  });
});

suite("dead letters", () => {
  test("one that could not be kept is kept later, and its work is not run again", async () => {
    const broker = memory({});
    let runs = 0;
    let burials = 0;
    const driver: Driver = {
      ...broker,
      async open(source, listener) {
        const feed = await broker.open(source, listener);
        return {
          ack: (delivery) => feed.ack(delivery),
          release: (delivery, attempts) => feed.release(delivery, attempts),
          async bury(delivery, grave) {
            burials += 1;
            if (burials < 3) throw new MassaError("unavailable", "no room for the dead");
            await feed.bury(delivery, grave);
          },
          extend: (delivery) => feed.extend(delivery),
          pause: () => feed.pause(),
          resume: () => feed.resume(),
          lag: () => feed.lag(),
          [Symbol.asyncDispose]: () => feed[Symbol.asyncDispose](),
        } satisfies Feed;
      },
    };
    await broker.declare("t", ["g"]);
    await broker.publish("t", say("bad", "k"));
    await broker.publish("t", say("next", "k"));
    const done: string[] = [];
    await using subscription = new Subscription({
      ...{
        driver,
        source: { topic: "t", group: "g" },
        world: realWorld,
        log: silentLogger,
        telemetry: silentTelemetry,
      },
      options: { inFlightMax: 4, attemptsMax: 2, backoffMinMs: 1, backoffMaxMs: 2, drainMs: 100, stallMs: 10_000 },
      plan: ({ body }) => ({
        lane: "k",
        run: async () => {
          const text = Buffer.from(body).toString();
          done.push(text);
          if (text === "next") return { type: "accepted" };
          runs += 1;
          return failed(new MassaError("failed", "it was bad"));
        },
      }),
    });
    await until(() => done.includes("next"), "the lane goes on");
    assert.deepEqual([runs, burials, subscription.held <= 1], [2, 3, true]);
    const [dead] = broker.deadLetters({ topic: "t", group: "g" }, 10);
    assert.deepEqual([dead!.cause, dead!.attempts], ["it was bad", 2]);
  });

  test("they are bounded by bytes too, and the oldest are given up", async () => {
    await using broker = memory({ topicBytesMax: 1_000 });
    await broker.declare("t", ["g"]);
    const feed = await broker.open(
      { topic: "t", group: "g" },
      {
        ...listening([]),
        deliver: (delivery) => {
          feed.bury(delivery, { cause: delivery.key, attempts: 1 }).catch(() => assert.fail("not buried"));
        },
      },
    );
    feed.resume();
    for (const key of ["a", "b", "c"]) {
      await broker.publish("t", { key, headers: [], body: new Uint8Array(400) });
      await until(() => broker.topics()[0]!.messages === 0, "it is dead");
    }
    const kept = broker.deadLetters({ topic: "t", group: "g" }, 10);
    assert.deepEqual(
      kept.map(({ cause }) => cause),
      ["b", "c"],
    );
  });
});

test("the embedded broker does not hold on to what is settled", async () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  await using broker = memory({});
  await broker.declare("t", ["g"]);
  const bodies: WeakRef<Uint8Array>[] = [];
  const feed = await broker.open(
    { topic: "t", group: "g" },
    {
      ...listening([]),
      deliver: (delivery) => {
        bodies.push(new WeakRef(delivery.body));
        feed.ack(delivery);
      },
    },
  );
  feed.resume();
  for (let number = 0; number < 50; number += 1) {
    await broker.publish("t", { key: "", headers: [], body: new Uint8Array(10_000) });
  }
  const left = () => {
    gc();
    return bodies.filter((body) => body.deref() !== undefined).length;
  };
  await until(() => bodies.length === 50 && left() < 5, "the bodies are free");
});

suite("lanes of events", () => {
  const event = (headers: [string, string][]) => eventOf({ headers, body: new Uint8Array() }, { id: "1", source: "t" });
  const payload = { typeUrl: "type.googleapis.com/p.In", value: new Uint8Array() };

  test("a partition key comes before the entity's key, that before the broker's, that before the subject", () => {
    const all: [string, string][] = [
      ["ce-partitionkey", "partition"],
      ["ce-subject", "subject"],
    ];
    const [keyed, keyless] = [methodOf("A", "p.In", "entity"), methodOf("A", "p.In", "")];
    assert.equal(laneOf(event(all), "broker", { method: keyed, payload }), "partition");
    assert.equal(laneOf(event(all.slice(1)), "broker", { method: keyed, payload }), "entity");
    assert.equal(laneOf(event(all.slice(1)), "broker", { method: keyless, payload }), "broker");
    assert.equal(laneOf(event(all.slice(1)), "", { method: keyless, payload }), "subject");
    assert.equal(laneOf(event([]), "", { method: keyless, payload }), "");
    const any = methodOf("A", "google.protobuf.Any", "not asked for");
    assert.equal(laneOf(event([]), "broker", { method: any, payload }), "broker");
  });

  test("text that is no UTF-8 is refused, never altered", () => {
    const body = Buffer.from('{"data":"\xff"}', "latin1");
    const headers: [string, string][] = [["content-type", "application/cloudevents+json"]];
    assert.throws(() => eventOf({ headers, body }, { id: "1", source: "t" }), { code: "invalid", message: /UTF-8/ });
    const json = eventOf({ headers: [["content-type", "application/json"]], body }, { id: "1", source: "t" });
    const consumer = { kind: "topic" as const, source: "in", group: "g", methods: [methodOf("A", "p.In", "")] };
    assert.throws(() => select(json, consumer, () => assert.fail("read")), { code: "invalid", message: /UTF-8/ });
  });

  test("JSON that names no type has no method among several", () => {
    const json = eventOf(
      { headers: [["content-type", "application/json"]], body: Buffer.from("{}") },
      { id: "1", source: "t" },
    );
    const methods = [methodOf("A", "p.In", ""), methodOf("B", "p.Else", "")];
    const read = () => new Uint8Array();
    assert.throws(() => select(json, { kind: "topic", source: "in", group: "g", methods }, read), {
      code: "invalid",
      message: /p\.Else/,
    });
    assert.equal(
      select(json, { kind: "topic", source: "in", group: "g", methods: methods.slice(0, 1) }, read).method.name,
      "A",
    );
  });

  test("an event's own content type comes before that of what carries it", () => {
    const read = event([
      ["content-type", "application/x-www-form-urlencoded"],
      ["ce-datacontenttype", "application/json"],
    ]);
    assert.equal(read.contentType, "application/json");
  });
});

test("a message that waits while the function comes back different goes by the new services", async () => {
  const broker = memory({});
  const opened: { command: Command; caller: Caller }[] = [];
  const topics = openTopics({
    table: tableOf(methodOf("Old", "p.In", "k"), methodOf("Stays", "p.Else", "k")),
    router: {
      open(command, caller) {
        opened.push({ command, caller });
        return { send: () => true, halfClose() {}, cancel() {}, pause() {}, resume() {} };
      },
    },
    driver: broker,
    readJson: () => assert.fail("no JSON"),
    world: realWorld,
    log: silentLogger,
    telemetry: silentTelemetry,
    options: {
      inFlightMax: 8,
      attemptsMax: 5,
      backoffMinMs: 1,
      backoffMaxMs: 2,
      drainMs: 100,
      stallMs: 10_000,
      timeoutMs: 5_000,
    },
  });
  await until(() => broker.topics().length === 1, "the topic");
  assert.deepEqual(topics.reasons, []);
  const post = (type: string, body: string) =>
    broker.publish(
      "in",
      say(body, "k", [
        ["content-type", "application/protobuf"],
        ["ce-type", type],
      ]),
    );
  await post("p.In", "first");
  await post("p.In", "second");
  await post("p.Else", "gone by then");
  await until(() => opened.length === 1, "the first is under way");
  topics.setTable(tableOf(methodOf("New", "p.In", "k")));
  await until(() => broker.topics()[0]!.groups[0]!.unsettled === 3, "all are held");
  await realWorld.clock.sleep(5, new AbortController().signal);
  opened[0]!.caller.end();
  await until(() => opened.length === 2, "the second");
  opened[1]!.caller.end();
  await until(() => broker.topics()[0]!.messages === 0, "all settled");
  assert.deepEqual(
    opened.map(({ command }) => command.method),
    ["Old", "New"],
  );
  const [dead] = broker.deadLetters({ topic: "in", group: "s.S" }, 10);
  assert.equal(dead!.attempts, 1);
  assert.match(dead!.cause, /no method takes type\.googleapis\.com\/p\.Else from topic in/);
  await topics[Symbol.asyncDispose]();
});

test("consumers of topics that bring nothing are named, for readiness", async () => {
  const broker = memory({});
  const driver: Driver = { ...broker, open: () => Promise.reject(new MassaError("unavailable", "no broker there")) };
  const topics = openTopics({
    table: tableOf(methodOf("A", "p.In", "k")),
    router: { open: () => assert.fail("nothing comes") },
    driver,
    readJson: () => assert.fail("no JSON"),
    world: realWorld,
    log: silentLogger,
    telemetry: silentTelemetry,
    options: {
      inFlightMax: 8,
      attemptsMax: 5,
      backoffMinMs: 1,
      backoffMaxMs: 2,
      drainMs: 100,
      stallMs: 10_000,
      timeoutMs: 5_000,
    },
  });
  await until(() => topics.reasons[0]?.includes("no broker there") === true, "the reason");
  assert.deepEqual(topics.reasons, ["topic in brings group s.S nothing: no broker there"]);
  await topics[Symbol.asyncDispose]();
});

test("an outlet's call stays paused while its caller is, and goes on afterwards", async () => {
  const log: string[] = [];
  const confirms: (() => void)[] = [];
  let inner: Caller | undefined;
  const outlet = createOutlet({
    router: {
      open(_command, caller) {
        inner = caller;
        const [pause, resume] = [() => void log.push("pause"), () => void log.push("resume")];
        return { send: () => true, halfClose() {}, cancel() {}, pause, resume };
      },
    },
    publisher: { publish: () => new Promise<void>((confirm) => void confirms.push(confirm)) },
    tableOf: () => tableOf(methodOf("Out", "p.In", "k", "out")),
    world: realWorld,
  });
  const payload = { typeUrl: "type.googleapis.com/p.Out", value: new Uint8Array() };
  const call = outlet.open(
    { service: "s.S", method: "Out", metadata: [], payload, hops: 0 },
    {
      reply: () => {
        log.push("reply");
        call.pause();
      },
      end: () => undefined,
      fail: () => undefined,
      drain: () => undefined,
    },
  );
  inner!.reply(payload, []);
  inner!.reply(payload, []);
  for (const confirm of confirms) confirm();
  await until(() => log.includes("pause"), "the pause");
  await realWorld.clock.sleep(5, new AbortController().signal);
  assert.deepEqual(log, ["reply", "pause"]);
  call.resume();
  assert.deepEqual(log, ["reply", "pause", "reply", "pause"]);
});

test("a sender that waits for an outcome is told in time that there is none yet", async () => {
  const broker = memory({});
  await broker.declare("t", ["g"]);
  const handlers = topicHandlers(broker, { clock: realWorld.clock, timeoutMs: 20 });
  const answer = await handlers["POST /topics/:name"]!({
    params: { name: "t" },
    query: new URLSearchParams("wait=ack"),
    headers: {},
    body: Buffer.from("x"),
    signal: new AbortController().signal,
  });
  assert.equal(answer.status, 504);
  assert.match((answer.body as { error: string }).error, /not settled within 20 ms \(eventing\.ackWait\); it stays/);
  assert.equal(broker.topics()[0]!.messages, 1);
});
