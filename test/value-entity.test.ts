import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MassaError } from "../lib/core/errors.ts";
import { any, openStage, refused, settled, valueFunction } from "./entity-stage.ts";

const key = { persistenceId: "p", entityId: "e" };
const done = ["reply", "end"];

/** A value entity `e` that has been opened by its first command, which is answered. */
async function stage(options: Parameters<typeof openStage>[0] = {}) {
  const played = openStage(options);
  const { open: openKind, streams, store } = played;
  const open = (entityId?: string, service?: string) => openKind("value", entityId, service);
  const stored = async () => {
    const { version, value } = await store.values.get(key);
    return `${version} ${value ? Buffer.from(value.value).toString() : "-"}`;
  };
  return { ...played, ...valueFunction(played), open, stored, sent: (at = -1) => streams.at(at)!.sent };
}

suite("a value entity", () => {
  test("begins with init, whose state is always there, and has one command out at a time, numbered from 1", async () => {
    const { open, sent, reply, streams } = await stage();
    const calls = [await open(), await open(), await open()];
    assert.equal(streams[0]!.path, "/cloudstate.valueentity.ValueEntity/handle");
    assert.deepEqual(sent(), ["init s.S e -", "command 1"]);
    await reply(1);
    assert.deepEqual(sent().slice(2), ["command 2"]);
    await reply(2);
    await reply(3);
    assert.deepEqual(sent().slice(3), ["command 3"]);
    for (const { got } of calls) assert.deepEqual(got, done);
    assert.equal(streams.length, 1);
  });

  test("stores an update before it answers and before the next command, and never sends it back", async () => {
    const { open, sent, reply, update, script, stored } = await stage();
    const gate = Promise.withResolvers<undefined>();
    script.set("put", { until: gate.promise });
    const [first, second] = [await open(), await open()];
    await reply(1, update("a"));
    assert.deepEqual(first.got, []);
    assert.deepEqual(sent(), ["init s.S e -", "command 1"]);
    gate.resolve(undefined);
    await settled();
    assert.deepEqual([first.got, await stored()], [done, "1 a"]);
    assert.deepEqual(sent().slice(2), ["command 2"]);
    await reply(2, update("b"));
    assert.deepEqual([second.got, await stored()], [done, "2 b"]);
  });

  test("goes on after a delete on the same stream, and the next update makes it again", async () => {
    const { open, reply, update, remove, stored, streams } = await stage();
    for (const [id, action, wanted] of [
      [1, update("a"), "1 a"],
      [2, remove, "2 -"],
      [3, undefined, "2 -"],
      [4, update("b"), "3 b"],
    ] as const) {
      const { got } = await open();
      await reply(id, action);
      assert.deepEqual([got, await stored()], [done, wanted]);
    }
    assert.equal(streams.length, 1);
  });

  test("hands effects and forwards on only once the state is stored", async () => {
    const { open, reply, update, script, stored } = await stage();
    const gate = Promise.withResolvers<undefined>();
    script.set("put", { until: gate.promise });
    const effect = { serviceName: "s.T", commandName: "Effect" };
    const forward = {
      clientAction: { action: { case: "forward", value: { serviceName: "s.T", commandName: "Next" } } },
    };
    const { got } = await open();
    await reply(1, update("a"), { ...forward, sideEffects: [effect] });
    assert.deepEqual(got, []);
    gate.resolve(undefined);
    await settled();
    assert.deepEqual([got, await stored()], [["forward + Effect", "end"], "1 a"]);
  });

  test("passes a failure of a command on and lives, whatever it says of a restart; a change beside it is stored", async () => {
    const { open, reply, update, streams, stored, sent } = await stage();
    const failed = await open();
    await reply(1, update("a"), refused("no", true));
    assert.deepEqual([failed.got, await stored()], [["failure no", "end"], "1 a"]);
    const { got } = await open();
    await reply(2);
    assert.deepEqual([got, streams.length, sent().length], [done, 1, 3]);
  });

  const tearDowns: readonly [
    title: string,
    act: (s: Awaited<ReturnType<typeof stage>>) => Promise<void>,
    text: string,
    report: RegExp,
  ][] = [
    [
      "fails the entity",
      ({ say }) => say({ case: "failure", value: { commandId: 1n, description: "secret" } }),
      "Unexpected Value entity failure",
      /^Unexpected Value entity failure: .*secret/,
    ],
    [
      "fails it with an id of 0",
      ({ say }) => say({ case: "failure", value: { description: "secret" } }),
      "Unexpected Value entity failure",
      /failure/,
    ],
    [
      "replies to another command",
      ({ reply }) => reply(2),
      "Unexpected Value entity reply",
      /Received reply for entity id e for unknown command 2/,
    ],
    ["says nothing", ({ say }) => say({ case: undefined }), "Unexpected Value entity failure", /nothing is set/],
    [
      "sends what is no message",
      async ({ streams }) => streams[0]!.receiver.message(Buffer.from([0xff])),
      "Unexpected Value entity failure",
      /no ValueEntityStreamOut/,
    ],
    [
      "ends the stream",
      async ({ streams }) => streams[0]!.receiver.end(),
      "Unexpected Value entity termination",
      /ended/,
    ],
    [
      "breaks the stream",
      async ({ streams }) => streams[0]!.receiver.fail(new MassaError("internal", "broken")),
      "Unexpected Value entity termination",
      /broken/,
    ],
    [
      "updates without a value",
      ({ reply }) => reply(1, { action: { case: "update", value: {} } }),
      "Unexpected Value entity failure",
      /update without a value/,
    ],
    ["acts on the state without saying how", ({ reply }) => reply(1, {}), "Unexpected Value entity failure", /neither/],
  ];
  for (const [title, act, text, report] of tearDowns) {
    test(`is torn down when its function ${title}; those that wait are told so, and the next command begins anew`, async () => {
      const played = await stage();
      const { open, streams, reports, sent, stored, counted } = played;
      const [current, queued] = [await open(), await open()];
      await act(played);
      await settled();
      assert.deepEqual(current.got, [`failed: ${text}`]);
      assert.deepEqual(queued.got, ["failed: Value entity terminated"]);
      assert.equal(reports.length, 1);
      assert.match(reports[0]!, report);
      assert.equal(counted.filter((each) => each === "massa_entities_failed_total value").length, 1);
      assert.notEqual(streams[0]!.state, "half-closed");
      assert.equal(await stored(), "0 -");
      await open();
      assert.deepEqual([streams.length, sent()], [2, ["init s.S e -", "command 1"]]);
    });
  }

  test("is torn down by a reply without a command", async () => {
    const { open, reply, reports, streams } = await stage();
    await open();
    await reply(1);
    await reply(1);
    assert.deepEqual([reports.length, streams[0]!.state], [1, "reset"]);
  });

  test("is torn down by a second reply while the first is being stored, which then answers", async () => {
    const { open, reply, update, script, stored, reports, streams } = await stage();
    const gate = Promise.withResolvers<undefined>();
    script.set("put", { until: gate.promise });
    const [current, queued] = [await open(), await open()];
    await reply(1, update("a"));
    await reply(1, update("b"));
    assert.deepEqual([current.got, queued.got], [[], ["failed: Value entity terminated"]]);
    assert.deepEqual([reports.length, streams[0]!.state], [1, "reset"]);
    gate.resolve(undefined);
    await settled();
    assert.deepEqual([current.got, await stored()], [done, "1 a"]);
  });

  test("answers a command whose reply had come by the store, though the stream broke meanwhile", async () => {
    const { open, reply, update, script, streams, stored, sent } = await stage();
    const gate = Promise.withResolvers<undefined>();
    script.set("put", { until: gate.promise });
    const [current, queued] = [await open(), await open()];
    await reply(1, update("a"));
    streams[0]!.receiver.fail(new MassaError("internal", "broken"));
    const later = await open();
    assert.deepEqual([current.got, queued.got], [[], ["failed: Value entity terminated"]]);
    gate.resolve(undefined);
    await settled();
    assert.deepEqual([current.got, await stored()], [done, "1 a"]);
    assert.deepEqual(sent(), ["init s.S e a", "command 1"]);
    await reply(1);
    assert.deepEqual(later.got, done);
  });

  test("passes UNAVAILABLE on when the function was never reached, and ends quietly when it goes away while idle", async () => {
    const { open, reply, streams, reports, counted } = await stage();
    const [first, second] = [await open(), await open()];
    streams[0]!.reached = false;
    streams[0]!.receiver.fail(new MassaError("unavailable", "not there"));
    assert.deepEqual([first.got, second.got], [["unavailable: not there"], ["unavailable: not there"]]);
    await open();
    await reply(1);
    streams[1]!.receiver.fail(new MassaError("unavailable", "gone"));
    assert.deepEqual(reports, []);
    assert(!counted.includes("massa_entities_failed_total value"));
    await open();
    assert.equal(streams.length, 3);
  });
});

suite("a value entity whose function had its command", () => {
  test("is torn down by one that has answered, and then says that it saw nothing", async () => {
    const { open, reply, streams } = await stage();
    await open();
    await reply(1);
    const { got } = await open();
    streams[0]!.reached = false;
    streams[0]!.receiver.fail(new MassaError("unavailable", "refused unseen"));
    assert.deepEqual(got, ["failed: Unexpected Value entity termination"]);
  });

  for (const [title, error] of [
    ["answers UNAVAILABLE", MassaError.fromGrpc(14, "a password")],
    ["is gone", new MassaError("unavailable", "the connection was lost")],
  ] as const) {
    test(`is torn down when it ${title}, and nobody is told to try again`, async () => {
      const { open, streams, reports } = await stage();
      const [first, second] = [await open(), await open()];
      streams[0]!.receiver.fail(error);
      assert.deepEqual(
        [first.got, second.got],
        [["failed: Unexpected Value entity termination"], ["failed: Value entity terminated"]],
      );
      assert.deepEqual(reports, [`Unexpected Value entity termination: ${error.message}`]);
    });
  }
});

suite("a value entity and its store", () => {
  test("begins with what is stored", async () => {
    const { open, store, sent } = await stage();
    await store.values.put(key, 0, any("old"));
    await open();
    assert.deepEqual(sent(), ["init s.S e old", "command 1"]);
  });

  test("fails what waits when the state cannot be read: UNAVAILABLE if the store is away", async () => {
    const { open, script, streams, reports } = await stage();
    script.set("get", { fail: new MassaError("internal", "odd") });
    assert.deepEqual((await open()).got, ["failed: Unexpected Value entity failure"]);
    script.set("get", { fail: new MassaError("unavailable", "away") });
    assert.deepEqual((await open()).got, ["unavailable: Unexpected Value entity failure"]);
    assert.deepEqual([streams.length, reports.length], [0, 2]);
  });

  test("is torn down when a change cannot be stored, and begins with what is", async () => {
    const { open, reply, update, script, streams, sent, reports } = await stage();
    await open();
    await reply(1, update("a"));
    script.set("put", { fail: new MassaError("internal", "disk full") });
    const [current, queued] = [await open(), await open()];
    await reply(2, update("b"));
    assert.deepEqual(current.got, ["failed: Unexpected Value entity failure"]);
    assert.deepEqual(queued.got, ["failed: Value entity terminated"]);
    assert.match(reports[0]!, /disk full/);
    assert.equal(streams[0]!.state, "reset");
    script.delete("put");
    await open();
    assert.deepEqual(sent(), ["init s.S e a", "command 1"]);
  });

  test("begins anew when another writer was there first: the caller may try again, those that wait go on in order", async () => {
    const { open, reply, update, store, sent, stored, streams, counted, reports } = await stage();
    await open();
    await reply(1, update("a"));
    const [current, next, last] = [await open(), await open(), await open()];
    await store.values.put(key, 1, any("foreign"));
    await reply(2, update("b"));
    assert.match(current.got.join(), /^unavailable: .*another writer/);
    assert.equal(streams[0]!.state, "reset");
    assert.deepEqual(sent(), ["init s.S e foreign", "command 1"]);
    await reply(1, update("c"));
    await reply(2);
    assert.deepEqual([next.got, last.got, await stored()], [done, done, "3 c"]);
    assert(counted.includes("massa_entities_conflicts_total value"));
    assert.deepEqual(reports, []);
  });

  test("shares its value, but not its stream, with another service of the same persistence id", async () => {
    const { open, reply, update, streams, stored } = await stage();
    await open("e", "s.S");
    const other = await open("e", "s.Other");
    assert.deepEqual(
      streams.map(({ sent }) => sent),
      [
        ["init s.S e -", "command 1"],
        ["init s.Other e -", "command 1"],
      ],
    );
    await reply(1, update("a"), {}, streams[0]);
    await reply(1, update("b"), {}, streams[1]);
    assert.match(other.got.join(), /^unavailable/);
    await open("e", "s.Other");
    assert.deepEqual([streams[2]!.sent, await stored()], [["init s.Other e a", "command 1"], "1 a"]);
  });
});
