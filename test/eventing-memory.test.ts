import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { conformsToDriver } from "../eventing/conformance.ts";
import type { Delivery } from "../eventing/driver.ts";
import type { Settlement } from "../eventing/memory-group.ts";
import { harnessOf, listening, memory, say, until } from "./eventing-harness.ts";

conformsToDriver("memory", async () => harnessOf(memory({ topicMessagesMax: 2_000 })));

suite("embedded broker", () => {
  test("a full topic says who holds it, by bytes too", async () => {
    await using broker = memory({ topicBytesMax: 100 });
    await broker.declare("orders", ["stock"]);
    await broker.publish("orders", say("x".repeat(90)));
    await assert.rejects(
      broker.publish("orders", say("y".repeat(20))),
      /"orders" is full: .*topicBytes.*stock has 1 to settle/,
    );
  });

  test("a topic that nobody consumes keeps its newest messages, for the first group to come", async () => {
    await using broker = memory({ topicMessagesMax: 2 });
    await broker.declare("out", []);
    const settled: Settlement[] = [];
    broker.post("out", say("one"), (settlement) => settled.push(settlement));
    for (const text of ["two", "three"]) await broker.publish("out", say(text));
    assert.equal(settled[0]?.outcome, "dead-letter");
    await broker.declare("out", ["g"]);
    const taken: Delivery[] = [];
    (await broker.open({ topic: "out", group: "g" }, listening(taken))).resume();
    await until(() => taken.length === 2, "two");
    assert.deepEqual(
      taken.map(({ body }) => String(body)),
      ["two", "three"],
    );
  });

  test("a message that no topic could hold is refused, and drives nothing out", async () => {
    await using broker = memory({ topicBytesMax: 100 });
    await broker.declare("out", []);
    await broker.publish("out", say("kept"));
    await assert.rejects(broker.publish("out", say("x".repeat(200))), /"out" is full: .*topicBytes/);
    assert.equal(broker.messages("out", 10)?.length, 1);
  });

  test("topics are bounded", async () => {
    await using broker = memory({ topicsMax: 1 });
    await broker.declare("one", []);
    await broker.declare("one", []);
    await assert.rejects(broker.declare("two", []), /eventing\.memory\.topics of 1/);
  });

  test("of too many dead letters the newest stay", async () => {
    await using broker = memory({ deadLettersMax: 2 });
    await broker.declare("t", ["g"]);
    for (const cause of ["a", "b", "c"]) await broker.publish("t", say(cause));
    const taken: Delivery[] = [];
    const feed = await broker.open({ topic: "t", group: "g" }, listening(taken));
    feed.resume();
    await until(() => taken.length === 3, "three");
    for (const delivery of taken) await feed.bury(delivery, { cause: String(delivery.body), attempts: 1 });
    assert.deepEqual(
      broker.deadLetters({ topic: "t", group: "g" }, 10).map(({ cause, position }) => [cause, position]),
      [
        ["b", "1"],
        ["c", "2"],
      ],
    );
  });

  test("of several feeds of a group one is given messages; the next one takes over, in order", async () => {
    await using broker = memory({});
    await broker.declare("t", ["g"]);
    const [first, second]: Delivery[][] = [[], []];
    const source = { topic: "t", group: "g" };
    const active = await broker.open(source, listening(first!));
    for (const text of ["one", "two"]) await broker.publish("t", say(text, "k"));
    const standby = await broker.open(source, listening(second!));
    standby.resume();
    assert.equal(await standby.lag(), 0);
    assert.equal(await active.lag(), 2);
    active.resume();
    await until(() => first!.length === 2, "both");
    assert.deepEqual(second, []);
    active.ack(first![0]!);
    await broker.publish("t", say("three", "k"));
    await active[Symbol.asyncDispose]();
    await until(() => second.length === 2, "the rest");
    assert.deepEqual(
      second.map(({ body, attempt }) => [String(body), attempt]),
      [
        ["two", 2],
        ["three", 2],
      ],
    );
  });

  test("a message is settled when every group is done, as a dead letter if it was one anywhere", async () => {
    await using broker = memory({});
    await broker.declare("t", ["a", "b"]);
    const settled: Settlement[] = [];
    broker.post("t", say("one"), (settlement) => settled.push(settlement));
    const [a, b]: Delivery[][] = [[], []];
    const feedA = await broker.open({ topic: "t", group: "a" }, listening(a!));
    const feedB = await broker.open({ topic: "t", group: "b" }, listening(b!));
    feedA.resume();
    feedB.resume();
    await until(() => a!.length === 1 && b!.length === 1, "both");
    await feedA.bury(a![0]!, { cause: "bad", attempts: 1 });
    assert.deepEqual(settled, []);
    feedB.ack(b![0]!);
    assert.deepEqual(settled, [{ outcome: "dead-letter", cause: "bad" }]);
    assert.equal(broker.topics()[0]!.messages, 0);
    assert.equal(broker.topics()[0]!.bytes, 0);
  });
});
