import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MassaError } from "../lib/core/errors.ts";
import { any, eventFunction, openStage, refused, settled } from "./entity-stage.ts";

const key = { persistenceId: "p", entityId: "e" };
const done = ["reply", "end"];
const letters = ["a", "b", "c", "d", "e", "f", "g"];

/** An event-sourced entity `e`. */
function stage(options: Parameters<typeof openStage>[0] = {}) {
  const played = openStage(options);
  const { open: openKind, streams, store } = played;
  const open = (entityId?: string) => openKind("event-sourced", entityId);
  const stored = async () => {
    const { sequence, snapshot } = await store.events.head(key);
    const events = await store.events.read(key, 0, 10_000);
    const texts = events.map(({ value }) => Buffer.from(value).toString());
    assert.equal(texts.length, sequence);
    return `${texts.join("")}${snapshot ? ` ${snapshot.sequence}:${Buffer.from(snapshot.payload.value).toString()}` : ""}`;
  };
  const fill = (texts: readonly string[]) => store.events.append(key, 0, texts.map(any));
  return { ...played, ...eventFunction(played), open, stored, fill, sent: (at = -1) => streams.at(at)!.sent };
}

suite("an event-sourced entity", () => {
  test("begins with init, without a snapshot when there is none, and has one command out at a time, from 1", async () => {
    const { open, sent, reply, streams } = stage();
    const calls = [await open(), await open()];
    assert.equal(streams[0]!.path, "/cloudstate.eventsourced.EventSourced/handle");
    assert.deepEqual(sent(), ["init -", "command 1"]);
    await reply(1);
    await reply(2);
    assert.deepEqual(sent().slice(2), ["command 2"]);
    for (const { got } of calls) assert.deepEqual(got, done);
  });

  test("stores all events of a reply at once before it answers, and never sends them back", async () => {
    const { open, reply, script, stored, sent, asked } = stage();
    const gate = Promise.withResolvers<undefined>();
    script.set("append", { until: gate.promise });
    const [first, second] = [await open(), await open()];
    await reply(1, ["a", "b"]);
    assert.deepEqual([first.got, sent()], [[], ["init -", "command 1"]]);
    gate.resolve(undefined);
    await settled();
    assert.deepEqual([first.got, await stored(), sent().slice(2)], [done, "ab", ["command 2"]]);
    await reply(2, ["c"]);
    assert.deepEqual([second.got, await stored()], [done, "abc"]);
    assert.equal(asked.filter((name) => name === "append").length, 2);
  });

  test("replays snapshot, the events after it with contiguous sequences, and commands back to back", async () => {
    const { open, store, fill, sent } = stage();
    await fill(letters);
    await store.events.saveSnapshot(key, 5, any("abcde"));
    await open();
    assert.deepEqual(sent(), ["init 5 abcde", "event 6 f", "event 7 g", "command 1"]);
  });

  test("replays in pages, and no faster than the function takes it; commands that came meanwhile follow in order", async () => {
    const { open, fill, sent, streams, asked, reply } = stage({ cacheBytes: 0 });
    const many = Array.from({ length: 250 }, (_, at) => `${at}`);
    await fill(many);
    const gates = asked.length;
    const opening = open();
    const [stream] = await until(() => (streams.length > 0 ? streams : undefined));
    stream!.takes = false;
    await opening;
    const held = sent().length;
    assert(held < 250, `${held} messages were sent to a function that takes none`);
    const second = await open();
    await settled();
    assert.equal(sent().length, held);
    stream!.takes = true;
    while (sent().length < 252) {
      stream!.receiver.drain();
      await settled();
    }
    assert.deepEqual(
      sent().slice(1, 251),
      many.map((text, at) => `event ${at + 1} ${text}`),
    );
    assert.deepEqual([sent()[251], sent()[252]], ["command 1", undefined]);
    assert.equal(asked.slice(gates).filter((name) => name === "read").length, 3);
    await reply(1);
    await reply(2);
    assert.deepEqual(second.got, done);
  });

  test("keeps a snapshot with the sequence of the last event, without letting the answer wait for it", async () => {
    const { open, reply, snapshot, script, stored } = stage();
    const gate = Promise.withResolvers<undefined>();
    script.set("saveSnapshot", { until: gate.promise });
    const { got } = await open();
    await reply(1, ["a", "b"], snapshot("ab"));
    assert.deepEqual([got, await stored()], [done, "ab"]);
    gate.resolve(undefined);
    await settled();
    assert.equal(await stored(), "ab 2:ab");
  });

  test("saves of several snapshots the newest, one at a time; closing waits for it", async () => {
    const { open, reply, snapshot, script, stored, asked, eventSourced } = stage();
    const gate = Promise.withResolvers<undefined>();
    script.set("saveSnapshot", { until: gate.promise });
    for (const [at, letter] of ["a", "b", "c"].entries()) {
      await open();
      await reply(at + 1, [letter], snapshot("abc".slice(0, at + 1)));
    }
    let closed = false;
    const closing = eventSourced[Symbol.asyncDispose]().then(() => (closed = true));
    await settled();
    assert.equal(closed, false);
    gate.resolve(undefined);
    await closing;
    assert.deepEqual([await stored(), asked.filter((name) => name === "saveSnapshot").length], ["abc 3:abc", 2]);
  });

  test("lives on when a snapshot cannot be saved, which is counted; the next start replays more", async () => {
    const { open, reply, snapshot, script, counted, sent, streams, reports } = stage({ cacheBytes: 0 });
    script.set("saveSnapshot", { fail: new MassaError("internal", "odd") });
    const { got } = await open();
    await reply(1, ["a"], snapshot("a"));
    assert.deepEqual([got, reports], [done, []]);
    assert(counted.includes("massa_entities_snapshots_total failed"));
    streams[0]!.receiver.end();
    await open();
    assert.deepEqual(sent(), ["init -", "event 1 a", "command 1"]);
  });

  test("drops a snapshot that comes without events", async () => {
    const { open, reply, snapshot, asked } = stage();
    const { got } = await open();
    await reply(1, [], snapshot("a"));
    assert.deepEqual(got, done);
    assert(!asked.includes("saveSnapshot"));
  });

  test("hands effects and forwards on only once the events are stored", async () => {
    const { open, reply, script } = stage();
    const gate = Promise.withResolvers<undefined>();
    script.set("append", { until: gate.promise });
    const effect = { serviceName: "s.T", commandName: "Effect" };
    const { got } = await open();
    await reply(1, ["a"], { sideEffects: [effect, effect] });
    assert.deepEqual(got, []);
    gate.resolve(undefined);
    await settled();
    assert.deepEqual(got, ["reply + Effect Effect", "end"]);
  });
});

suite("failures of an event-sourced entity", () => {
  test("are passed on without a restart: the entity lives, events beside the failure are stored", async () => {
    const { open, reply, stored, streams } = stage();
    const failed = await open();
    await reply(1, ["a"], refused("no"));
    assert.deepEqual([failed.got, await stored()], [["failure no", "end"], "a"]);
    const { got } = await open();
    await reply(2);
    assert.deepEqual([got, streams.length], [done, 1]);
  });

  test("with a restart: nothing is stored, and a new stream follows at once on the end of the old one", async () => {
    const { open, reply, stored, streams, sent, snapshot } = stage();
    await open();
    await reply(1, ["a", "b"]);
    const failed = await open();
    await reply(2, ["c"], { ...refused("no", true), ...snapshot("abc") });
    assert.deepEqual([failed.got, await stored()], [["failure no", "end"], "ab"]);
    assert.deepEqual([streams.length, streams[0]!.state], [1, "half-closed"]);
    streams[0]!.receiver.end();
    await settled();
    assert.deepEqual([streams.length, sent()], [2, ["init -", "event 1 a", "event 2 b"]]);
    const { got } = await open();
    assert.deepEqual(sent().slice(3), ["command 1"]);
    await reply(1, ["c"]);
    assert.deepEqual([got, await stored()], [done, "abc"]);
  });

  test("with a restart: those that waited go on in order, ahead of those that came since, with ids from 1", async () => {
    const { open, reply, streams, sent } = stage();
    const order: string[] = [];
    const calls = [await open(), await open(), await open()];
    await reply(1, [], refused("no", true));
    calls.push(await open());
    streams[0]!.receiver.end();
    await settled();
    calls.push(await open());
    for (const id of [1, 2, 3, 4]) {
      assert.equal(sent().at(-1), `command ${id}`);
      await reply(id);
      order.push(calls.map(({ got }) => (got.length > 0 ? "x" : ".")).join(""));
    }
    assert.deepEqual(order, ["xx...", "xxx..", "xxxx.", "xxxxx"]);
    assert.equal(streams.length, 2);
  });

  test("with a restart of a function that breaks the old stream, or never completes it: the new one follows all the same", async () => {
    const { open, reply, streams, time, reports } = stage();
    await open();
    await reply(1, [], refused("no", true));
    streams[0]!.receiver.fail(new MassaError("internal", "broken"));
    await settled();
    await open();
    await reply(1, [], refused("no", true));
    time.run(1_000);
    await settled();
    assert.deepEqual([streams.length, streams[1]!.state, reports], [3, "reset", []]);
  });

  const tearDowns: readonly [title: string, act: (s: ReturnType<typeof stage>) => Promise<void>, text: string][] = [
    [
      "fails it",
      ({ say }) => say({ case: "failure", value: { commandId: 1n, description: "secret" } }),
      "Unexpected entity failure",
    ],
    ["replies to another command", ({ reply }) => reply(7, ["a"]), "Unexpected entity reply"],
    ["says nothing", ({ say }) => say({ case: undefined }), "Unexpected entity message"],
    [
      "sends what is no message",
      async ({ streams }) => streams[0]!.receiver.message(Buffer.from([8])),
      "Unexpected entity message",
    ],
    ["ends the stream", async ({ streams }) => streams[0]!.receiver.end(), "Unexpected entity termination"],
    [
      "breaks the stream",
      async ({ streams }) => streams[0]!.receiver.fail(new MassaError("failed", "broken")),
      "Unexpected entity termination",
    ],
  ];
  for (const [title, act, text] of tearDowns) {
    test(`tear it down when its function ${title}`, async () => {
      const played = stage();
      const { open, reports, stored, streams } = played;
      const [current, queued] = [await open(), await open()];
      await act(played);
      await settled();
      assert.deepEqual([current.got, queued.got], [[`failed: ${text}`], ["failed: Entity terminated"]]);
      assert.deepEqual([reports.length, await stored(), streams.length], [1, "", 1]);
      await open();
      assert.equal(streams.length, 2);
    });
  }

  test("of a journal that ends before its snapshot: it is not replayed, and nothing is kept of it", async () => {
    const { open, fill, store, streams, reports } = stage();
    await fill(["a", "b"]);
    await store.events.saveSnapshot(key, 5, any("abcde"));
    for (let attempt = 1; attempt <= 2; attempt++) {
      assert.deepEqual((await open()).got, ["failed: Error recovering event log"]);
      assert.match(reports.at(-1)!, /its last event is 2, but its snapshot holds 5/);
    }
    assert.equal(streams.length, 0);
  });

  test("of the journal: a failed append tears it down, a failed recovery fails all that wait", async () => {
    const { open, reply, script, fill, sent, streams } = stage({ cacheBytes: 0 });
    await fill(["a"]);
    script.set("append", { fail: new MassaError("internal", "disk full") });
    const [current, queued] = [await open(), await open()];
    await reply(1, ["b"]);
    assert.deepEqual([current.got, queued.got], [["failed: Unexpected entity failure"], ["failed: Entity terminated"]]);
    script.set("read", { fail: new MassaError("internal", "odd") });
    assert.deepEqual((await open()).got, ["failed: Error recovering event log"]);
    assert.equal(streams.at(-1)!.state, "reset");
    script.set("head", { fail: new MassaError("unavailable", "away") });
    assert.deepEqual((await open()).got, ["unavailable: Error recovering event log"]);
    script.clear();
    await open();
    assert.deepEqual(sent(), ["init -", "event 1 a", "command 1"]);
  });

  test("of another writer: the events are not stored, and it begins anew with those that are", async () => {
    const { open, reply, store, sent, stored } = stage();
    await open();
    await reply(1, ["a"]);
    const [current, next] = [await open(), await open()];
    await store.events.append(key, 1, [any("x")]);
    await reply(2, ["b"]);
    assert.match(current.got.join(), /^unavailable: .*another writer/);
    assert.deepEqual(sent(), ["init -", "event 1 a", "event 2 x", "command 1"]);
    await reply(1, ["b"]);
    assert.deepEqual([next.got, await stored()], [done, "axb"]);
  });

  test("of the stream in the middle of a replay: what waits is told, nothing goes on in vain", async () => {
    const { open, fill, streams, asked } = stage({ cacheBytes: 0 });
    await fill(Array.from({ length: 250 }, () => "x"));
    const opening = open();
    const [stream] = await until(() => (streams.length > 0 ? streams : undefined));
    stream!.takes = false;
    const { got } = await opening;
    stream!.receiver.fail(new MassaError("internal", "broken"));
    await settled();
    assert.deepEqual(got, ["failed: Entity terminated"]);
    assert.equal(asked.filter((name) => name === "read").length, 1);
  });
});

/** Lets microtasks pass, one by one, until something is there. */
async function until<T>(look: () => T | undefined): Promise<T> {
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    await Promise.resolve();
  }
}

suite("the metrics of the Cloudstate proxy", () => {
  const prefix = "cloudstate_eventsourced_";
  /** What was told of entity type `p` since the last look: counts summed up, times in seconds. */
  const watched = ({ counted, observed }: ReturnType<typeof stage>) => {
    const sums = new Map<string, number>();
    for (const entry of counted.splice(0)) {
      const [name = "", label, by = "1"] = entry.split(" ");
      if (!name.startsWith(prefix)) continue;
      assert.equal(label, "p");
      const short = name.slice(prefix.length).replace(/_total$/, "");
      sums.set(short, (sums.get(short) ?? 0) + Number(by));
    }
    const times = observed.splice(0).filter((entry) => entry.startsWith(prefix));
    const short = times.map((entry) => entry.slice(prefix.length).replace("_seconds p", ""));
    return [...sums]
      .map(([name, sum]) => `${name} ${sum}`)
      .concat(short)
      .sort();
  };

  test("tell of commands: received, waiting, sent, replied to, stored, answered", async () => {
    const played = stage();
    const { open, reply, time, snapshot } = played;
    await Promise.all([open(), open()]);
    assert.deepEqual(
      watched(played),
      [
        "activated_entities 1",
        "received_commands 2",
        "recovery_time 0",
        "stashed_commands 2",
        "unstashed_commands 1",
        "command_stash_time 0",
      ].sort(),
    );
    time.run(2_000);
    // An Any of type t/State, 9 bytes, and of one letter, 3 bytes.
    await reply(1, ["a", "b"], snapshot("s"));
    assert.deepEqual(
      watched(played),
      [
        "command_processing_time 2",
        "persist_time 0",
        "persisted_events 2",
        "persisted_event_bytes 24",
        "persisted_snapshots 1",
        "persisted_snapshot_bytes 12",
        "completed_commands 1",
        "command_total_time 2",
        "unstashed_commands 1",
        "command_stash_time 2",
      ].sort(),
    );
    time.run(1_000);
    await reply(2, [], refused("no"));
    assert.deepEqual(
      watched(played),
      ["command_processing_time 1", "completed_commands 1", "command_total_time 3", "failed_commands 1"].sort(),
    );
  });

  test("tell of entities: started from the store, restarted, torn down, and how long they were there", async () => {
    const played = stage({ cacheBytes: 0 });
    const { open, reply, say, time, fill, store, streams } = played;
    await fill(letters);
    await store.events.saveSnapshot(key, 5, any("abcde"));
    await open();
    const started = [
      "activated_entities 1",
      "recovery_time 0",
      "loaded_snapshots 1",
      "loaded_snapshot_bytes 16",
      "loaded_events 2",
      "loaded_event_bytes 24",
    ];
    assert.deepEqual(
      watched(played),
      [...started, "received_commands 1", "stashed_commands 1", "unstashed_commands 1", "command_stash_time 0"].sort(),
    );
    time.run(5_000);
    await reply(1, [], refused("again", true));
    watched(played);
    streams[0]!.receiver.end();
    await settled();
    assert.deepEqual(watched(played), [...started, "passivated_entities 1", "entity_active_time 5"].sort());
    time.run(1_000);
    await open();
    watched(played);
    await say({ case: "failure", value: { description: "broken" } });
    assert.deepEqual(
      watched(played),
      [
        "failed_entities 1",
        "failed_commands 1",
        "completed_commands 1",
        "command_total_time 0",
        "passivated_entities 1",
        "entity_active_time 1",
      ].sort(),
    );
  });
});
