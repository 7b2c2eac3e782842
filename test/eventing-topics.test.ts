import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Header, Message } from "../eventing/driver.ts";
import { createPublisher, type Publisher } from "../eventing/publisher.ts";
import { type AdminAnswer } from "../lib/admin/route.ts";
import { topicHandlers } from "../lib/admin/topics.ts";
import { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import type { Eventing, Method, Service, ServiceTable } from "../lib/discovery/service-table.ts";
import { createOutlet } from "../lib/frontend/outlet.ts";
import { openTopics } from "../lib/frontend/topics.ts";
import type { Call, Caller, Command, Router } from "../lib/routing/command.ts";
import type { AnyValue, MetadataEntry } from "../lib/wire/protocol.ts";
import { createRegistry } from "@bufbuild/protobuf";
import { memory, say, until } from "./eventing-harness.ts";

interface Declared {
  readonly name: string;
  readonly input: string;
  readonly eventing: Eventing;
  readonly streamedIn?: boolean;
}

/** A table of one service; an input's key is its bytes up to a colon. */
function tableOf(...declared: readonly Declared[]): ServiceTable {
  const methods = new Map<string, Method>();
  const service: Service = { name: "s.S", entityType: "action", persistenceId: "", methods };
  for (const { name, input, eventing, streamedIn = false } of declared) {
    methods.set(name, {
      service,
      name,
      path: `/s.S/${name}`,
      labels: { service: "s.S", method: name },
      inputType: input,
      outputType: "p.Out",
      inputUrl: `type.googleapis.com/${input}`,
      outputUrl: "type.googleapis.com/p.Out",
      streamedIn,
      streamedOut: false,
      key: (bytes) => {
        const text = Buffer.from(bytes).toString();
        if (text.includes("!")) throw new MassaError("invalid", "not a p.In: wire type 7 at byte 0");
        return text.split(":")[0]!;
      },
      eventing,
    });
  }
  return { services: new Map([[service.name, service]]), files: [], registry: createRegistry() };
}

const from = (topic: string): Eventing => ({ in: { topic, consumerGroup: "s.S" } });
const idle: Call = {
  send: () => true,
  halfClose: () => undefined,
  cancel: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};
const text = (value: AnyValue | undefined) => Buffer.from(value!.value).toString();

interface Opened {
  readonly command: Command;
  readonly sent: AnyValue[];
  /** What came with each of these. */
  readonly said: (readonly MetadataEntry[] | undefined)[];
}

/** Topics of a table over a router that answers by `answer`. */
function world(table: ServiceTable, answer: (opened: Opened, caller: Caller) => void) {
  const broker = memory({ topicMessagesMax: 20 });
  const opened: Opened[] = [];
  const router: Router = {
    open(command, caller) {
      const call: Opened = { command, sent: [], said: [] };
      opened.push(call);
      return {
        ...idle,
        send(payload, metadata) {
          call.said.push(metadata);
          return call.sent.push(payload) > 0;
        },
        halfClose: () => answer(call, caller),
      };
    },
  };
  const options = {
    inFlightMax: 16,
    attemptsMax: 2,
    backoffMinMs: 1,
    backoffMaxMs: 5,
    drainMs: 1_000,
    stallMs: 30_000,
    timeoutMs: 50,
  };
  const topics = openTopics({
    table,
    router,
    driver: broker,
    readJson: (type, json) => {
      if (!json.startsWith("{")) throw new MassaError("invalid", `${type}: amount: not a number`);
      return Buffer.from(`${type}=${json}`);
    },
    world: realWorld,
    log: silentLogger,
    telemetry: silentTelemetry,
    options,
  });
  const handlers = topicHandlers(broker);
  const ask = (route: string, name: string, body = "", headers: Record<string, string> = {}, query = "") =>
    handlers[route]!({
      params: { name },
      query: new URLSearchParams(query),
      headers,
      body: Buffer.from(body),
      signal: new AbortController().signal,
    });
  const posted = async (body: string, headers: Record<string, string>, topic = "in") => {
    await until(() => broker.topics().some(({ name }) => name === topic), "the topic");
    return ask("POST /topics/:name", topic, body, headers, "wait=ack");
  };
  return { broker, opened, topics, ask, posted };
}

const protobuf = (type: string) => ({ "content-type": "application/protobuf", "ce-type": type });
const json = (type: string) => ({ "content-type": "application/json", "ce-type": type });
const causeOf = ({ body }: AdminAnswer) => (body as { cause?: string }).cause ?? "";

suite("topics", () => {
  test("a message goes to the method of its type, with its attributes as metadata", async () => {
    const table = tableOf(
      { name: "One", input: "p.In", eventing: from("in") },
      { name: "Two", input: "p.Other", eventing: from("in"), streamedIn: true },
    );
    const { opened, topics, posted } = world(table, (_call, caller) => caller.end());
    const answer = await posted("k:1", { ...protobuf("p.In"), "ce-id": "7", "ce-source": "a%20b" });
    assert.equal(answer.status, 200);
    assert.equal((answer.body as { outcome: string }).outcome, "accepted");
    const { command } = opened[0]!;
    assert.deepEqual([command.service, command.method, command.hops], ["s.S", "One", 0]);
    assert.equal(command.payload!.typeUrl, "type.googleapis.com/p.In");
    assert.deepEqual(
      command.metadata.map(({ key, value }) => [key, value]),
      [
        ["ce-id", "7"],
        ["ce-source", "a b"],
        ["ce-specversion", "1.0"],
        ["ce-type", "p.In"],
        ["Content-Type", "application/protobuf"],
      ],
    );
    await posted("k:2", protobuf("p.Other"));
    assert.equal(opened[1]!.command.payload, undefined);
    assert.deepEqual(opened[1]!.sent.map(text), ["k:2"]);
    // Of a stream it is the message that has them.
    assert.deepEqual(opened[1]!.command.metadata, []);
    assert.ok(opened[1]!.said[0]?.some(({ key, value }) => key === "ce-type" && value === "p.Other"));
    await topics[Symbol.asyncDispose]();
  });

  test("JSON becomes the input of a typed method, by its full or simple name, or of the only one", async () => {
    const { opened, topics, posted } = world(
      tableOf({ name: "One", input: "p.In", eventing: from("in") }),
      (_, caller) => caller.end(),
    );
    for (const type of ["p.In", "In", ""]) assert.equal((await posted("{}", json(type))).status, 200);
    assert.deepEqual(
      opened.map(({ command }) => [command.payload!.typeUrl, text(command.payload)]),
      [1, 2, 3].map(() => ["type.googleapis.com/p.In", "p.In={}"]),
    );
    const wrongType = await posted("{}", json("p.Unknown"));
    assert.equal(wrongType.status, 422);
    assert.match(causeOf(wrongType), /no method takes json\.cloudstate\.io\/p\.Unknown from topic in/);
    assert.match(causeOf(await posted("[", json("In"))), /amount: not a number/);
    assert.match(causeOf(await posted("!", protobuf("p.In"))), /wire type 7/);
    assert.equal(opened.length, 3);
    await topics[Symbol.asyncDispose]();
  });

  test("a method that takes any gets the payload itself, and what no other takes", async () => {
    const table = tableOf(
      { name: "One", input: "p.In", eventing: from("in") },
      { name: "All", input: "google.protobuf.Any", eventing: from("in") },
    );
    const { opened, topics, posted } = world(table, (_call, caller) => caller.end());
    await posted("{}", json("In"));
    await posted("x", { "content-type": "text/plain" });
    await posted("x", protobuf("p.Unknown"));
    await posted("k", protobuf("p.In"));
    assert.deepEqual(
      opened.map(({ command }) => [command.method, command.payload!.typeUrl]),
      [
        ["All", "json.cloudstate.io/In"],
        ["All", "p.cloudstate.io/string"],
        ["All", "type.googleapis.com/p.Unknown"],
        ["One", "type.googleapis.com/p.In"],
      ],
    );
    await topics[Symbol.asyncDispose]();
  });

  test("a call that fails or hangs is tried again, then a dead letter with its cause", async () => {
    const { opened, topics, posted, ask } = world(
      tableOf({ name: "One", input: "p.In", eventing: from("in") }),
      ({ command }, caller) => {
        if (text(command.payload).includes("fails")) caller.fail(new MassaError("failed", "out of stock"));
      },
    );
    const refused = await posted("k:fails", protobuf("p.In"));
    assert.deepEqual([refused.status, causeOf(refused)], [422, "out of stock"]);
    assert.match(causeOf(await posted("k:hangs", protobuf("p.In"))), /longer than 50 ms/);
    assert.equal(opened.length, 4);
    const shown = await ask("GET /topics/:name", "in");
    const { deadLetters } = shown.body as { deadLetters: Record<string, { cause: string; attempts: number }[]> };
    assert.deepEqual(
      deadLetters["in.s.S.dead"]!.map(({ attempts }) => attempts),
      [2, 2],
    );
    await topics[Symbol.asyncDispose]();
  });

  test("another table ends what it does not name and begins what is new", async () => {
    const { broker, opened, topics, posted, ask } = world(
      tableOf({ name: "One", input: "p.In", eventing: from("in") }),
      (_call, caller) => caller.end(),
    );
    await posted("k:1", protobuf("p.In"));
    topics.setTable(tableOf({ name: "Two", input: "p.In", eventing: from("second") }));
    await posted("k:2", protobuf("p.In"), "second");
    assert.deepEqual(
      opened.map(({ command }) => command.method),
      ["One", "Two"],
    );
    assert.equal((await ask("POST /topics/:name", "in", "x")).status, 202);
    assert.equal(broker.topics().find(({ name }) => name === "in")!.messages, 1);
    await topics[Symbol.asyncDispose]();
  });

  test("the admin port names what it knows, and refuses when a topic is full", async () => {
    const { ask, topics, broker } = world(
      tableOf({ name: "Out", input: "p.In", eventing: { out: { topic: "out" } } }),
      () => assert.fail("nothing is consumed"),
    );
    await until(() => broker.topics().length === 1, "the topic");
    await assert.rejects(ask("POST /topics/:name", "nowhere"), /no topic "nowhere" here; known are: out/);
    assert.equal((await ask("GET /topics/:name", "nowhere")).status, 404);
    assert.equal((await ask("POST /topics/:name", "out", "x", {}, "wait=ack")).status, 409);
    await broker.declare("out", ["later"]);
    for (let number = 0; number < 20; number += 1) {
      assert.equal((await ask("POST /topics/:name", "out", "x", {}, "key=k")).status, 202);
    }
    await assert.rejects(ask("POST /topics/:name", "out", "x"), { code: "exhausted" });
    const shown = await ask("GET /topics/:name", "out");
    const { held } = shown.body as { held: { key: string; bodyBase64: string }[] };
    assert.deepEqual([held.length, held[0]!.key, held[0]!.bodyBase64], [20, "k", "eA=="]);
    await topics[Symbol.asyncDispose]();
  });
});

suite("outlet", () => {
  const table = tableOf(
    { name: "Out", input: "p.In", eventing: { out: { topic: "out" } } },
    { name: "In", input: "p.In", eventing: from("in") },
  );
  const command = (method: string): Command => ({
    service: "s.S",
    method,
    metadata: [],
    payload: { typeUrl: "type.googleapis.com/p.In", value: Buffer.from("k:1") },
    hops: 0,
  });
  const reply = (value: string): AnyValue => ({ typeUrl: "type.googleapis.com/p.Out", value: Buffer.from(value) });

  function openOutlet() {
    const waiting: { message: Message; confirm: () => void; refuse: (reason: Error) => void }[] = [];
    const publisher: Publisher = {
      publish: (_topic, message) =>
        new Promise((confirm, refuse) => waiting.push({ message, confirm: () => confirm(), refuse })),
    };
    const log: string[] = [];
    const inner: { caller?: Caller; call: Call } = {
      call: {
        ...idle,
        cancel: () => void log.push("cancel"),
        pause: () => void log.push("pause"),
        resume: () => void log.push("resume"),
      },
    };
    const router: Router = {
      open: (_command, caller) => {
        inner.caller = caller;
        return inner.call;
      },
    };
    const caller: Caller = {
      reply: (payload) => void log.push(text(payload)),
      end: () => void log.push("end"),
      fail: (error) => void log.push(`fail ${error.code}: ${error.message}`),
      drain: () => void log.push("drain"),
    };
    const outlet = createOutlet({ router, publisher, tableOf: () => table, world: realWorld });
    return { waiting, log, inner, caller, outlet };
  }

  test("a call without a destination is the router's own", () => {
    const { outlet, inner, caller } = openOutlet();
    assert.equal(outlet.open(command("In"), caller), inner.call);
    assert.equal(inner.caller, caller);
  });

  test("replies are confirmed before they are delivered, in order, four at a time", async () => {
    const { outlet, inner, caller, waiting, log } = openOutlet();
    outlet.open(command("Out"), caller);
    for (const value of ["1", "2", "3", "4", "5"])
      inner.caller!.reply(reply(value), [{ key: "ce-subject", value: "s" }]);
    inner.caller!.end();
    await until(() => log.includes("pause"), "back-pressure");
    assert.equal(waiting.length, 4);
    const headers: readonly Header[] = waiting[0]!.message.headers;
    assert.equal(waiting[0]!.message.key, "s");
    assert.deepEqual(headers.slice(1, 5), [
      ["ce-source", "s.S"],
      ["ce-specversion", "1.0"],
      ["ce-type", "p.Out"],
      ["content-type", "application/protobuf"],
    ]);
    assert.match(headers[0]![1], /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    waiting[1]!.confirm();
    await Promise.resolve();
    const delivered = () => log.filter((entry) => entry !== "pause" && entry !== "resume");
    assert.deepEqual(delivered(), []);
    waiting[0]!.confirm();
    await until(() => waiting.length === 5, "the fifth");
    for (const { confirm } of waiting) confirm();
    await until(() => log.includes("end"), "the end");
    assert.deepEqual(delivered(), ["1", "2", "3", "4", "5", "end"]);
  });

  test("a reply that is not published fails the call", async () => {
    const { outlet, inner, caller, waiting, log } = openOutlet();
    outlet.open(command("Out"), caller);
    inner.caller!.reply(reply("1"), []);
    inner.caller!.end();
    waiting[0]!.refuse(new MassaError("exhausted", "topic is full"));
    await until(() => log.length > 0, "the failure");
    assert.deepEqual(log, ["cancel", "fail exhausted: reply not published to topic out: topic is full"]);
    assert.equal(waiting[0]!.message.key, "k");
  });

  test("a failure comes after the replies before it, and is not published", async () => {
    const { outlet, inner, caller, waiting, log } = openOutlet();
    outlet.open(command("Out"), caller);
    inner.caller!.reply(reply("1"), []);
    inner.caller!.fail(new MassaError("failed", "no"));
    assert.deepEqual(log, []);
    waiting[0]!.confirm();
    await until(() => log.length >= 2, "both");
    assert.deepEqual(
      log.filter((entry) => entry !== "resume"),
      ["1", "fail failed: no"],
    );
    assert.equal(waiting.length, 1);
  });
});

suite("publisher", () => {
  test("messages of one key are published one after another, others beside them", async () => {
    const broker = memory({});
    const order: string[] = [];
    const gate = Promise.withResolvers<string>();
    const driver = {
      ...broker,
      publish: (_topic: string, { body }: Message) => {
        order.push(Buffer.from(body).toString());
        return order.length === 1 ? gate.promise : Promise.resolve("");
      },
    };
    const options = { inFlightMax: 3, timeoutMs: 100 };
    const publisher = createPublisher({ driver, world: realWorld, telemetry: silentTelemetry, options });
    const all = [say("a1", "a"), say("a2", "a"), say("b1", "b")].map((message) => publisher.publish("t", message));
    await assert.rejects(publisher.publish("t", say("c")), { code: "exhausted" });
    await until(() => order.length === 2, "two");
    assert.deepEqual(order, ["a1", "b1"]);
    gate.resolve("");
    await Promise.all(all);
    assert.deepEqual(order, ["a1", "b1", "a2"]);
  });

  test("what passes is tried again for a time, what lasts is not", async () => {
    const broker = memory({ topicMessagesMax: 1, topicsMax: 1 });
    const options = { inFlightMax: 3, timeoutMs: 200 };
    const publisher = createPublisher({ driver: broker, world: realWorld, telemetry: silentTelemetry, options });
    await broker.declare("t", ["g"]);
    await publisher.publish("t", say("one"));
    await assert.rejects(publisher.publish("t", say("two")), /"t" is full/);
    const three = publisher.publish("t", say("three"));
    const feed = await broker.open(
      { topic: "t", group: "g" },
      { deliver: (delivery) => feed.ack(delivery), revoked: () => Promise.resolve(), closed: () => undefined },
    );
    feed.resume();
    await three;
  });
});
