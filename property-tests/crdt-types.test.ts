import assert from "node:assert/strict";
import { test } from "node:test";
import type { Dots, Effect, Entry, NumberedChange, Operation, Path, Reading } from "../crdt/index.ts";
import { Belief, foldSent, foldUnsent, initial, Known, mutate, Refusal, since, Table, view } from "../crdt/index.ts";
import {
  added,
  counted,
  flagged,
  grown,
  make,
  removed,
  setOf,
  update,
  updated,
  voted,
  without,
  written,
} from "./crdt-operations.ts";
import { settleAll, Site } from "./crdt-world.ts";

function refusal(operations: readonly Operation[], refused: Operation | undefined): string {
  const site = new Site("A");
  for (const operation of operations) site.does(operation);
  let spent = 0;
  const before = [...site.table.entries()];
  const dots: Dots = { replica: "A", next: () => (spent += 1) };
  try {
    mutate(refused, site.known, dots, 0);
  } catch (error) {
    assert.ok(error instanceof Refusal);
    assert.equal(spent, 0, "a refused operation spends no number");
    assert.deepEqual([...site.table.entries()], before);
    return error.message;
  }
  return "not refused";
}

test("what a type does not allow is refused in the protocol's words", () => {
  assert.equal(refusal([], undefined), "Empty delta");
  assert.equal(refusal([], grown(2n ** 63n)), `Cannot decrement a GCounter, requested amount was ${-(2n ** 63n)}`);
  assert.equal(refusal([], grown(2n ** 64n - 1n)), "Cannot decrement a GCounter, requested amount was -1");
  assert.equal(refusal([], grown(2n ** 63n - 1n)), "not refused");
  assert.equal(refusal([flagged(true)], flagged(false)), "Cannot switch off already enabled flag");
  assert.equal(refusal([flagged(false)], flagged(false)), "not refused");
  assert.equal(refusal([grown(5n)], setOf("x")), "ORSetDelta is incompatible with CRDT GCounter(5)");
  assert.equal(refusal([setOf("x")], counted(1n)), "PNCounterDelta is incompatible with CRDT ORSet(1 elements)");
  assert.equal(
    refusal([voted(true)], written("x", 1n)),
    "LWWRegisterDelta is incompatible with CRDT Vote(false, 0 of 0)",
  );
  const conflict = added({ key: "k", operation: flagged(true) });
  assert.equal(
    refusal([added({ key: "k", operation: counted(1n) })], conflict),
    "FlagDelta is incompatible with CRDT PNCounter(1)",
  );
  assert.equal(refusal([added({ key: "k", operation: grown(1n) })], removedAnd("k", flagged(true))), "not refused");
});

function removedAnd(key: string, operation: Operation): Operation {
  return { type: "ormap", cleared: false, removed: [key], updated: [], added: [{ key, operation }] };
}

test("an operation without content makes an empty entity, and its init has a delta with empty content", () => {
  for (const operation of [
    grown(0n),
    counted(0n),
    { type: "gset", added: [] },
    setOf(),
    flagged(false),
    added(),
  ] satisfies Operation[]) {
    const site = new Site("A");
    site.does(operation);
    assert.deepEqual(initial(site.value!), operation);
    assert.equal(site.table.size, 1);
    site.does(operation);
    assert.equal(site.table.size, 1, "one presence replaces the other");
    site.deletes();
    assert.equal(site.value, undefined);
  }
});

test("updates of absent keys and of other types are ignored, but the map was touched", () => {
  const site = new Site("A");
  site.does(updated({ key: "k", operation: counted(1n) }));
  assert.deepEqual(site.value, { type: "ormap", entries: new Map() });
  site.does(added({ key: "k", operation: counted(1n) }));
  site.does(updated({ key: "k", operation: flagged(true) }));
  assert.deepEqual(site.value, { type: "ormap", entries: new Map([["k", { type: "pncounter", value: 1n }]]) });
});

test("clear, remove and add follow each other within one delta", () => {
  const site = new Site("A");
  site.does(setOf("x", "y"));
  site.does({ type: "orset", cleared: true, removed: ["z", "w"], added: ["z", "z", "w"] });
  assert.deepEqual(site.value, { type: "orset", elements: new Set(["z", "w"]) });
  site.does({ type: "orset", cleared: true, removed: [], added: [] });
  assert.deepEqual(site.value, { type: "orset", elements: new Set() });
  const twice = new Site("A");
  twice.does(added({ key: "k", operation: written("a", 5n) }, { key: "k", operation: written("b", 9n) }));
  assert.equal(twice.table.size, 1, "the second write saw the first");
  assert.deepEqual(
    [...twice.table.entries()].map(({ dot }) => dot),
    [{ replica: "A", number: 1 }],
    "one number for what is left",
  );
});

test("a set is told anew where that is shorter than its difference", () => {
  const [a, b] = [new Site("A"), new Site("B")];
  a.does(setOf("u", "v", "w", "x"));
  b.takes(a);
  a.does(without("u"));
  a.does(setOf("y"));
  b.takes(a);
  assert.deepEqual(b.corrections.slice(-2), [
    { type: "orset", cleared: false, removed: ["u"], added: [] },
    { type: "orset", cleared: false, removed: [], added: ["y"] },
  ]);
  a.does({ type: "orset", cleared: true, removed: [], added: ["w", "x"] });
  a.does(setOf("z"));
  b.command();
  b.takes(a);
  b.answered();
  a.does({ type: "orset", cleared: true, removed: [], added: ["q"] });
  b.takes(a);
  assert.deepEqual(b.corrections.at(-1), { type: "orset", cleared: true, removed: [], added: ["q"] });
  a.does({ type: "orset", cleared: true, removed: [], added: [] });
  b.takes(a);
  assert.deepEqual(b.corrections.at(-1), { type: "orset", cleared: true, removed: [], added: [] });
});

test("a set is told by its difference where that is no longer than the set", () => {
  const [a, b] = [new Site("A"), new Site("B")];
  a.does(setOf("u", "v"));
  b.takes(a);
  a.does({ type: "orset", cleared: false, removed: ["u"], added: ["w"] });
  b.takes(a);
  assert.deepEqual(b.corrections.at(-1), { type: "orset", cleared: false, removed: ["u"], added: ["w"] });
});

test("a change of thousands of elements is told like any other", () => {
  const dots: Dots = {
    replica: "A",
    next: (
      (last) => () =>
        (last += 1)
    )(0),
  };
  const seat = { self: "B", members: new Set(["B"]) };
  const table = new Table();
  const belief = new Belief();
  assert.equal(belief.catchUp(table, seat), undefined);
  for (const prefix of ["x", "y"]) {
    const names = Array.from({ length: 5_000 }, (_, index) => `${prefix}${index}`);
    belief.touch(table.apply(mutate(setOf(...names), table, dots, 0)));
    assert.deepEqual(belief.catchUp(table, seat), setOf(...names.sort()));
    assert.deepEqual(belief.value, view(table, seat));
  }
});

test("a key whose type changed is told as removed and added", () => {
  const [a, b] = [new Site("A"), new Site("B")];
  a.does(added({ key: "k", operation: counted(1n) }, { key: "l", operation: counted(1n) }));
  b.takes(a);
  a.does(removedAnd("k", setOf("x")));
  b.takes(a);
  assert.deepEqual(b.corrections.at(-1), removedAnd("k", setOf("x")));
  a.does(removed("k", "l"));
  b.takes(a);
  assert.deepEqual(b.corrections.at(-1), { type: "ormap", cleared: true, removed: [], updated: [], added: [] });
});

test("types made at one key at once live side by side, the first shows, and a removal takes all that it saw", () => {
  const [a, b] = [new Site("A"), new Site("B")];
  a.does(make(setOf("x")));
  b.does(make(counted(3n)));
  settleAll([a, b]);
  assert.deepEqual(a.value, b.value);
  b.does(update(counted(1n)));
  b.does(added({ key: "other", operation: flagged(true) }));
  b.does(removed("o"));
  settleAll([a, b]);
  assert.deepEqual(a.value, { type: "ormap", entries: new Map([["other", { type: "flag", value: true }]]) });
});

test("of root types made at once the first shows, and the other function's stream begins again", () => {
  const [a, b] = [new Site("A"), new Site("B")];
  a.does(setOf("x"));
  b.does(counted(3n));
  settleAll([a, b]);
  assert.deepEqual(a.copy, { type: "pncounter", value: 3n });
  assert.equal(a.corrections.at(-1), "restart");
  assert.deepEqual(b.copy, a.copy);
});

test("stamps of registers follow their clock, from 0 where there was no register", () => {
  const stamps = (operation: Operation, nowMs: number, current?: bigint): bigint => {
    const site = new Site("A");
    if (current !== undefined) site.does(written("before", current));
    const { adds } = mutate(operation, site.known, { replica: "A", next: () => 9 }, nowMs);
    const { content } = adds[0]!;
    return content.type === "value" ? content.stamp : assert.fail("no value");
  };
  assert.equal(stamps(written("x", 0n, "default"), 1_000), 1_000n);
  assert.equal(stamps(written("x", 0n, "default"), 1_000, 5_000n), 5_001n);
  assert.equal(stamps(written("x", 0n, "reverse"), 1_000), -1_000n);
  assert.equal(stamps(written("x", 0n, "reverse"), 1_000, -5_000n), -5_001n);
  assert.equal(stamps(written("x", 7n, "custom"), 1_000, 50n), 7n);
  assert.equal(stamps(written("x", 7n, "custom-auto-increment"), 1_000), 7n);
  assert.equal(stamps(written("x", 7n, "custom-auto-increment"), 1_000, 7n), 8n);
  assert.equal(stamps(written("x", 0n, "custom-auto-increment"), 1_000), 1n);
  assert.equal(stamps(written("x", 9n, "custom-auto-increment"), 1_000, 7n), 9n);
});

test("of equal stamps the lower replica's shows, and of one replica's the later", () => {
  const [a, b] = [new Site("A"), new Site("B")];
  b.does(written("of B", 5n));
  a.does(written("of A", 5n));
  settleAll([a, b]);
  for (const site of [a, b]) assert.deepEqual(site.copy, { type: "lwwregister", value: "of A" });
  a.does(written("again", 5n));
  b.takes(a);
  assert.deepEqual(b.copy, { type: "lwwregister", value: "again" });
  b.does(written("of B", 5n));
  assert.deepEqual(b.copy, { type: "lwwregister", value: "again" }, "overruled, and told so");
});

test("what is said again takes the place of what was seen", () => {
  for (const [operation, size] of [
    [setOf("x"), 1],
    [{ type: "gset", added: ["x", "x"] }, 1],
    [flagged(true), 1],
    [voted(true), 1],
    [counted(1n), 2],
  ] as const satisfies readonly (readonly [Operation, number])[]) {
    const site = new Site("A");
    site.does(operation);
    site.does(operation);
    assert.equal(site.table.size, size, operation.type);
  }
});

test("a write that loses drops what it saw but for the winner", () => {
  const site = new Site("A");
  for (const [value, stamp] of [
    ["winner", 9n],
    ["first loser", 5n],
    ["second loser", 7n],
  ] as const) {
    site.does(written(value, stamp));
  }
  const values = [...site.table.entries()].map(({ content }) =>
    content.type === "value" ? content.value : content.type,
  );
  assert.deepEqual(values, ["winner", "second loser"]);
});

test("of two rows of one owner the later counts, in whatever order they lie", () => {
  const rows = [entry(1, ["vote"], { type: "vote", vote: true }), entry(2, ["vote"], { type: "vote", vote: false })];
  for (const entries of [rows, rows.toReversed()]) {
    const shown = view(new Table(entries), { self: "A", members: new Set(["A"]) });
    assert.deepEqual(shown, { type: "vote", selfVote: false, votesFor: 0, totalVoters: 1 });
  }
});

test("counters wrap like the wire's 64 bits", () => {
  const site = new Site("A");
  const top = 2n ** 63n - 1n;
  for (const operation of [grown(top), grown(top), grown(1n)]) site.does(operation);
  assert.deepEqual(site.value, { type: "gcounter", value: 2n ** 64n - 1n });
  const up = new Belief();
  for (const operation of [counted(top), counted(1n)]) up.own(operation);
  assert.deepEqual(up.value, { type: "pncounter", value: -(2n ** 63n) });
});

test("votes of members count, and a change of members alone is told", () => {
  const both = new Set(["A", "B"]);
  const [a, b] = [new Site("A", {}, both), new Site("B", {}, both)];
  a.does(voted(true));
  assert.deepEqual(a.corrections.at(-1), { type: "vote", selfVote: true, votesFor: 1, totalVoters: 2 });
  b.takes(a);
  assert.deepEqual(b.copy, { type: "vote", selfVote: false, votesFor: 1, totalVoters: 2 });
  b.does(voted(true));
  settleAll([a, b]);
  assert.deepEqual(a.copy, { type: "vote", selfVote: true, votesFor: 2, totalVoters: 2 });
  a.members = new Set(["A"]);
  a.catchUp();
  assert.deepEqual(a.corrections.at(-1), { type: "vote", selfVote: true, votesFor: 1, totalVoters: 1 });
  const alone = new Site("C", {}, new Set(["C"]));
  alone.does(voted(true));
  assert.equal(alone.corrections.at(-1), undefined, "alone, a function knows the outcome of its own vote");
});

function change(from: number, to: number, adds: readonly Entry[], drops: NumberedChange["drops"] = []): NumberedChange {
  return { entity: "e", from, to, drops, adds };
}

function entry(number: number, path: Path, content: Entry["content"]): Entry {
  return { dot: { replica: "A", number }, path, content };
}

test("unsent amounts of one path leave as one, under the last number, and the runs stay whole", () => {
  const amount = (number: number, path: Path): Entry => entry(number, path, { type: "amount", amount: BigInt(number) });
  const seen = { replica: "B", number: 9 };
  const presence = entry(3, ["orset"], { type: "presence" });
  const changes = [
    change(1, 1, [amount(1, ["pncounter"])], [seen]),
    change(2, 2, [amount(2, ["ormap", "k", "pncounter"])]),
    change(3, 3, [presence]),
    change(4, 4, [amount(4, ["pncounter"])]),
    change(5, 6, [amount(6, ["pncounter"])], [{ replica: "A", number: 4 }]),
    { ...change(7, 7, [amount(7, ["pncounter"])]), entity: "f" },
  ];
  const { changes: folded, folds } = foldUnsent(changes);
  const sum = entry(6, ["pncounter"], { type: "amount", amount: 7n });
  assert.deepEqual(folded, [
    change(1, 1, [], [seen]),
    changes[1],
    changes[2],
    change(4, 4, []),
    change(5, 6, [sum]),
    changes[5],
  ]);
  assert.deepEqual(folds, [{ entity: "e", gone: [{ replica: "A", number: 1 }], entry: sum }]);
});

test("amounts named after messages are not folded, and a repair brings them in full", () => {
  const named = [0, 1].map((index): Entry => {
    return { ...entry(1, ["pncounter"], { type: "amount", amount: 1n }), dot: { source: "s", offset: 5n, index } };
  });
  const changes = [change(1, 1, named)];
  assert.deepEqual(foldUnsent(changes), { changes, folds: [] });
  const table = new Table(named);
  const all = { covers: () => true };
  assert.deepEqual(since(table, all), { entries: named, kept: [] });
});

test("what a function knew lists each step once, though one of its dots went meanwhile", () => {
  const [one, two] = [1, 2].map((number) => entry(number, ["orset", "x"], { type: "element" })) as [Entry, Entry];
  const table = new Table([one, two]);
  const known = new Known(table);
  known.note(table.apply({ drops: [one.dot], adds: [entry(3, ["orset", "y"], { type: "element" })] }));
  assert.deepEqual([...known.steps(["orset"])], ["x"]);
  assert.equal(known.stepCount(["orset"]), 1);
  assert.deepEqual(new Set(known.under([])), new Set([one, two]));
});

test("own sent amounts beyond the limit give way to their sum; others' stay", () => {
  const table = new Table();
  const path = ["ormap", "k", "gcounter"];
  table.apply({ drops: [], adds: [1, 2, 3].map((number) => entry(number, path, { type: "amount", amount: 2n })) });
  table.apply({
    drops: [],
    adds: [{ ...entry(0, path, { type: "amount", amount: 5n }), dot: { replica: "B", number: 1 } }],
  });
  const dots = { replica: "A", next: () => 4 };
  assert.equal(foldSent(table, "A", 3, dots), undefined);
  const fold = foldSent(table, "A", 2, dots)!;
  assert.deepEqual(fold.adds, [entry(4, path, { type: "amount", amount: 6n })]);
  table.apply(fold);
  assert.equal(table.size, 2);
});

test("a removal out while own amounts are folded takes the fold too", () => {
  const [a, b] = [new Site("A"), new Site("B")];
  a.does(make(counted(1n)));
  for (let more = 3; more > 0; more -= 1) {
    a.flush();
    a.does(update(counted(1n)));
  }
  a.command();
  a.folds(1);
  a.does(removed("o"));
  a.answered();
  b.takes(a);
  assert.deepEqual(b.value, { type: "ormap", entries: new Map() });
  assert.deepEqual(a.copy, b.value);
});

/** Counts what is read of a table. */
class Counted implements Reading {
  reads = 0;
  readonly #table: Table;

  constructor(table: Table) {
    this.#table = table;
  }

  *here(path: Path): Iterable<Entry> {
    for (const held of this.#table.here(path)) {
      this.reads += 1;
      yield held;
    }
  }

  *steps(path: Path): Iterable<string> {
    for (const step of this.#table.steps(path)) {
      this.reads += 1;
      yield step;
    }
  }

  stepCount(path: Path): number {
    return this.#table.stepCount(path);
  }

  *under(path: Path): Iterable<Entry> {
    for (const held of this.#table.under(path)) {
      this.reads += 1;
      yield held;
    }
  }

  count(path: Path): number {
    return this.#table.count(path);
  }
}

test("an update of one key in a map of 10,000 reads what it touches, and no more", () => {
  let last = 0;
  const dots = { replica: "A", next: () => (last += 1) };
  const seat = { self: "A", members: new Set(["A"]) };
  const table = new Table();
  const entries = Array.from({ length: 10_000 }, (_, index) => ({ key: `k${index}`, operation: counted(1n) }));
  table.apply(mutate(added(...entries), table, dots, 0));
  const reading = new Counted(table);
  const belief = new Belief();
  belief.catchUp(reading, seat);
  assert.ok(reading.reads >= 20_000, "the first look is whole");
  reading.reads = 0;
  const known = new Known(reading);
  const effect: Effect = mutate(updated({ key: "k77", operation: counted(2n) }), known, dots, 0);
  belief.touch(table.apply(effect));
  assert.deepEqual(belief.catchUp(reading, seat), updated({ key: "k77", operation: counted(2n) }));
  assert.ok(reading.reads < 30, `${reading.reads} reads`);
  for (let index = 0; index < 100; index += 1) {
    const operation = updated({ key: `k${index}`, operation: counted(2n) });
    belief.touch(table.apply(mutate(operation, known, dots, 0)));
    belief.own(operation);
    reading.reads = 0;
    assert.equal(belief.catchUp(reading, seat), undefined);
    assert.ok(reading.reads < 30, `${reading.reads} reads`);
  }
  assert.deepEqual(belief.value, view(table, seat));
});

test("the package is usable alone, as its entry shows", async () => {
  const massa = await import("massa/crdt");
  let last = 0;
  const table = new massa.Table();
  const dots = { replica: "5d41402abc4b2a76b9719d911017c592", next: () => ++last };
  table.apply(massa.mutate({ type: "pncounter", change: 3n }, new massa.Known(table), dots, Date.now()));
  const seat = { self: dots.replica, members: new Set([dots.replica]) };
  assert.deepEqual(massa.view(table, seat), { type: "pncounter", value: 3n });
});

test("maps are at most 32 deep", () => {
  let operation: Operation = flagged(true);
  for (let depth = 0; depth < 32; depth += 1) operation = added({ key: "k", operation });
  assert.equal(refusal([], operation), "not refused");
  assert.match(refusal([], added({ key: "k", operation })), /at most 32 deep/);
});
