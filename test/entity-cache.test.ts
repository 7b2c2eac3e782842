import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { StateCache } from "../lib/entities/state-cache.ts";
import { any, eventFunction, openStage, settled, valueFunction } from "./entity-stage.ts";

const key = (entityId: string, persistenceId = "p") => ({ persistenceId, entityId });

const history = (...events: readonly string[]) =>
  ({ type: "event-sourced", snapshot: undefined, events: events.map(any) }) as const;
/** The events that are kept of `e`. */
const keptIn = (cache: StateCache) => {
  const kept = cache.find("event-sourced", key("e"));
  return kept?.type === "event-sourced"
    ? kept.events.map(({ value }) => Buffer.from(value).toString()).join(" ")
    : undefined;
};

function stage(options: Parameters<typeof openStage>[0] = {}) {
  const played = openStage(options);
  const { streams, time, asked } = played;
  /** Lets everything passivate, and the function complete it. */
  const passivate = async () => {
    time.run(32_000);
    for (const stream of streams) {
      if (stream.state !== "half-closed") continue;
      stream.state = "completed";
      stream.receiver.end();
    }
    await settled();
  };
  const reads = () => asked.filter((name) => name === "get" || name === "head" || name === "read").length;
  return {
    ...played,
    value: valueFunction(played),
    events: eventFunction(played),
    passivate,
    reads,
    sent: () => streams.at(-1)!.sent,
  };
}

suite("state in memory", () => {
  test("of a value entity outlives its passivation: no read, hits and misses are counted", async () => {
    const { open, value, passivate, reads, sent, counted } = stage();
    await open("value");
    await value.reply(1, value.update("a"));
    assert.equal(reads(), 1);
    await passivate();
    await open("value");
    assert.deepEqual([reads(), sent()[0]], [1, "init s.S e a"]);
    await value.reply(1, value.remove);
    await passivate();
    await open("value");
    assert.deepEqual([reads(), sent()[0]], [1, "init s.S e -"]);
    const of = (what: string) => counted.filter((each) => each === `massa_entities_cache_${what}_total value`).length;
    assert.deepEqual([of("misses"), of("hits")], [1, 2]);
  });

  test("of an event-sourced entity is the snapshot and what came after it", async () => {
    const { open, events, passivate, reads, sent } = stage();
    for (const [id, texts] of [
      [1, ["a"]],
      [2, ["b", "c"]],
    ] as const) {
      await open("event-sourced");
      await events.reply(id, texts);
    }
    await passivate();
    await open("event-sourced");
    assert.deepEqual(sent(), ["init -", "event 1 a", "event 2 b", "event 3 c", "command 1"]);
    await events.reply(1, ["d"], events.snapshot("abcd"));
    await open("event-sourced");
    await events.reply(2, ["e"]);
    await passivate();
    await open("event-sourced");
    assert.deepEqual(sent(), ["init 4 abcd", "event 5 e", "command 1"]);
    assert.equal(reads(), 1);
  });

  test("that was read from the store serves the next start", async () => {
    const { open, events, store, passivate, reads, sent } = stage();
    await store.events.append(key("e"), 0, [any("a"), any("b")]);
    await store.events.saveSnapshot(key("e"), 1, any("a"));
    await open("event-sourced");
    await events.reply(1);
    const before = reads();
    await passivate();
    await open("event-sourced");
    assert.deepEqual([reads(), sent()], [before, ["init 1 a", "event 2 b", "command 1"]]);
  });

  test("is replayed no faster than the function takes it", async () => {
    const { open, events, passivate, sent, streams, next } = stage();
    await open("event-sourced");
    await events.reply(1, ["a", "b", "c"]);
    await passivate();
    const opened = streams.length;
    next.takes = false;
    await open("event-sourced");
    const held = sent().length;
    assert(held < 4, `${held} messages were sent`);
    streams[opened]!.takes = true;
    while (sent().length < 5) {
      streams[opened]!.receiver.drain();
      await settled();
    }
    assert.deepEqual(sent(), ["init -", "event 1 a", "event 2 b", "event 3 c", "command 1"]);
  });

  test("is not used in another term of ownership than the one it was kept in, nor without one", async () => {
    let term: number | undefined = 1;
    const { open, value, store, passivate, sent } = stage({ term: () => term });
    await open("value");
    await value.reply(1, value.update("a"));
    await passivate();
    await store.values.put(key("e"), 1, any("foreign"));
    term = 2;
    await open("value");
    assert.equal(sent()[0], "init s.S e foreign");
    await value.reply(1);
    await passivate();
    await store.values.put(key("e"), 2, any("again"));
    term = undefined;
    await open("value");
    assert.equal(sent()[0], "init s.S e again");
    await value.reply(1, value.update("b"));
    await passivate();
    await store.values.put(key("e"), 4, any("at last"));
    await open("value");
    assert.equal(sent()[0], "init s.S e at last");
  });

  test("that was read in a term which ended meanwhile is not kept", () => {
    let term = 1;
    const cache = new StateCache({ bytesMax: 1 << 20, term: () => term }, silentTelemetry);
    const read = cache.read("value", key("e"));
    term = 2;
    read.keep({ type: "value", version: 1, value: any("old") });
    assert.equal(cache.find("value", key("e")), undefined);
  });

  const writes: Readonly<Record<string, (cache: StateCache) => void>> = {
    "written to": (cache) => cache.extend(key("e"), 1, 1, [any("b")]),
    "written anew": (cache) => cache.keep(key("e"), 1, history("a", "b")),
    forgotten: (cache) => cache.forget("event-sourced", key("e")),
  };
  for (const [what, write] of Object.entries(writes)) {
    test(`that was being read while it was ${what} is not kept`, () => {
      const cache = new StateCache({ bytesMax: 1 << 20, term: () => 1 }, silentTelemetry);
      const reads = [cache.read("event-sourced", key("e")), cache.read("event-sourced", key("e"))];
      write(cache);
      using later = cache.read("event-sourced", key("e"));
      const before = keptIn(cache);
      for (const read of reads) {
        read.keep(history("a"));
        read[Symbol.dispose]();
      }
      assert.equal(keptIn(cache), before);
      later.keep(history("a", "b"));
      assert.equal(keptIn(cache), "a b");
    });
  }

  test("is not extended by events that do not follow it", () => {
    const cache = new StateCache({ bytesMax: 1 << 20, term: () => 1 }, silentTelemetry);
    cache.keep(key("e"), 1, history("a"));
    cache.extend(key("e"), 1, 1, [any("b")]);
    assert.equal(keptIn(cache), "a b");
    cache.extend(key("e"), 1, 1, [any("b")]);
    assert.equal(keptIn(cache), undefined);
  });

  test("is forgotten when it may not be what is stored", async () => {
    const { open, value, store, sent } = stage();
    await open("value");
    await value.reply(1, value.update("a"));
    await store.values.put(key("e"), 1, any("foreign"));
    const { got } = await open("value");
    await value.reply(2, value.update("b"));
    assert.match(got.join(), /^unavailable/);
    await open("value");
    assert.equal(sent()[0], "init s.S e foreign");
  });

  test("keeps within its bytes by forgetting the least recently used, and nothing that takes too much of it", () => {
    const gauges = new Map<string, () => number>();
    const telemetry = { ...silentTelemetry, gauge: (name: string, read: () => number) => void gauges.set(name, read) };
    const cache = new StateCache({ bytesMax: 64 * 1024, term: () => 1 }, telemetry);
    const bytes = () => gauges.get("massa_entities_cache_bytes")!();
    const keep = (id: string, size: number) =>
      cache.keep(key(id), 1, { type: "value", version: 1, value: { typeUrl: "t", value: Buffer.alloc(size) } });
    for (let at = 0; at < 100; at++) {
      keep(`${at}`, 1_000);
      assert(cache.find("value", key("0")), `0 was used all the time and forgotten at ${at}`);
      assert(bytes() <= 64 * 1024);
    }
    assert(bytes() > 60 * 1024);
    assert.equal(cache.find("value", key("1")), undefined);
    keep("0", 5_000);
    assert.equal(cache.find("value", key("0")), undefined);
    cache.keep(key("log"), 1, { type: "event-sourced", snapshot: undefined, events: [] });
    for (let at = 0; at < 40; at++) cache.extend(key("log"), 1, at, [any("x".repeat(200))]);
    assert.equal(cache.find("event-sourced", key("log")), undefined);
    for (let at = 0; at < 100; at++) cache.forget("value", key(`${at}`));
    assert.deepEqual([bytes(), gauges.get("massa_entities_cache_entries")!()], [0, 0]);
  });

  test("tells apart what only looks alike, and holds no more of a buffer than its own slice", () => {
    const cache = new StateCache({ bytesMax: 1 << 20, term: () => 1 }, silentTelemetry);
    const chunk = Buffer.alloc(64 * 1024);
    const value = { typeUrl: "t", value: chunk.subarray(0, 10) };
    cache.keep(key("b", "a1"), 1, { type: "value", version: 1, value });
    for (const other of [key("1b", "a"), key("ab", "1"), key("", "a1b")])
      assert.equal(cache.find("value", other), undefined);
    assert.equal(cache.find("event-sourced", key("b", "a1")), undefined);
    const kept = cache.find("value", key("b", "a1"));
    assert(kept?.type === "value" && kept.value !== undefined);
    assert.equal(kept.value.value.buffer.byteLength, 10);
  });

  test("of 0 bytes keeps nothing", () => {
    const cache = new StateCache({ bytesMax: 0, term: () => 1 }, silentTelemetry);
    cache.keep(key("e"), cache.term(key("e")), { type: "value", version: 0, value: undefined });
    assert.equal(cache.find("value", key("e")), undefined);
  });
});
