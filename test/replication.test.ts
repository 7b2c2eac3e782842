import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Known, mutate, Refusal } from "../crdt/index.ts";
import type { Message } from "../lib/replication/frames.ts";
import { Group } from "../lib/replication/group.ts";
import type { ReplicationOptions } from "../lib/replication/options.ts";
import type { Made } from "../lib/replication/port.ts";
import type { SimulatedWorldOptions } from "../lib/testing/simulated-world.ts";
import { SimulatedWorld } from "../lib/testing/simulated-world.ts";
import type { SimulatedNode, Written } from "../lib/testing/simulated-node.ts";

type Three = [SimulatedNode, SimulatedNode, SimulatedNode];

function world(
  replication: Partial<ReplicationOptions> = {},
  network: NonNullable<SimulatedWorldOptions["network"]> = {},
): SimulatedWorld {
  return new SimulatedWorld({ seed: 3, replication: { expect: 3, ...replication }, network });
}

function three(replication: Partial<ReplicationOptions> = {}): [SimulatedWorld, ...Three] {
  const sim = world(replication);
  return [sim, ...(sim.startAll("A", "B", "C") as Three)];
}

function answered(sim: SimulatedWorld, written: Written): boolean {
  sim.until(() => written.isConfirmed !== undefined, "an answer", 6_000);
  return written.isConfirmed === true;
}

function groupOf({ group }: SimulatedNode): Group {
  assert.ok(group instanceof Group);
  return group;
}

const clockOf = (node: SimulatedNode, of: SimulatedNode) => groupOf(node).replicator.clock.get(of.replica) ?? 0;

/** Counts the batches that come from a node. */
function batchesFrom(sim: SimulatedWorld, node: SimulatedNode): { count: number; changes: number } {
  const seen = { count: 0, changes: 0 };
  sim.intercept = (_to, from, message) => {
    if (message.type === "batch" && from === node.replica) {
      seen.count += 1;
      seen.changes += message.batch.changes.length;
    }
    return true;
  };
  return seen;
}

suite("replication: write consistency", () => {
  test("with one of three standing still MAJORITY is confirmed, ALL is not after 5 s", () => {
    const [sim, a, , c] = three();
    c.stop();
    const majority = a.write("sum", 1, "majority");
    const all = a.write("sum", 1, "all");
    const startedMs = sim.time.now();
    assert.equal(answered(sim, majority), true);
    assert.ok(sim.time.now() - startedMs < 50, "at once");
    assert.equal(answered(sim, all), false);
    assert.equal(sim.time.now() - startedMs, 5_000);
    assert.equal(a.plain("sum"), "sum 2", "what was not confirmed stays");
  });

  test("with two of three standing still MAJORITY is not confirmed, and is after they went on", () => {
    const [sim, a, b, c] = three();
    b.stop();
    c.stop();
    const written = a.write("sum", 1, "majority");
    assert.equal(answered(sim, written), false);
    b.goOn();
    sim.until(() => b.plain("sum") === "sum 1", "the write on B");
    assert.equal(answered(sim, a.write("sum", 1, "majority")), true);
  });

  test("ALL is confirmed by all", () => {
    const [sim, a, b, c] = three();
    assert.equal(answered(sim, a.write("sum", 1, "all")), true);
    assert.deepEqual([clockOf(b, a), clockOf(c, a)], [1, 1]);
  });

  test("an acknowledgement that was lost is made up for by a heartbeat", () => {
    const [sim, a] = three();
    sim.intercept = (_to, _from, message) => message.type !== "ack";
    assert.equal(answered(sim, a.write("sum", 1, "all")), true);
  });

  test("who stops waiting is not answered", () => {
    const [sim, a, b, c] = three();
    b.stop();
    c.stop();
    let answers = 0;
    const stop = a.group.confirm(a.increment("sum", 1), "all", () => (answers += 1));
    stop();
    sim.run(6_000);
    assert.equal(answers, 0);
  });

  test("mesh.expect may differ by group, and a member that hosts other groups is not expected", () => {
    const sim = world({ expect: 5, expectByGroup: { entities: 2 } });
    const [a] = sim.startAll("A", "B") as [SimulatedNode];
    assert.equal(answered(sim, a.write("sum", 1, "all")), true);
  });

  test("a member that has not discovered its function yet is still expected to host the group", () => {
    const sim = world({ expect: 2, joinTimeoutMs: 1_000 });
    const a = sim.start("A");
    const b = sim.startUndiscovered("B");
    sim.until(() => a.isReady, "A");
    assert.equal(answered(sim, a.write("sum", 1, "majority")), false);
    b.replication.hosted(["others"]);
    sim.run(1_000);
    assert.equal(answered(sim, a.write("sum", 1, "majority")), true);
  });

  test("waits are bounded", () => {
    const [, a, b, c] = three({ waitsMax: 2 });
    b.stop();
    c.stop();
    const writes = [1, 2, 3].map(() => a.write("sum", 1, "all"));
    assert.deepEqual(
      writes.map(({ isConfirmed }) => isConfirmed),
      [undefined, undefined, false],
    );
  });
});

suite("replication: the fast path", () => {
  for (const spread of ["direct", "gossip", "auto"] as const) {
    test(`a change is visible elsewhere within a few milliseconds (${spread})`, () => {
      const [sim, a, b, c] = three({ spread });
      sim.run(1_000);
      a.increment("sum", 1);
      sim.until(() => b.plain("sum") === "sum 1" && c.plain("sum") === "sum 1", "the change", 4);
    });
  }

  test("the first change leaves at once, those that follow in one batch, folded", () => {
    const [sim, a, b] = three();
    const seen = batchesFrom(sim, a);
    for (let count = 0; count < 100; count += 1) a.increment("sum", 1);
    sim.until(() => b.plain("sum") === "sum 1", "the first change", 4);
    sim.until(() => b.plain("sum") === "sum 100", "the others", 9);
    assert.deepEqual(seen, { count: 4, changes: 200 }, "two batches for each of two");
    assert.equal(b.group.table("sum").size, 2);
  });

  test("without a link to everybody changes go by gossip", () => {
    const [sim, a, , c] = three();
    sim.part(["A"], ["C"]);
    sim.until(() => !a.mesh.peers().some(({ hello }) => hello.replica === c.replica), "the link to be lost");
    const fetched = batchesFrom(sim, a);
    a.increment("sum", 1);
    sim.until(() => c.plain("sum") === "sum 1", "the change", 10);
    assert.equal(fetched.count, 0);
  });

  test("a batch too long for gossip goes over links", () => {
    const [sim, a, b] = three({ spread: "gossip", gossipBytesMax: 600 });
    const value = `1:t:${"x".repeat(1_000)}`;
    a.does("register", { type: "lwwregister", value, clock: "custom", customClock: 1n });
    sim.until(() => b.plain("register").length > 1_000, "the value", 10);
  });

  test("a change that could not travel is refused and takes no number", () => {
    const [, a] = three({ messageBytesMax: 4_000 });
    const value = `1:t:${"x".repeat(5_000)}`;
    assert.throws(() => a.does("register", { type: "lwwregister", value, clock: "custom", customClock: 1n }), Refusal);
    assert.equal(a.plain("register"), "nothing");
    assert.equal(a.increment("sum", 1), 1);
  });
});

suite("replication: what entities are told", () => {
  test("changes are told after they were applied, but not to the one who makes them", () => {
    const [sim, a, b] = three();
    const seen: string[] = [];
    const maker = { changed: () => void seen.push(a.plain("sum")), members: () => undefined };
    a.group.watch("sum", maker);
    a.watch("sum");
    const plusOne = { type: "pncounter", change: 1n } as const;
    a.group.change("sum", (dots) => mutate(plusOne, new Known(a.group.table("sum")), dots, 0), maker);
    b.increment("sum", 2);
    sim.until(() => a.plain("sum") === "sum 3", "B's change");
    sim.run(1_000);
    assert.deepEqual([seen, a.seen.get("sum")], [["sum 3"], ["sum 1", "sum 3"]]);
  });

  test("an entity without content is held only while it is watched, as the same object", () => {
    const [sim, a, b] = three();
    a.does("set", { type: "orset", cleared: false, removed: [], added: ["1:t:x"] });
    sim.until(() => b.plain("set") !== "nothing", "the set");
    const { tables } = groupOf(b).replicator;
    assert.equal(tables.size, 1);
    const watcher = { changed: () => undefined, members: () => undefined };
    b.group.watch("set", watcher);
    const table = b.group.table("set");
    a.does("set", "delete");
    sim.until(() => table.size === 0, "the deletion");
    a.does("set", { type: "orset", cleared: false, removed: [], added: ["1:t:y"] });
    sim.until(() => table.size === 1, "the set in the same table");
    a.does("set", "delete");
    sim.until(() => table.size === 0, "the second deletion");
    b.group.unwatch("set", watcher);
    b.group.unwatch("set", watcher);
    assert.equal(tables.size, 0);
    assert.equal(groupOf(a).replicator.tables.size, 0);
  });

  test("a refused change takes no number, and one without content neither", () => {
    const [, a] = three();
    const refuse = () => {
      throw new Refusal("no");
    };
    assert.throws(() => a.group.change("sum", refuse), Refusal);
    const nothing: Made = a.group.change("sum", () => ({ drops: [], adds: [] }));
    assert.equal(nothing.number, 0);
    assert.equal(a.increment("sum", 1), 1);
  });

  test("a change of members is told, and the seat changes with it", () => {
    const [sim, a, b] = three();
    let told = 0;
    a.group.watch("sum", { changed: () => undefined, members: () => (told += 1) });
    assert.equal(a.group.seat().members.size, 3);
    b.leave();
    sim.until(() => b.isOver, "B's end");
    assert.equal(told, 1);
    assert.deepEqual(a.group.seat().members.has(b.replica), false);
  });
});

suite("replication: folds of sent amounts", () => {
  test("more own amounts than crdt.counterDots become one after crdt.foldEvery", () => {
    const [sim, a, b] = three();
    for (let count = 0; count < 20; count += 1) {
      a.increment("sum", 1);
      sim.run(10);
    }
    assert.equal(b.group.table("sum").size, 20);
    sim.run(10_000);
    assert.deepEqual([a.group.table("sum").size, b.group.table("sum").size, b.plain("sum")], [1, 1, "sum 20"]);
  });

  test("few amounts stay as they are, and so do those of others", () => {
    const [sim, a, b] = three({ counterDots: 3 });
    for (const node of [a, a, a, b, b]) {
      node.increment("sum", 1);
      sim.run(10);
    }
    sim.run(20_000);
    assert.equal(a.group.table("sum").size, 5);
  });

  test("crdt.foldAtOnce amounts do not wait", () => {
    const [sim, a, b] = three({ foldAtOnce: 16 });
    for (let count = 0; count < 16; count += 1) {
      a.increment("sum", 1);
      sim.run(10);
    }
    sim.run(10);
    assert.deepEqual([b.group.table("sum").size, b.plain("sum")], [1, "sum 16"]);
  });
});

suite("replication: joining and leaving", () => {
  test("a new process is ready once it has the state of a ready peer", () => {
    const [sim, a] = three();
    for (let entity = 0; entity < 500; entity += 1) a.increment(`sum${entity}`, 1);
    sim.run(100);
    const d = sim.start("D");
    let wasComplete: boolean | undefined;
    d.replication.onReady(() => (wasComplete = d.plain("sum499") === "sum 1"));
    assert.match(d.replication.notReady ?? "", /waiting for a peer's state/);
    sim.until(() => d.isReady, "D", 1_000);
    assert.equal(wasComplete, true);
  });

  test("a process that meets nobody opens alone after mesh.joinTimeout", () => {
    const sim = world();
    const a = sim.start("A");
    sim.run(9_990);
    assert.equal(a.isReady, false);
    sim.run(20);
    assert.equal(a.isReady, true);
  });

  test("one that expects nobody is ready at once", () => {
    const a = world({ expect: 1 }).start("A");
    assert.equal(a.isReady, true);
  });

  test("before discovery nothing is ready, and without groups everything is", () => {
    const sim = world();
    const a = sim.startUndiscovered("A");
    assert.equal(a.replication.notReady, "replication waits for discovery");
    a.replication.hosted([]);
    assert.equal(a.replication.notReady, undefined);
  });

  test("of those who start together none opens without what another one has", () => {
    const sim = world({ joinTimeoutMs: 60_000 });
    const [a] = sim.startAll("A", "B", "C") as Three;
    a.increment("sum", 1);
    sim.run(100);
    for (const node of sim.nodes.slice(0, 2)) node.crash();
    const fresh = [sim.start("A"), sim.start("B")];
    sim.until(() => fresh.every(({ isReady }) => isReady), "both");
    for (const node of fresh) assert.equal(node.plain("sum"), "sum 1");
  });

  test("a leaver stays until the others have what it has, and counts no more then", () => {
    const [sim, a, b, c] = three();
    sim.losing(() => a.increment("sum", 1));
    a.leave();
    sim.until(() => a.isOver, "A's end", 2_000);
    assert.deepEqual([b.plain("sum"), c.plain("sum")], ["sum 1", "sum 1"]);
    const outs = b.replication.members().filter(({ isOut }) => isOut);
    assert.deepEqual(
      outs.map(({ replica }) => replica),
      [a.replica],
    );
  });

  test("a leaver whom nobody hears goes after mesh.leaveTimeout", () => {
    const [sim, a] = three();
    sim.part(["A"], ["B", "C"]);
    a.increment("sum", 1);
    a.leave();
    sim.run(9_900);
    assert.equal(a.replication.hasLeft, false);
    sim.run(200);
    assert.equal(a.replication.hasLeft, true);
  });

  test("a process that never held anything leaves at once", () => {
    const sim = world();
    const a = sim.start("A");
    a.leave();
    assert.equal(a.replication.hasLeft, true);
  });

  test("a killed process is out once its place is taken again and it is silent", () => {
    const [sim, a, b] = three();
    a.crash();
    const next = sim.start("A");
    sim.until(() => next.isReady, "the next process");
    const isOut = () => b.replication.members().some(({ replica, isOut: gone }) => replica === a.replica && gone);
    assert.equal(isOut(), false);
    sim.until(isOut, "the one before it to be out", 4_000);
  });

  test("five kills of one place with restarts leave all equal, and MAJORITY goes on", () => {
    const [sim, , b, c] = three();
    let [node] = sim.nodes as [SimulatedNode];
    for (let kill = 0; kill < 5; kill += 1) {
      assert.equal(answered(sim, node.write("sum", 1, "majority")), true);
      node.crash();
      assert.equal(answered(sim, b.write("sum", 1, "majority")), true);
      node = sim.start("A");
      sim.until(() => node.isReady, "the next process");
    }
    sim.rest();
    sim.checkAtRest();
    assert.equal(c.plain("sum"), "sum 10");
  });
});

suite("replication: bounds", () => {
  test("what comes ahead of a gap waits in a bounded buffer, is dropped beyond it and fetched again", () => {
    const [sim, a, b] = three({ waitingBytes: 500 });
    sim.intercept = (to, _from, message) =>
      to !== b || message.type !== "batch" || message.ask !== 0 || message.batch.from > 1;
    a.increment("sum", 1);
    for (let count = 0; count < 30; count += 1) {
      a.increment(`sum${count}`, 1);
      sim.run(6);
      assert.ok(groupOf(b).replicator.waiting.bytes <= 500);
    }
    sim.until(() => b.plain("sum") === "sum 1" && clockOf(b, a) === 31, "all of it");
    assert.equal(groupOf(b).replicator.waiting.bytes, 0);
  });

  test("the rings hold no more than they may", () => {
    const [sim, a, b] = three({ ringBytes: 5_000 });
    for (let count = 0; count < 100; count += 1) {
      a.increment(`sum${count}`, 1);
      sim.run(6);
    }
    for (const node of [a, b]) {
      const { bytes } = groupOf(node).replicator.ring;
      assert.ok(bytes <= 5_000 && bytes > 4_000, `${bytes}`);
    }
  });

  test("drops of what was not seen are bounded: a reading helps", () => {
    const sim = world({ keptMax: 2, spread: "direct" });
    const [a, b, c] = sim.startAll("A", "B", "C") as Three;
    sim.intercept = (to, from, message) =>
      to !== c || from !== a.replica || message.type !== "batch" || message.ask !== 0;
    const names = ["u", "v", "w", "x", "y"].map((name) => `1:t:${name}`);
    a.does("set", { type: "orset", cleared: false, removed: [], added: names });
    sim.until(() => b.plain("set") !== "nothing", "the set on B");
    for (const name of names) {
      b.does("set", { type: "orset", cleared: false, removed: [name], added: [] });
      sim.run(1);
      assert.ok(groupOf(c).replicator.keptCount <= 3);
    }
    sim.rest();
    assert.equal(groupOf(c).replicator.keptCount, 0);
  });

  test("what waits behind a gap of a replica that is out is given up", () => {
    const sim = world({ abandonAfterMs: 5_000, spread: "direct", forgetAfterMs: 4_000 });
    const [a, b, c] = sim.startAll("A", "B", "C") as Three;
    sim.losing(() => a.increment("sum", 1));
    sim.intercept = (_to, from, message) => from !== a.replica || message.type === "batch";
    sim.run(6);
    a.increment("sum", 2);
    sim.run(10);
    a.crash();
    assert.ok(groupOf(b).replicator.waiting.bytes > 0);
    sim.run(20_000);
    for (const node of [b, c]) {
      assert.equal(groupOf(node).replicator.waiting.bytes, 0);
      assert.equal(clockOf(node, a), 0);
      assert.equal(node.plain("sum"), "nothing");
    }
  });

  test("one reading at a time is sent where no more are allowed, and everybody gets one", () => {
    const [sim, a] = three({ readingsMax: 1, ringBytes: 1, frameBytes: 500 });
    for (let entity = 0; entity < 200; entity += 1) a.increment(`sum${entity}`, 1);
    sim.run(1_000);
    const fresh = ["D", "E", "F"].map((name) => sim.start(name));
    sim.until(() => fresh.every(({ isReady }) => isReady), "all of them", 9_000);
    for (const node of fresh) assert.equal(node.plain("sum199"), "sum 1");
  });

  test("a group larger than replication.gather is not taken, and nothing of it", () => {
    const [sim, a] = three({ ringBytes: 1, gatherBytes: 20_000, joinTimeoutMs: 3_000 });
    for (let entity = 0; entity < 200; entity += 1) a.increment(`sum${entity}`, 1);
    sim.run(1_000);
    const d = sim.start("D");
    sim.until(() => d.isReady, "D, alone");
    assert.equal(d.plain("sum0"), "nothing");
    assert.equal(clockOf(d, a), 0);
  });
});

suite("replication: what others may send", () => {
  test("a batch in another's name is taken over a link only as an answer", () => {
    const [sim, a, b, c] = three({ spread: "direct" });
    sim.intercept = (to, _from, message) => to !== c || message.type !== "batch";
    a.increment("sum", 1);
    sim.run(10);
    const [batch] = groupOf(b).replicator.ring.from(a.replica, 0, 1)!;
    c.deliver(b.replica, { type: "batch", group: "entities", batch: batch!, ask: 0 });
    c.deliver(b.replica, { type: "batch", group: "entities", batch: batch!, ask: 77 });
    assert.equal(c.plain("sum"), "nothing");
    c.deliver(a.replica, { type: "batch", group: "entities", batch: batch!, ask: 0 });
    assert.equal(c.plain("sum"), "sum 1");
  });

  test("an acknowledgement of what was never made confirms nothing", () => {
    const [sim, a, b, c] = three();
    b.stop();
    c.stop();
    a.deliver(b.replica, { type: "ack", group: "entities", number: 100 });
    a.deliver(c.replica, { type: "ack", group: "entities", number: 100 });
    assert.equal(answered(sim, a.write("sum", 1, "majority")), false);
  });

  test("a heartbeat over a link is taken from the process that it speaks of only", () => {
    const [sim, a, b, c] = three();
    c.stop();
    sim.run(5_000);
    let heartbeat: Extract<Message, { readonly type: "heartbeat" }>["heartbeat"] | undefined;
    sim.intercept = (_to, _from, message) => {
      if (message.type === "heartbeat") heartbeat = message.heartbeat;
      return true;
    };
    sim.start("D");
    sim.until(() => heartbeat !== undefined, "a heartbeat over a link");
    sim.intercept = undefined;
    const forged = { ...heartbeat!, replica: c.replica, number: 1_000, groups: [] };
    assert.equal(a.replication.isInTouch(c.replica), false);
    a.deliver(b.replica, { type: "heartbeat", heartbeat: forged });
    sim.run(400);
    assert.equal(a.replication.isInTouch(c.replica), false);
  });

  test("who hosts no such group answers a question all the same", () => {
    const [sim, a, b] = three();
    const answers: unknown[] = [];
    sim.intercept = (to, from, message) => {
      if (to === a && from === b.replica && message.type === "answered") answers.push(message.group);
      return true;
    };
    b.deliver(a.replica, { type: "ask", group: "unknown", id: 9, clock: new Map(), wantsReading: false });
    sim.until(() => answers.length > 0, "an answer");
    assert.deepEqual(answers, ["unknown"]);
  });

  test("a member put out by an operator has no voice until it says that it is alive", () => {
    const [sim, a, b] = three();
    b.stop();
    assert.equal(a.replication.end(b.replica), true);
    assert.equal(a.replication.end(b.replica), false);
    assert.equal(a.group.seat().members.size, 2);
    b.goOn();
    sim.until(() => a.group.seat().members.size === 3, "B's answer");
    assert.equal(a.replication.isInTouch(b.replica), true);
  });

  test("bytes that are no message change nothing", () => {
    const [sim, a, b] = three();
    const peer = a.mesh.peers()[0]!;
    for (const bytes of [[], [255], [10, 200, 1], [10, 2, 18, 0], [26, 5, 10, 3, 97, 98]]) {
      a.replication.listener.frame(peer, Uint8Array.from(bytes));
      a.replication.listener.gossip("massa/simulated", "somebody", Uint8Array.from(bytes));
    }
    b.increment("sum", 1);
    sim.until(() => a.plain("sum") === "sum 1", "a change all the same");
  });

  test("who hosts a group that nobody else does is answered at once", () => {
    const [sim, a] = three();
    a.replication.hosted(["entities", "own"]);
    sim.until(() => a.isReady, "A", 11_000);
    const group = a.replication.group("own");
    const { number } = group.change("sum", (dots) =>
      mutate({ type: "pncounter", change: 1n }, group.table("sum"), dots, 0),
    );
    let isConfirmed: boolean | undefined;
    group.confirm(number, "all", (is) => (isConfirmed = is));
    assert.equal(isConfirmed, true, "two of three expected are known to host other groups only");
  });
});
