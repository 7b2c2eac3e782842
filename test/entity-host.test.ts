import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { seededRandom } from "../lib/core/world.ts";
import { createHost, type Kind } from "../lib/entities/host.ts";
import { ProcessClock } from "../lib/testing/virtual-time.ts";
import {
  any,
  eventFunction,
  methodOf,
  openStage,
  refused,
  settled,
  valueFunction,
  type PlayedStream,
} from "./entity-stage.ts";

const done = ["reply", "end"];

function stage(options: Parameters<typeof openStage>[0] = {}) {
  const played = openStage(options);
  const { open: openKind, streams } = played;
  const states = () => streams.map(({ state }) => state).join(" ");
  const open = (entityId?: string) => openKind("value", entityId);
  const complete = completing(streams);
  return {
    ...played,
    ...valueFunction(played),
    openKind,
    open,
    states,
    complete,
    sent: (at = -1) => streams.at(at)!.sent,
  };
}

/** Completes the half-closed streams, as a function does. */
function completing(streams: readonly PlayedStream[]): () => Promise<void> {
  return async () => {
    for (const stream of streams) {
      if (stream.state !== "half-closed") continue;
      stream.state = "completed";
      stream.receiver.end();
    }
    await settled();
  };
}

suite("passivation", () => {
  test("half-closes the stream of an idle entity, waits for the function, and drops it without a word", async () => {
    const { open, reply, time, states, host, reports, counted, complete } = stage();
    await open();
    time.run(29_000);
    await reply(1);
    time.run(29_000);
    assert.equal(states(), "open");
    time.run(2_000);
    assert.deepEqual([states(), host.active], ["half-closed", 1]);
    await complete();
    assert.deepEqual([host.active, reports], [0, []]);
    assert(counted.includes("massa_entities_passivated_total value"));
  });

  test("comes within a second of the time that is asked for, also among thousands, and not for all at once", async () => {
    const { open, reply, time, streams } = stage({ passivationMs: 100, host: { activeMax: 10_000 } });
    for (let at = 0; at < 2_000; at++) await open(`e${at}`);
    for (const stream of streams) await reply(1, undefined, {}, stream);
    const closed = () => streams.filter(({ state }) => state === "half-closed").length;
    time.run(150);
    const [early] = [closed()];
    assert(early > 0 && early < 300, `${early} of 2,000 were closed in 50 ms`);
    time.run(1_000);
    assert.equal(closed(), 2_000);
  });

  test("of very many that are due together goes on at 10,000 a second", async () => {
    const { open, reply, time, streams } = stage({ passivationMs: 100, host: { activeMax: 20_000 } });
    for (let at = 0; at < 15_000; at++) await open(`e${at}`);
    for (const stream of streams) await reply(1, undefined, {}, stream);
    const closed = () => streams.filter(({ state }) => state === "half-closed").length;
    time.run(1_000);
    assert(closed() > 8_000 && closed() <= 10_000, `${closed()} were closed in the first second`);
    time.run(1_200);
    assert.equal(closed(), 15_000);
  });

  test("waits while a command is out; commands that come during it start the entity anew, in order", async () => {
    const { open, reply, update, time, streams, states, sent, complete } = stage();
    await open();
    time.run(50_000);
    assert.equal(states(), "open");
    await reply(1, update("a"));
    time.run(31_000);
    const calls = [await open(), await open()];
    assert.equal(streams.length, 1);
    await complete();
    assert.deepEqual([streams.length, sent()], [2, ["init s.S e a", "command 1"]]);
    await reply(1);
    assert.deepEqual(
      calls.map(({ got }) => got),
      [done, []],
    );
    await reply(2);
    assert.deepEqual(calls[1]!.got, done);
  });

  test("resets a stream that its function does not complete", async () => {
    const { open, reply, time, states, host } = stage();
    await open();
    await reply(1);
    time.run(31_000);
    time.run(60_000);
    assert.deepEqual([states(), host.active], ["reset", 0]);
  });

  test("resets it after a second when a command waits for that", async () => {
    const { open, reply, time, states, sent } = stage();
    await open();
    await reply(1);
    time.run(31_000);
    time.run(10_000);
    await open();
    time.run(900);
    assert.equal(states(), "half-closed");
    time.run(100);
    await settled();
    assert.deepEqual([states(), sent()], ["reset open", ["init s.S e -", "command 1"]]);
  });

  test("of a service that is gone finishes what is out; of all, at the end, before it is done", async () => {
    const { open, reply, update, host, states, store, streams, complete } = stage();
    const [out, queued] = [await open("a"), await open("a")];
    await open("b");
    await reply(1, undefined, {}, streams[1]);
    host.retain(({ name }) => name !== "s.S");
    assert.equal(states(), "open half-closed");
    await complete();
    await reply(1, update("x"), {}, streams[0]);
    assert.deepEqual([out.got, states()], [done, "half-closed completed"]);
    await complete();
    assert.equal(streams[2]!.sent[0], "init s.S a x");
    let closed = false;
    const closing = host[Symbol.asyncDispose]().then(() => (closed = true));
    assert.deepEqual((await open("c")).got, ["unavailable: the proxy is shutting down"]);
    await settled();
    assert.equal(closed, false);
    await reply(1, update("y"), {}, streams[2]);
    assert.deepEqual(queued.got, done);
    await complete();
    await closing;
    assert.equal((await store.values.get({ persistenceId: "p", entityId: "a" })).version, 2);
  });

  test("at the end also of an entity that is still reading its state, or about to start again", async () => {
    const { host, script, streams, open } = openStage();
    await open("event-sourced", "a");
    await eventFunction({ streams }).reply(1, [], refused("no", true));
    const gate = Promise.withResolvers<undefined>();
    script.set("get", { until: gate.promise });
    const reading = await open("value", "b");
    const closing = host[Symbol.asyncDispose]();
    streams[0]!.receiver.end();
    gate.resolve(undefined);
    await settled();
    assert.deepEqual([streams.length, streams[1]!.state], [2, "half-closed"]);
    streams[1]!.receiver.end();
    await closing;
    assert.deepEqual(reading.got, ["unavailable: the proxy is shutting down"]);
  });

  test("at the end is asked for again of an instance that could not yet", async () => {
    const { time } = openStage();
    const clock = new ProcessClock(time, 0);
    let asked = 0;
    const kind: Kind = {
      passivationMs: 1_000,
      activate: (seat) => ({
        accept: (call) => call.end(),
        load: 0,
        idleSinceMs: undefined,
        isServed: true,
        passivate() {
          asked += 1;
          if (asked === 3) seat.ended([]);
        },
        expire: () => undefined,
      }),
    };
    const host = createHost({
      kinds: { crdt: kind },
      userFunction: { share: () => () => true },
      world: { clock, random: seededRandom(1) },
      log: silentLogger,
      telemetry: silentTelemetry,
      options: {
        activeMax: 1,
        mailboxMax: 1,
        streamBufferMax: 1,
        pressureAfterMs: 200,
        relayTimeoutMs: 60_000,
        drainMs: 10_000,
      },
    });
    const payload = { typeUrl: "t/In", value: Buffer.from("e") };
    const silent = { element: () => undefined, end: () => undefined, fail: () => undefined, drain: () => undefined };
    host.open(methodOf("crdt", "s.S"), { service: "s.S", method: "Do", metadata: [], payload, hops: 0 }, silent);
    const closing = host[Symbol.asyncDispose]();
    time.run(1_000);
    await closing;
    assert.equal(asked, 3);
  });
});

suite("the end of the host", () => {
  test("is not held up by a function that completes no stream", async () => {
    const { open, reply, host, time, states } = stage();
    await open();
    await reply(1);
    let isOver = false;
    const closing = host[Symbol.asyncDispose]().then(() => (isOver = true));
    time.run(900);
    await settled();
    assert.deepEqual([states(), isOver], ["half-closed", false]);
    time.run(1_200);
    await closing;
    assert.equal(states(), "reset");
  });

  test("is not held up by a function that replies no more", async () => {
    const { open, host, time } = stage();
    await open();
    let isOver = false;
    const closing = host[Symbol.asyncDispose]().then(() => (isOver = true));
    time.run(9_900);
    await settled();
    assert.equal(isOver, false);
    time.run(200);
    await closing;
  });
});

suite("callers of an entity", () => {
  test("are refused above its mailbox, by name, and with a key that is none", async () => {
    const { open, counted } = stage();
    for (let at = 0; at < 5; at++) await open();
    assert.match((await open()).got.join(), /^exhausted: entities\.mailbox of 5/);
    assert(counted.includes("massa_limit_reached_total entities.mailbox"));
    assert.match((await open("")).got.join(), /^invalid: no key/);
  });

  test("are refused when too many bytes of commands wait for the function, and those that were sent do not wait", async () => {
    const { open, reply } = stage({ waitingBytesMax: 6 });
    await open("abcd");
    const second = await open("abcd");
    assert.match((await open("abcd")).got.join(), /^exhausted: too many bytes.*userFunction\.buffer/);
    await reply(1);
    const third = await open("abcd");
    assert.deepEqual([second.got, third.got], [[], []], "the second was sent");
    third.call.cancel();
    assert.deepEqual((await open("abcd")).got, [], "and the third is gone");
  });

  test("who are gone while they wait are dropped; who go while their command is out leave its effect", async () => {
    const { open, reply, update, sent, store } = stage();
    const [out, waiting, last] = [await open(), await open(), await open()];
    waiting.call.cancel();
    out.call.cancel();
    await reply(1, update("a"), { sideEffects: [{ serviceName: "s.T", commandName: "Effect" }] });
    assert.deepEqual(sent(), ["init s.S e -", "command 1", "command 2"]);
    assert.deepEqual([out.got[0], waiting.got], ["reply + Effect", []]);
    await reply(2);
    assert.deepEqual(last.got, done);
    assert.equal((await store.values.get({ persistenceId: "p", entityId: "e" })).version, 1);
  });

  test("wait no longer than the relay; a late reply still takes effect, and the next command goes only after it", async () => {
    const { open, reply, update, time, sent, store, reports } = stage();
    const [out, waiting] = [await open(), await open()];
    time.run(59_000);
    const next = await open();
    time.run(3_000);
    assert.match(out.got.join(), /^deadline: .*relay\.timeout/);
    assert.match(waiting.got.join(), /^deadline: .*relay\.timeout/);
    assert.deepEqual([next.got, sent().length], [[], 2]);
    await reply(1, update("late"));
    assert.deepEqual(sent().slice(2), ["command 2"]);
    await reply(2);
    assert.deepEqual([next.got, reports], [done, []]);
    assert.equal((await store.values.get({ persistenceId: "p", entityId: "e" })).version, 1);
  });

  test("of a function that never replies: its stream is given up after twice the relay's time, and the entity begins anew", async () => {
    const { open, time, states, reports, reply } = stage();
    const out = await open();
    time.run(119_000);
    const waiting = await open();
    assert.equal(states(), "open");
    time.run(3_000);
    assert.equal(states(), "reset");
    assert.deepEqual([out.got.length, waiting.got], [1, ["failed: Value entity terminated"]]);
    assert.match(reports.join(), /has not replied to \/s\.S\/Do within/);
    const { got } = await open();
    await reply(1);
    assert.deepEqual(got, done);
  });

  test("of a store that never answers are told after the relay's time, and the entity begins anew", async () => {
    const { open, reply, update, time, script, reports, host } = stage();
    const gate = Promise.withResolvers<undefined>();
    script.set("put", { until: gate.promise });
    const { got } = await open();
    await reply(1, update("a"));
    time.run(122_000);
    assert.match(got.join(), /^deadline/);
    assert.match(reports.join(), /the store has not confirmed/);
    assert.equal(host.active, 0);
    script.delete("put");
    await open();
    gate.resolve(undefined);
    await settled();
    const second = await open();
    await reply(1, update("b"));
    assert.deepEqual(second.got, []);
    await reply(1);
    assert.deepEqual(second.got, done);
  });
});

suite("an entity in trouble", () => {
  test("is not started from what a store confirmed too late, when others have written since", async () => {
    const { open, reply, update, script, time, complete, sent } = stage();
    const gate = Promise.withResolvers<undefined>();
    script.set("put", { after: gate.promise });
    await open();
    await reply(1, update("a"));
    time.run(122_000);
    script.clear();
    await open();
    assert.equal(sent()[0], "init s.S e a");
    await reply(1, update("b"));
    gate.resolve(undefined);
    await settled();
    time.run(32_000);
    await complete();
    await open();
    assert.equal(sent()[0], "init s.S e b");
  });

  test("whose state is never read or replayed fails those that wait, and begins anew with the next command", async () => {
    const { open, time, script, store, streams, host, next } = openStage();
    script.set("get", { until: new Promise(() => undefined) });
    await open("value");
    await store.events.append({ persistenceId: "p", entityId: "e" }, 0, [any("a"), any("b")]);
    next.takes = false;
    const early = await open("event-sourced", "e", "s.Events");
    time.run(119_000);
    const late = [await open("value"), await open("event-sourced", "e", "s.Events")];
    assert.match(early.got.join(), /^deadline/);
    assert.deepEqual([late[0]!.got, late[1]!.got, streams.length], [[], [], 1]);
    time.run(3_000);
    assert.deepEqual(late[0]!.got, ["unavailable: Unexpected Value entity failure"]);
    assert.deepEqual(late[1]!.got, ["unavailable: Error recovering event log"]);
    assert.deepEqual([streams[0]!.state, host.active], ["reset", 0]);
    next.takes = true;
    await open("event-sourced", "e", "s.Events");
    assert.equal(streams[1]!.sent.at(-1), "command 1");
  });

  test("whose store is full tells so", async () => {
    const { open, reply, update, script, states } = stage();
    script.set("put", { fail: new MassaError("exhausted", "full") });
    const { got } = await open();
    await reply(1, update("a"));
    assert.deepEqual([got, states()], [["exhausted: Unexpected Value entity failure"], "reset"]);
  });

  test("whose service is of another kind since begins anew as that, with what waited", async () => {
    const { open, openKind, streams, states, reply, complete, host } = stage();
    const out = await open("a");
    const moved = await openKind("event-sourced", "a");
    const after = await openKind("event-sourced", "a");
    assert.equal(states(), "open");
    await reply(1);
    assert.deepEqual([out.got, states()], [done, "half-closed"]);
    await complete();
    assert.deepEqual(streams[1]!.sent, ["init -", "command 1"]);
    const events = eventFunction({ streams });
    await events.reply(1);
    await events.reply(2);
    assert.deepEqual([moved.got, after.got, host.active], [done, done, 1]);
  });
});

suite("room for streams", () => {
  test("at the cap is made by the longest idle entity, of whatever kind; without an idle one the command is refused", async () => {
    const { open, openKind, reply, states, time, streams, counted, complete } = kinds({ activeMax: 2 });
    await open("a");
    await openKind("event-sourced", "b");
    assert.match((await open("c")).got.join(), /^exhausted: entities\.maxActive of 2/);
    assert(counted.includes("massa_limit_reached_total entities.maxActive"));
    await reply(1, undefined, {}, streams[0]);
    time.run(10);
    await eventFunction({ streams }).reply(1, [], {}, streams[1]);
    assert.deepEqual((await open("c")).got, []);
    assert.equal(states(), "half-closed open", "who comes waits until the room is made");
    await complete();
    assert.equal(states(), "completed open open");
    assert.deepEqual(streams[2]!.sent, ["init s.S c -", "command 1"]);
  });

  test("is waited for outside in the order of arrival, and not by callers who are gone", async () => {
    const { open, reply, complete, states, streams, host } = stage({ host: { activeMax: 1, mailboxMax: 2 } });
    await open("a");
    await reply(1);
    const first = await open("b");
    const gone = await open("b");
    gone.call.cancel();
    assert.match((await open("b")).got.join(), /^exhausted: entities\.mailbox of 2/);
    assert.match((await open("c")).got.join(), /^exhausted: entities\.maxActive of 1/);
    await complete();
    assert.deepEqual([states(), streams[1]!.sent], ["completed open", ["init s.S b -", "command 1"]]);
    await reply(1);
    assert.deepEqual(first.got, ["reply", "end"]);
    const cut = await open("d");
    const closing = host[Symbol.asyncDispose]();
    assert.deepEqual(cut.got, ["unavailable: the proxy is shutting down"]);
    await complete();
    await closing;
  });

  test("is waited for outside no longer than the relay", async () => {
    const { open, reply, time } = stage({ host: { activeMax: 1, relayTimeoutMs: 10_000 } });
    await open("a");
    await reply(1);
    const late = await open("b");
    time.run(9_000);
    assert.deepEqual(late.got, []);
    time.run(4_000);
    assert.match(late.got.join(), /^deadline: /);
  });

  test("an entity that was asked to go and is wanted again waits behind those it made room for", async () => {
    const { open, reply, complete, states, streams } = stage({ host: { activeMax: 1 } });
    await open("a");
    await reply(1);
    await open("b");
    const again = await open("a");
    await complete();
    assert.deepEqual(streams.at(-1)!.sent, ["init s.S b -", "command 1"]);
    await reply(1);
    await open("b");
    await reply(2);
    assert.deepEqual([states(), again.got], ["completed open", []]);
  });

  test("is made for each stream that is not served, as soon as something is idle: once in a while, not over and over", async () => {
    const { open, openKind, reply, states, time, streams } = kinds({});
    await openKind("event-sourced", "a");
    await openKind("event-sourced", "b");
    await openKind("event-sourced", "c");
    const events = eventFunction({ streams });
    await events.reply(1, [], {}, streams[0]);
    time.run(300);
    assert.equal(states(), "half-closed open open");
    await open("v");
    time.run(150);
    await events.reply(1, [], {}, streams[1]);
    await events.reply(1, [], {}, streams[2]);
    time.run(40);
    assert.equal(states(), "half-closed open open open");
    time.run(20);
    assert.equal(states(), "half-closed half-closed open open");
    time.run(150);
    assert.equal(states(), "half-closed half-closed open open");
    time.run(60);
    assert.equal(states(), "half-closed half-closed half-closed open");
    await reply(1, undefined, {}, streams[3]);
    time.run(10_000);
    assert.equal(states(), "half-closed half-closed half-closed open");
  });

  test("is not made for a stream that is served by the time that there is something idle", async () => {
    const { open, reply, states, time, streams } = kinds({});
    await open("busy");
    await reply(1, undefined, {}, streams[0]);
    await open("busy");
    await open("a");
    time.run(300);
    await reply(1, undefined, {}, streams[1]);
    await open("a");
    await reply(2, undefined, {}, streams[0]);
    time.run(1_000);
    assert.equal(states(), "open open");
  });

  test("is made for a call beside the entities once, and later than for them, unless it is answered by then", async () => {
    const { open, reply, states, time, streams, host } = kinds({});
    const call = () => ({ load: 1, isServed: false });
    const early = call();
    host.calls.watch(early);
    for (const [at, id] of ["a", "b", "c"].entries()) {
      await open(id);
      await reply(1, undefined, {}, streams[at]);
      time.run(10);
    }
    const [hanging, answered] = [call(), call()];
    for (const each of [hanging, answered]) host.calls.watch(each);
    time.run(900);
    host.calls.forget(answered);
    assert.equal(states(), "open open open");
    time.run(110);
    assert.equal(states(), "half-closed open open");
    time.run(10_000);
    assert.equal(states(), "half-closed open open");
  });

  /** Plays a function with so many threads for so long, ten milliseconds at a time, or until something holds. */
  const withThreads = (fn: { threads: number }, { time, streams, reply }: ReturnType<typeof kinds>) => {
    const served = new Set<number>();
    return async (ms: number, isOver = () => false): Promise<number> => {
      for (let tookMs = 0; ; tookMs += 10) {
        for (const at of served) {
          if (streams[at]!.state !== "half-closed") continue;
          streams[at]!.state = "completed";
          streams[at]!.receiver.end();
          served.delete(at);
        }
        for (let at = 0; at < streams.length && served.size < fn.threads; at++) {
          if (served.has(at) || streams[at]!.state === "completed") continue;
          served.add(at);
          await reply(1, undefined, {}, streams[at]);
        }
        if (tookMs >= ms || isOver()) return tookMs;
        time.run(10);
      }
    };
  };

  test("of a function that serves two streams at a time: a hundred entities are all answered within ten seconds", async () => {
    const played = kinds({});
    const calls = [];
    for (let at = 0; at < 100; at++) calls.push(await played.open(`e${at}`));
    await withThreads({ threads: 2 }, played)(10_000);
    assert.deepEqual(
      calls.filter(({ got }) => got.join() !== done.join()),
      [],
    );
  });

  test("of a function with few threads is made at once when one stream has hung for want of it, and not any more when there are more", async () => {
    const played = kinds({});
    const fn = { threads: 2 };
    const play = withThreads(fn, played);
    const timesOf = async (...ids: readonly string[]) => {
      const times = [];
      for (const id of ids) {
        const { got } = await played.open(id);
        times.push(await play(1_000, () => got.length > 0));
      }
      return times;
    };
    assert.deepEqual(await timesOf("a", "b", "c", "d", "e"), [0, 0, 200, 10, 10]);
    await play(10_000);
    assert.deepEqual(played.warned, []);
    assert.deepEqual(await timesOf("f", "g", "h"), [200, 10, 10]);
    assert.match(played.warned.join(), /^the user function serves few streams at a time[^,]*$/);
    const served = () => played.streams.filter(({ state }) => state === "open").length;
    fn.threads = 3;
    assert.deepEqual([served(), await timesOf("i"), served()], [2, [0], 3]);
    await play(100);
    assert.deepEqual([await timesOf("j"), served()], [[200], 3]);
  });
});

/** A stage that commands both kinds. */
function kinds(host: NonNullable<Parameters<typeof openStage>[0]>["host"] & object) {
  const played = openStage({ host });
  const { open: openKind, streams } = played;
  const open = (entityId: string) => openKind("value", entityId);
  return {
    ...played,
    ...valueFunction(played),
    openKind,
    open,
    states: () => streams.map(({ state }) => state).join(" "),
    complete: completing(streams),
  };
}
