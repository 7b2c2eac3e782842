import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { mutate, Table, type Operation } from "../crdt/index.ts";
import { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import type { Clock, World } from "../lib/core/world.ts";
import { seededRandom } from "../lib/core/world.ts";
import type { Method, Service } from "../lib/discovery/service-table.ts";
import { createCompletion } from "../lib/entities/completion.ts";
import { createCrdtKind } from "../lib/entities/crdt-kind.ts";
import { createHost } from "../lib/entities/host.ts";
import type { ReplicaGroup, Watcher } from "../lib/replication/port.ts";
import type { Call, Element } from "../lib/routing/command.ts";
import type { FunctionStreamReceiver } from "../lib/user-function/user-function.ts";
import {
  type CrdtStreamIn,
  CrdtStreamInSchema,
  CrdtStreamOutSchema,
  type CrdtWriteConsistency,
} from "../lib/wire/gen/cloudstate/crdt_pb.ts";
import { playedFunction } from "./played-function.ts";

type Out = NonNullable<MessageInitShape<typeof CrdtStreamOutSchema>["message"]>;

const here = "0".repeat(32);
const there = "f".repeat(32);

/** Time that passes only when told. */
class ManualClock implements Clock {
  #nowMs = 0;
  #timers: { atMs: number; run: () => void }[] = [];
  now = () => this.#nowMs;
  monotonic = () => this.#nowMs;
  after(delayMs: number, run: () => void) {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }
  every(periodMs: number, run: () => void) {
    let cancel: () => void;
    const again = () => {
      cancel = this.after(periodMs, again);
      run();
    };
    cancel = this.after(periodMs, again);
    return () => cancel();
  }
  sleep = () => Promise.reject(new Error("nobody sleeps here"));
  pass(ms: number) {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#nowMs = next.atMs;
      next.run();
    }
    this.#nowMs = untilMs;
  }
}

/** One entity `e` over a group that the test changes from elsewhere, and a function that the test plays. */
async function stage() {
  const clock = new ManualClock();
  const world: World = { clock, random: seededRandom(1) };
  const tables = new Map<string, Table>();
  const watchers = new Set<Watcher>();
  const numbers = new Map<string, number>();
  const confirms: ((ok: boolean) => void)[] = [];
  const table = (entity: string) => tables.get(entity) ?? tables.set(entity, new Table()).get(entity)!;
  const dots = (replica: string) => ({
    replica,
    next: () => numbers.set(replica, (numbers.get(replica) ?? 0) + 1).get(replica)!,
  });
  const group: ReplicaGroup = {
    replica: here,
    seat: () => ({ self: here, members: new Set([here]) }),
    table,
    read: async (entity) => table(entity),
    watch(_entity, watcher) {
      watchers.add(watcher);
    },
    unwatch(_entity, watcher) {
      watchers.delete(watcher);
    },
    change: (entity, make) => ({ applied: table(entity).apply(make(dots(here))), number: numbers.get(here) ?? 0 }),
    confirm(_number, _consistency, done) {
      confirms.push(done);
      return () => undefined;
    },
  };
  /** Another replica, which has seen everything, does something. */
  const elsewhere = (operation: Operation | "delete") => {
    const drops = [...table("e").entries()].map(({ dot }) => dot);
    const effect =
      operation === "delete" ? { drops, adds: [] } : mutate(operation, table("e"), dots(there), clock.now());
    const applied = table("e").apply(effect);
    for (const watcher of watchers) watcher.changed(applied);
  };

  const streams: { receiver: FunctionStreamReceiver; sent: CrdtStreamIn[]; state: string; reached: boolean }[] = [];
  const reports: string[] = [];
  const userFunction = playedFunction((_path, receiver) => {
    const stream = { receiver, sent: [] as CrdtStreamIn[], state: "open", reached: true };
    streams.push(stream);
    return {
      get reached() {
        return stream.reached;
      },
      write: (frame) => stream.sent.push(fromBinary(CrdtStreamInSchema, frame.subarray(5))) > 0,
      end: () => void (stream.state = "half-closed"),
      cancel: () => void (stream.state = "reset"),
      pause: () => undefined,
      resume: () => undefined,
    };
  });
  const parts = { userFunction, world, log: silentLogger, telemetry: silentTelemetry };
  const crdt = createCrdtKind({
    ...parts,
    completion: createCompletion({ ...parts, clock: world.clock }, { closeMs: 60_000, hurryMs: 1_000 }),
    replication: { group: () => group, hosted: () => undefined, notReady: undefined, onReady: (ready) => ready() },
    reportError: (message) => reports.push(message),
    options: { passivationMs: 30_000, catchUpAfterMs: 50, cancelGraceMs: 1_000, relayTimeoutMs: 60_000 },
  });
  const host = createHost({
    ...parts,
    kinds: { crdt },
    options: {
      activeMax: 2,
      mailboxMax: 3,
      streamBufferMax: 2,
      pressureAfterMs: 200,
      drainMs: 10_000,
      relayTimeoutMs: 60_000,
    },
  });
  const service: Service = { name: "s.S", entityType: "crdt", persistenceId: "p", methods: new Map() };
  const methodOf = (streamedOut: boolean): Method => ({
    service,
    name: streamedOut ? "Watch" : "Do",
    path: "/s.S/Do",
    labels: { service: "s.S", method: "Do" },
    inputType: "In",
    outputType: "Out",
    inputUrl: "t/In",
    outputUrl: "t/Out",
    streamedIn: false,
    streamedOut,
    key: (bytes) => Buffer.from(bytes).toString(),
  });
  const [unary, streamed] = [methodOf(false), methodOf(true)];
  const open = async (streamedOut = false, entityId = "e", heard?: (call: Call, said: string) => unknown) => {
    const got: string[] = [];
    const payload = { typeUrl: "t/In", value: Buffer.from(entityId) };
    const say = ({ action }: Element) => {
      const said = action?.type ?? "nothing";
      got.push(said);
      heard?.(call, said);
    };
    const call: Call = host.open(
      streamedOut ? streamed : unary,
      { service: "s.S", method: "Do", metadata: [], payload, hops: 0 },
      {
        element: say,
        end: () => got.push("end"),
        fail: ({ code, message }) => got.push(`${code}: ${message}`),
        drain: () => undefined,
      },
    );
    await settled();
    return { call, got };
  };
  const say = (message: Out, stream = streams.at(-1)!) => {
    stream.receiver.message(toBinary(CrdtStreamOutSchema, create(CrdtStreamOutSchema, { message })));
  };
  const reply = (commandId: number, more: object = {}) => {
    const action = { case: "reply", value: { payload: { typeUrl: "t/Out" } } } as const;
    say({ case: "reply", value: { commandId: BigInt(commandId), clientAction: { action }, ...more } });
  };
  const plus = (change: number, writeConsistency: CrdtWriteConsistency = 0) => {
    const value = { delta: { case: "pncounter", value: { change: BigInt(change) } } } as const;
    return { stateAction: { action: { case: "update", value }, writeConsistency } } as const;
  };
  const sent = (at = -1) => streams.at(at)!.sent.map(({ message }) => spelled(message));
  return { clock, group, elsewhere, streams, reports, host, open, say, reply, plus, sent, confirms };
}

function spelled(message: CrdtStreamIn["message"]): string {
  switch (message.case) {
    case "init":
      return `init ${message.value.delta ? amount(message.value.delta) : "-"}`;
    case "delta":
      return `delta ${amount(message.value)}`;
    case "command":
      return `command ${message.value.id}`;
    case "streamCancelled":
      return `cancelled ${message.value.id}`;
    default:
      return message.case ?? "nothing";
  }
}

function amount({ delta }: { readonly delta: { case?: string | undefined; value?: unknown } }): string {
  return delta.case === "pncounter" ? String((delta.value as { change: bigint }).change) : String(delta.case);
}

/** Activation reads its state through a promise. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
const counter = (change: bigint): Operation => ({ type: "pncounter", change });

suite("a CRDT entity", () => {
  test("begins with init, numbers commands from 1, and has several out at once", async () => {
    const { elsewhere, open, sent, reply, plus } = await stage();
    elsewhere(counter(5n));
    const [first, second] = [await open(), await open()];
    assert.deepEqual(sent(), ["init 5", "command 1", "command 2"]);
    reply(2, plus(1));
    reply(1);
    assert.deepEqual(
      [first.got, second.got],
      [
        ["reply", "end"],
        ["reply", "end"],
      ],
    );
    assert.deepEqual(sent().slice(3), []);
  });

  test("tells no delta while a command is out, then what it missed, and never an echo", async () => {
    const { elsewhere, open, sent, reply, plus } = await stage();
    await open();
    elsewhere(counter(7n));
    assert.deepEqual(sent(), ["init -", "command 1"]);
    reply(1, plus(2));
    assert.deepEqual(sent().slice(2), ["delta 7"]);
    elsewhere(counter(1n));
    assert.deepEqual(sent().slice(3), ["delta 1"]);
  });

  test("H12 makes new commands wait for the catch-up once changes were withheld too long", async () => {
    const { clock, elsewhere, open, sent, reply } = await stage();
    await open();
    elsewhere(counter(7n));
    await open();
    clock.pass(50);
    await open();
    assert.deepEqual(sent(), ["init -", "command 1", "command 2"]);
    reply(1);
    assert.deepEqual(sent().slice(3), []);
    reply(2);
    assert.deepEqual(sent().slice(3), ["delta 7", "command 3"]);
  });

  test("waits for MAJORITY before it answers, but not with deltas; a failure leaves the change and crashes", async () => {
    const { elsewhere, open, sent, reply, plus, confirms, streams, group } = await stage();
    const { got } = await open();
    reply(1, plus(2, 1));
    assert.deepEqual(got, []);
    elsewhere(counter(3n));
    assert.deepEqual(sent().slice(2), ["delta 3"]);
    confirms[0]!(true);
    assert.deepEqual(got, ["reply", "end"]);
    const other = await open();
    const bystander = await open();
    reply(2, plus(1, 2));
    confirms[1]!(false);
    assert.deepEqual(other.got, ["failed: Failed to update CRDT at requested write consistency"]);
    assert.deepEqual(bystander.got, ["failed: Entity terminating"]);
    assert.equal(streams[0]!.state, "reset");
    assert.equal(group.table("e").size, 3);
  });

  test("keeps streamed messages behind a first element that waits for its confirmation", async () => {
    const { open, say, reply, plus, confirms } = await stage();
    const { got } = await open(true);
    reply(1, { streamed: true, ...plus(1, 1) });
    say({ case: "streamedMessage", value: { commandId: 1n, endStream: true } });
    assert.deepEqual(got, []);
    confirms[0]!(true);
    assert.deepEqual(got, ["reply", "nothing", "end"]);
  });

  test("fails a stream that ended while its first element waited in vain, and a delete by its own text", async () => {
    const { open, say, reply, plus, confirms } = await stage();
    const streamed = await open(true);
    reply(1, { streamed: true, ...plus(1, 1) });
    say({ case: "streamedMessage", value: { commandId: 1n, endStream: true } });
    confirms[0]!(false);
    assert.deepEqual(streamed.got, ["failed: Failed to update CRDT at requested write consistency"]);
    await open();
    reply(1, plus(1));
    const deleting = await open();
    reply(2, { stateAction: { action: { case: "delete", value: {} }, writeConsistency: 1 } });
    confirms[1]!(false);
    assert.deepEqual(deleting.got, ["failed: Failed to delete CRDT at requested write consistency"]);
  });

  test("gives its stream up when a command is out for twice the time of the relay", async () => {
    const { clock, open, reports, sent, streams } = await stage();
    const first = await open();
    clock.pass(61_000);
    assert.match(first.got[0]!, /^deadline: /);
    const second = await open();
    clock.pass(60_000);
    assert.deepEqual([streams[0]!.state, second.got], ["reset", ["failed: Entity terminating"]]);
    assert.match(reports[0]!, /did not reply to \/s\.S\/Do in time/);
    await open();
    assert.deepEqual(sent(), ["init -", "command 1"]);
  });

  test("cancels nothing that the function ended itself", async () => {
    const { open, say, sent, reply } = await stage();
    // As a caller does that has heard of a failure.
    const { got } = await open(true, "e", (call, said) => said === "failure" && call.cancel());
    reply(1, { streamed: true });
    const action = { case: "failure", value: { commandId: 1n, description: "no" } } as const;
    say({ case: "streamedMessage", value: { commandId: 1n, clientAction: { action }, endStream: true } });
    assert.deepEqual([got.slice(0, 2), sent().slice(2)], [["reply", "failure"], []]);
  });

  test("cancels a stream once, takes what the function answers, and lets deltas go on without an answer after the grace", async () => {
    const { clock, elsewhere, open, say, sent, reply, plus } = await stage();
    const { call, got } = await open(true);
    reply(1, { streamed: true });
    call.cancel();
    call.cancel();
    elsewhere(counter(5n));
    assert.deepEqual(sent().slice(2), ["cancelled 1"]);
    clock.pass(1_000);
    assert.deepEqual(sent().slice(3), ["delta 5"]);
    say({ case: "streamCancelledResponse", value: { commandId: 1n, ...plus(4) } });
    await open();
    assert.deepEqual(sent().slice(4), ["command 2"]);
    assert.deepEqual(got, ["reply", "nothing"]);
  });

  test("waits for no response of a method that left one out, takes it should it come, and waits for the next ones then", async () => {
    const { clock, elsewhere, open, say, sent, reply, plus } = await stage();
    const calls = [];
    for (const id of [1, 2, 3]) {
      calls.push((await open(true)).call);
      reply(id, { streamed: true });
    }
    calls[0]!.cancel();
    clock.pass(1_000);
    elsewhere(counter(5n));
    calls[1]!.cancel();
    elsewhere(counter(1n));
    assert.deepEqual(sent().slice(4), ["cancelled 1", "delta 5", "cancelled 2", "delta 1"]);
    say({ case: "streamCancelledResponse", value: { commandId: 2n, ...plus(4) } });
    calls[2]!.cancel();
    elsewhere(counter(1n));
    assert.deepEqual(sent().slice(8), ["cancelled 3"]);
    say({ case: "streamCancelledResponse", value: { commandId: 3n } });
    assert.deepEqual(sent().slice(9), ["delta 1"]);
    const late = await open();
    assert.deepEqual(late.got, []);
    reply(4);
    clock.pass(30_000);
    assert.deepEqual(sent().slice(10), ["command 4"]);
  });

  test("waits a second at most for the completion of its old stream when a command waits, and not at all once that was in vain", async () => {
    const { clock, open, sent, reply, plus, streams } = await stage();
    await open();
    reply(1, plus(5));
    clock.pass(31_000);
    clock.pass(20_000);
    assert.equal(streams[0]!.state, "half-closed");
    const { got } = await open();
    clock.pass(900);
    await settled();
    assert.equal(streams.length, 1);
    clock.pass(100);
    await settled();
    assert.deepEqual([streams[0]!.state, sent()], ["reset", ["init 5", "command 1"]]);
    reply(1, { stateAction: { action: { case: "delete", value: {} } } });
    assert.deepEqual(got, ["reply", "end"]);
    await open();
    clock.pass(0);
    await settled();
    assert.deepEqual([streams[1]!.state, sent()], ["reset", ["init -", "command 1"]]);
    reply(1);
    clock.pass(31_000);
    streams[2]!.receiver.end();
    await settled();
    await open();
    reply(1);
    clock.pass(31_000);
    await open();
    clock.pass(900);
    await settled();
    assert.deepEqual([streams[3]!.state, streams.length], ["half-closed", 4]);
  });

  test("takes no response to a cancellation that it did not send: the command stays out, and its stream open", async () => {
    const { open, say, sent, reply, plus, reports } = await stage();
    const [unary, streamed] = [await open(), await open(true)];
    reply(2, { streamed: true });
    for (const id of [1n, 2n, 9n]) {
      say({ case: "streamCancelledResponse", value: { commandId: id, ...plus(4) } });
    }
    assert.deepEqual(
      reports,
      [1, 2, 9].map((id) => `Received streamed message for unknown command id: ${id}`),
    );
    reply(1);
    say({ case: "streamedMessage", value: { commandId: 2n, endStream: true } });
    assert.deepEqual([unary.got, streamed.got.at(-1)], [["reply", "end"], "end"]);
    await open();
    assert.deepEqual(sent(), ["init -", "command 1", "command 2", "command 3"]);
  });

  test("that is deleted takes no late response to a cancellation any more", async () => {
    const { clock, open, say, sent, reply, plus, streams } = await stage();
    const { call } = await open(true);
    reply(1, { streamed: true });
    call.cancel();
    clock.pass(1_000);
    await open();
    reply(2, { stateAction: { action: { case: "delete", value: {} } } });
    say({ case: "streamCancelledResponse", value: { commandId: 1n, ...plus(5) } });
    streams[0]!.receiver.end();
    await open();
    assert.deepEqual(sent(), ["init -", "command 1"]);
  });

  test("does not wait for a command whose caller has gone longer than for another", async () => {
    const { clock, elsewhere, open, sent } = await stage();
    const { call } = await open();
    call.cancel();
    clock.pass(1_000);
    elsewhere(counter(5n));
    clock.pass(100);
    const waiting = await open();
    assert.deepEqual(sent(), ["init -", "command 1"]);
    clock.pass(59_500);
    assert.deepEqual(sent(), ["init -", "command 1", "delta 5", "command 2"]);
    assert.deepEqual(waiting.got, []);
  });

  test("takes a write consistency that nobody knows for LOCAL", async () => {
    const { open, reply, plus } = await stage();
    const { got } = await open();
    reply(1, plus(5, 77 as CrdtWriteConsistency));
    assert.deepEqual(got, ["reply", "end"]);
  });

  test("cancels a stream that was given up before its reply only after it, and not at all when it does not stream", async () => {
    const { open, sent, reply } = await stage();
    const [first, second] = [await open(true), await open(true)];
    first.call.cancel();
    second.call.cancel();
    assert.deepEqual(sent(), ["init -", "command 1", "command 2"]);
    reply(1, { streamed: true });
    reply(2);
    assert.deepEqual(sent().slice(3), ["cancelled 1"]);
  });

  test("is deleted by its function: replies, half-closes, and fails what is still out", async () => {
    const { open, reply, plus, streams, sent, say } = await stage();
    const first = await open();
    reply(1, plus(5));
    const [deleting, out] = [await open(), await open()];
    reply(2, { stateAction: { action: { case: "delete", value: {} } } });
    assert.deepEqual(
      [first.got, deleting.got],
      [
        ["reply", "end"],
        ["reply", "end"],
      ],
    );
    assert.deepEqual(out.got, ["failed: Entity deleted"]);
    assert.equal(streams[0]!.state, "half-closed");
    const next = await open();
    reply(3, plus(1));
    streams[0]!.receiver.end();
    await settled();
    assert.deepEqual(sent(), ["init -", "command 1"]);
    reply(1);
    assert.deepEqual(next.got, ["reply", "end"]);
    say({ case: "failure", value: { commandId: 9n } });
  });

  test("is deleted elsewhere: told so, half-closed, its streams ended", async () => {
    const { elsewhere, open, reply, plus, sent, streams } = await stage();
    const watching = await open(true);
    reply(1, { streamed: true, ...plus(5) });
    const out = await open();
    elsewhere("delete");
    assert.deepEqual(sent().slice(3), ["delete"]);
    assert.equal(streams[0]!.state, "half-closed");
    assert.deepEqual([watching.got, out.got], [["reply", "end"], ["failed: Entity deleted"]]);
  });

  test("crashes on an unknown command id and on a second answer, and says so", async () => {
    const { open, reply, reports, streams } = await stage();
    const first = await open();
    reply(7);
    assert.deepEqual(first.got, ["failed: Entity terminating"]);
    await open();
    reply(1);
    reply(1);
    assert.deepEqual(
      reports,
      [7, 1].map((id) => `Received reply for entity id e for unknown command ${id}`),
    );
    assert.deepEqual(
      streams.map(({ state }) => state),
      ["reset", "reset"],
    );
  });

  test("crashes when the function streams what is not streamed, refuses a change, or ends; the next command begins anew", async () => {
    const { open, reply, reports, streams, plus } = await stage();
    await open();
    reply(1, { streamed: true });
    await open();
    reply(1, {
      stateAction: {
        action: { case: "update", value: { delta: { case: "gcounter", value: { increment: 2n ** 63n } } } },
      },
    });
    const third = await open();
    streams.at(-1)!.receiver.end();
    assert.deepEqual(reports, [
      "Streamed reply to non streamed command 1",
      `Cannot decrement a GCounter, requested amount was -${2n ** 63n}`,
      "Unexpected entity termination due to stream closure",
    ]);
    assert.deepEqual(third.got, ["failed: Entity terminating"]);
    const fourth = await open();
    reply(1, plus(1));
    assert.deepEqual(fourth.got, ["reply", "end"]);
  });

  test("passes UNAVAILABLE on when the function was never reached, and only then", async () => {
    const { open, streams, reports } = await stage();
    const { got } = await open();
    streams[0]!.reached = false;
    streams[0]!.receiver.fail(new MassaError("unavailable", "not there"));
    assert.deepEqual(got, ["unavailable: not there"]);
    const lost = await open();
    streams[1]!.receiver.fail(new MassaError("unavailable", "the connection was lost"));
    assert.deepEqual(
      [lost.got, reports],
      [["failed: Entity terminating"], ["Entity crashed: the connection was lost"]],
    );
  });

  test("without a command ends without a word when the function is gone, and says so of any other end", async () => {
    const { open, reply, plus, streams, sent, reports } = await stage();
    await open();
    reply(1, plus(5));
    streams[0]!.receiver.fail(new MassaError("unavailable", "the connection was lost"));
    assert.deepEqual(reports, []);
    await open();
    assert.deepEqual(sent(), ["init 5", "command 1"]);
    reply(1);
    streams[1]!.receiver.fail(new MassaError("internal", "reset"));
    assert.deepEqual(reports, ["Entity crashed: reset"]);
  });

  test("passivates when idle, not while a stream is open, and keeps the state", async () => {
    const { clock, open, say, reply, plus, streams, sent } = await stage();
    await open(true);
    reply(1, { streamed: true, ...plus(5) });
    clock.pass(120_000);
    assert.equal(streams[0]!.state, "open");
    say({ case: "streamedMessage", value: { commandId: 1n, endStream: true } });
    clock.pass(30_000);
    assert.equal(streams[0]!.state, "half-closed");
    const { got } = await open();
    streams[0]!.receiver.end();
    await settled();
    assert.deepEqual(sent(), ["init 5", "command 1"]);
    reply(1);
    assert.deepEqual(got, ["reply", "end"]);
  });

  test("refuses commands above its mailbox, gives a slow stream up, and lets callers wait no longer than the relay", async () => {
    const { clock, open, say, reply, sent } = await stage();
    const watching = await open(true);
    reply(1, { streamed: true });
    watching.call.pause();
    for (let i = 0; i < 3; i++) say({ case: "streamedMessage", value: { commandId: 1n } });
    assert.match(watching.got.at(-1)!, /^exhausted: .*entities\.streamBuffer/);
    assert.deepEqual(sent().slice(2), ["cancelled 1"]);
    clock.pass(1_000);
    const all = [await open(), await open(), await open(), await open()];
    assert.match(all[3]!.got[0]!, /^exhausted: entities\.mailbox of 3/);
    clock.pass(62_000);
    assert.match(all[0]!.got[0]!, /^deadline: .*relay\.timeout/);
  });

  test("makes room for another entity by passivating an idle one, at the cap and for a function that takes no more streams", async () => {
    const { open, reply, streams } = await stage();
    await open(false, "a");
    reply(1);
    await open(false, "b");
    assert.match((await open(false, "c")).got.join(), /^$/);
    assert.equal(streams[0]!.state, "half-closed");
    streams[0]!.receiver.end();
  });
});
