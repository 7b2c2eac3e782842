import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Entry, NumberedChange } from "../crdt/index.ts";
import { cutBatches, type Batch } from "../lib/replication/batch.ts";
import type { Heartbeat } from "../lib/replication/heartbeat.ts";
import { Members, type Member } from "../lib/replication/members.ts";
import { Presence } from "../lib/replication/presence.ts";
import { Replicator } from "../lib/replication/replicator.ts";
import { rightRules } from "../lib/replication/rules.ts";
import { Net } from "../lib/replication/tables.ts";
import { Waiting } from "../lib/replication/waiting.ts";

const id = (name: string) => name.repeat(32);
const limits = { ringBytes: 1e6, waitingBytes: 1e6, keptMax: 1_000, batchBytes: 1e6, changeBytes: 1e6 };

function entry(replica: string, number: number): Entry {
  return {
    dot: { replica: id(replica), number },
    path: ["pncounter"],
    content: { type: "amount", amount: BigInt(number) },
  };
}

function add(replica: string, number: number): NumberedChange {
  return { entity: "sum", from: number, to: number, drops: [], adds: [entry(replica, number)] };
}

function drop(number: number, dropped: Entry): NumberedChange {
  return { entity: "sum", from: number, to: number, drops: [dropped.dot], adds: [] };
}

function batch(replica: string, ...changes: readonly NumberedChange[]): Batch {
  return cutBatches(id(replica), changes, 1e9)[0]!;
}

suite("replicator", () => {
  test("of a batch that is known in part only the rest is applied", () => {
    const replicator = new Replicator(id("b"), limits, rightRules);
    replicator.receive(batch("a", add("a", 1)));
    replicator.receive(batch("c", drop(1, entry("a", 1))));
    replicator.receive(batch("a", add("a", 1), add("a", 2)));
    assert.deepEqual([...replicator.tables.look("sum").entries()], [entry("a", 2)]);
  });

  test("what waited is applied right behind a reading that closes the gap", () => {
    const [from, to] = ["b", "c"].map((name) => new Replicator(id(name), limits, rightRules)) as [
      Replicator,
      Replicator,
    ];
    from.receive(batch("a", add("a", 1)));
    assert.equal(to.receive(batch("a", add("a", 2))).type, "ahead");
    const told = [...to.join(from.read(to.clock)).changes()];
    assert.deepEqual(told, [["sum", { gained: [entry("a", 1), entry("a", 2)], lost: [] }]]);
    assert.deepEqual([to.clock.get(id("a")), to.waiting.bytes], [2, 0]);
  });

  test("what a batch adds and drops again is told to nobody", () => {
    const net = new Net();
    net.add("sum", { gained: [entry("a", 1), entry("a", 2)], lost: [entry("b", 7)] });
    net.add("sum", { gained: [], lost: [entry("a", 1)] });
    net.add("gone", { gained: [entry("a", 3)], lost: [] });
    net.add("gone", { gained: [], lost: [entry("a", 3)] });
    assert.deepEqual([...net.changes()], [["sum", { gained: [entry("a", 2)], lost: [entry("b", 7)] }]]);
  });

  test("the same batch waits once", () => {
    const waiting = new Waiting(1e6);
    const ahead = batch("a", add("a", 2));
    assert.ok(waiting.add(ahead) && waiting.add(ahead));
    assert.equal(waiting.bytes, ahead.bytes.length);
    assert.equal(waiting.take(id("a"), 1), ahead);
    assert.equal(waiting.take(id("a"), 2), undefined);
  });
});

suite("presence", () => {
  const times = { silentAfterMs: 3_000, forgetAfterMs: 60_000 };
  const beat = (name: string, number: number, silent: readonly string[] = []): Heartbeat => ({
    replica: id(name),
    incarnation: 1,
    number,
    isLeaving: number < 0,
    isGone: false,
    isReady: true,
    membersHash: "",
    silent: silent.map(id),
    leavers: [],
    groups: [],
  });
  const five = () => {
    const members = new Members({ replica: id("a"), nodeName: "a", startedMs: 1 }, rightRules);
    const member = (name: string): Member => ({
      replica: id(name),
      incarnation: 1,
      isOut: false,
      nodeName: name,
      startedMs: 1,
      groups: [],
    });
    members.join(["b", "c", "d", "e"].map(member));
    const presence = new Presence(times, rightRules);
    for (const name of ["b", "c", "d", "e"]) presence.learned(id(name), 0);
    return { members, presence };
  };

  test("a heartbeat that comes late says nothing", () => {
    const { presence } = five();
    assert.equal(presence.heard(beat("b", 2), 10_000), undefined);
    assert.equal(presence.heard(beat("b", 1), 20_000), "late");
    assert.equal(presence.heard(beat("b", 2), 20_000), "late");
    presence.judge(20_000);
    assert.ok(presence.isSilent(id("b")));
  });

  test("a silent member's voice ends when more than half of all in, the silent ones counted, report it", () => {
    const { members, presence } = five();
    presence.heard(beat("b", 1, ["d", "e"]), 61_000);
    presence.heard(beat("c", 1, ["e"]), 61_000);
    presence.judge(61_000);
    assert.deepEqual(presence.silent(members, 61_000), [id("d"), id("e")]);
    assert.deepEqual(
      presence.forgotten(members, 61_000),
      [id("e")],
      "two of five are not enough for d, three are for e",
    );
  });

  test("reports of those who are silent by now do not count", () => {
    const { members, presence } = five();
    presence.heard(beat("b", 1, ["e"]), 61_000);
    presence.heard(beat("c", 1, ["e"]), 61_000);
    presence.judge(65_000);
    assert.deepEqual(presence.forgotten(members, 65_000), []);
  });
});
