import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Entry, Kind, NumberedChange, Repair, Seat, State, Value } from "../crdt/index.ts";
import {
  believe,
  decodeChanges,
  decodeClock,
  decodeRepair,
  diff,
  digest,
  dotKey,
  encodeChanges,
  encodeClock,
  encodeRepair,
  gather,
  initial,
  join,
  Refusal,
  since,
  slices,
  Table,
  view,
} from "../crdt/index.ts";
import { BrokenLaw, checkLaws } from "../lib/testing/laws.ts";
import type { Step } from "./crdt-arbitrary.ts";
import { kinds, stepsOf } from "./crdt-arbitrary.ts";
import { copyTold, entriesOf, rebuilt, Site } from "./crdt-world.ts";

const every: readonly Step["type"][] = ["does", "deletes", "command", "answered", "takes", "repairs", "folds", "flush"];
const seat: Seat = { self: "A", members: new Set(["A", "B"]) };

for (const kind of kinds) provesLaws(kind, [kind], kind === "ormap" ? 300 : 120);
provesLaws("roots of several types", ["gset", "flag", "ormap", "vote"], 200);

/** The laws that every type owes. */
function provesLaws(name: string, roots: readonly Kind[], numRuns: number): void {
  const law = (title: string, holds: (x: Some, y: Some, z: Some) => void): void => {
    test(`${name}: ${title}`, () => {
      fc.assert(
        fc.property(stepsOf(roots, every), subset, subset, subset, (steps, x, y, z) => {
          const changes = changesOf(steps);
          holds(someOf(changes, x), someOf(changes, y), someOf(changes, z));
        }),
        { numRuns },
      );
    });
  };
  law("join is associative, commutative and idempotent", (x, y, z) => {
    checkLaws<State>({ join, same }, [x, y, z]);
  });
  law("the join of two states is the state of all their changes", (x, y) => {
    same(join(x, y), someOf([...new Set([...x.changes, ...y.changes])]));
  });
  law("a repair brings what the join would, and leaves what it gained and lost", (x, y) => {
    const table = new Table(x.live.values());
    const before = [...table.entries()];
    const applied = table.joinInto(x.seen, since(new Table(y.live.values()), x.seen), y.seen);
    assert.deepEqual(entriesOf(table), liveOf(join(x, y)));
    const lost = new Set(applied.lost);
    assert.deepEqual(
      entriesOf(new Table([...before.filter((entry) => !lost.has(entry)), ...applied.gained])),
      entriesOf(table),
    );
  });
  law("a whole table joined in, or a repair read for an earlier asker, brings the same", (x, y, z) => {
    const later = join(x, z);
    for (const repair of [{ entries: [...y.live.values()], kept: [] }, since(new Table(y.live.values()), x.seen)]) {
      const table = new Table(later.live.values());
      table.joinInto(later.seen, repair, y.seen);
      assert.deepEqual(entriesOf(table), liveOf(join(later, y)));
    }
  });
  law("slices in any order and doubled, encoded and gathered, are the repair", (x, y) => {
    const repair = since(new Table(x.live.values()), y.seen);
    const parts = slices(repair, 160).map(encodeRepair);
    for (const part of parts)
      assert.ok(part.length <= 160 || decodeRepair(part).entries.length === 1, `${part.length} bytes`);
    const gathered = gather([...parts.reverse(), ...parts].map((part) => decodeRepair(part)));
    assert.deepEqual(sortedRepair(gathered), sortedRepair(repair));
  });
  law("equal tables have equal digests, and others do not", (x, y) => {
    const [left, right] = [new Table(x.live.values()), new Table([...y.live.values()].reverse())];
    const equal = JSON.stringify(liveOf(x), jsonBig) === JSON.stringify(liveOf(y), jsonBig);
    assert.equal(digest(left) === digest(right), equal);
  });
  law("a difference, told, makes the new view out of the old with what the wire can say", (x, y) => {
    const [before, after] = [viewOf(x), viewOf(y)];
    const correction = diff(before, after);
    if (correction === "delete") return assert.equal(after, undefined);
    if (correction === "restart") return assert.ok(shrank(before!, after!), "restarted without need");
    if (correction === undefined) return assert.deepEqual(before, after);
    assert.deepEqual(believe(before, correction), after);
    assert.deepEqual(copyTold(before, correction, "proxy"), after);
    assert.deepEqual(viewOf(x), before, "the value given stays as it is");
  });
  law("an initial delta makes the value out of nothing", (x) => {
    const value = viewOf(x);
    if (value === undefined) return;
    assert.deepEqual(rebuilt(value), value);
    assert.deepEqual(believe(undefined, initial(value)), value);
  });
  law("changes, repairs and clocks are encoded in one way only, and come back", (x) => {
    const bytes = encodeChanges(x.sequence);
    assert.deepEqual(decodeChanges(bytes).map(sortedChange), x.sequence.map(sortedChange));
    assert.deepEqual(encodeChanges(decodeChanges(bytes)), bytes);
    const repair = { entries: [...x.live.values()], kept: x.changes.flatMap((change) => change.drops) };
    const distinct = { ...repair, kept: [...new Map(repair.kept.map((dot) => [dotKey(dot), dot])).values()] };
    const encoded = encodeRepair(distinct);
    assert.deepEqual(encodeRepair({ entries: repair.entries.reverse(), kept: distinct.kept.reverse() }), encoded);
    assert.deepEqual(sortedRepair(decodeRepair(encoded)), sortedRepair(distinct));
    const clock = new Map(x.changes.map((change) => [change.entity, change.to]));
    assert.deepEqual(decodeClock(encodeClock(clock)), clock);
  });
}

test("a type that breaks a law is told which one", () => {
  const broken = (join: (left: number, right: number) => number) => () => checkLaws({ join }, [1, 2, 3]);
  const title = (text: string) => (error: unknown) => error instanceof BrokenLaw && error.message === text;
  broken(Math.max)();
  assert.throws(
    broken((left, right) => left + right),
    title("join is not idempotent"),
  );
  assert.throws(
    broken((left) => left),
    title("join is not commutative"),
  );
  const towardsTwo = (left: number, right: number) =>
    left === right ? left : left + right === 4 ? 2 : Math.max(left, right);
  assert.throws(broken(towardsTwo), title("join is not associative"));
});

test("replicas that lose, delay, repair and fold changes end up equal, and their functions with them", () => {
  for (const roots of [...kinds.map((kind) => [kind]), ["orset", "pncounter", "ormap"] as Kind[]]) {
    fc.assert(
      fc.property(stepsOf(roots, every, 40), (steps) => {
        const sites = play(steps, (site) =>
          assert.deepEqual(site.copy, site.value, "a function that is not busy is told all"),
        );
        for (const site of sites) site.answered();
        for (const site of sites) for (const other of sites) if (site !== other) site.takes(other);
        for (const site of sites) {
          assert.deepEqual(site.clock, sites[0]!.clock);
          assert.equal(site.ahead.size, 0, "nothing is left ahead");
          assert.deepEqual(entriesOf(site.table), entriesOf(sites[0]!.table));
          assert.deepEqual(site.copy, site.value);
          assert.deepEqual(site.belief.value, site.value);
        }
      }),
      { numRuns: roots.includes("ormap") ? 300 : 100 },
    );
  }
});

test("sums are exact however amounts are folded, where nothing is removed", () => {
  fc.assert(
    fc.property(stepsOf(["pncounter"], ["does", "takes", "repairs", "folds", "flush"], 60), (steps) => {
      const sites = play(steps, () => undefined);
      for (const site of sites) for (const other of sites) if (site !== other) site.takes(other);
      let sum = 0n;
      for (const step of steps)
        if (step.type === "does" && step.operation.type === "pncounter") sum += step.operation.change;
      const touched = steps.some((step) => step.type === "does");
      for (const site of sites) assert.deepEqual(site.value, touched ? { type: "pncounter", value: sum } : undefined);
    }),
    { numRuns: 200 },
  );
});

/** Bit by bit, which of a history's changes a state has: holes anywhere. */
const subset = fc.bigInt({ min: 0n, max: 2n ** 60n - 1n });

/** A state, and the changes that made it. */
interface Some extends State {
  readonly changes: readonly NumberedChange[];
  /** The same, as if one origin had made them one after the other. */
  readonly sequence: readonly NumberedChange[];
}

function someOf(all: readonly NumberedChange[], bits?: bigint): Some {
  const changes = bits === undefined ? all : all.filter((_, index) => (bits >> BigInt(index)) & 1n);
  const dropped = new Set(changes.flatMap((change) => change.drops.map(dotKey)));
  const live = new Map<string, Entry>();
  const seen = new Set(dropped);
  for (const entry of changes.flatMap((change) => change.adds)) {
    seen.add(dotKey(entry.dot));
    if (!dropped.has(dotKey(entry.dot))) live.set(dotKey(entry.dot), entry);
  }
  const sequence = changes
    .filter((change) => change.entity === changes[0]!.entity)
    .sort((left, right) => left.from - right.from);
  return { live, seen: { covers: (dot) => seen.has(dotKey(dot)) }, changes, sequence };
}

function play(steps: readonly Step[], idle: (site: Site) => void): Site[] {
  const sites = ["A", "B", "C"].map((id) => new Site(id, {}, seat.members));
  const busy = new Set<Site>();
  for (const [nowMs, step] of steps.entries()) {
    const site = sites[step.site]!;
    site.nowMs = nowMs;
    playStep(sites, site, step);
    if (step.type === "command") busy.add(site);
    if (step.type === "answered" || step.type === "deletes") busy.delete(site);
    if (!busy.has(site)) idle(site);
  }
  return sites;
}

function playStep(sites: readonly Site[], site: Site, step: Step): void {
  switch (step.type) {
    case "does":
      try {
        return site.does(step.operation);
      } catch (refusal) {
        if (refusal instanceof Refusal) return;
        throw refusal;
      }
    case "deletes":
      return site.deletes();
    case "command":
      return site.command();
    case "answered":
      return site.answered();
    case "flush":
      return site.flush();
    case "folds":
      return site.folds(step.limit);
    case "takes":
      return sites[step.other] === site ? undefined : site.takes(sites[step.other]!, step.count);
    case "repairs":
      return sites[step.other] === site ? undefined : site.repairsFrom(sites[step.other]!);
  }
}

/** What three sites sent; the entity's name is the origin's, so that a state can be split by origin. */
function changesOf(steps: readonly Step[]): NumberedChange[] {
  const sites = play(steps, () => undefined);
  for (const site of sites) site.flush();
  return sites.flatMap((site) => site.sent.map((change) => ({ ...change, entity: site.id })));
}

function same(left: State, right: State): void {
  assert.deepEqual(liveOf(left), liveOf(right));
  for (const { dot } of [...left.live.values(), ...right.live.values()]) {
    assert.equal(left.seen.covers(dot), right.seen.covers(dot));
  }
}

function liveOf(state: State): unknown[] {
  return entriesOf(new Table(state.live.values()));
}

function viewOf(state: State): Value | undefined {
  return view(new Table(state.live.values()), seat);
}

function shrank(before: Value, after: Value): boolean {
  if (before.type !== after.type) return true;
  if (before.type === "gcounter" && after.type === "gcounter") return after.value < before.value;
  if (before.type === "flag" && after.type === "flag") return before.value && !after.value;
  return (
    before.type === "gset" && after.type === "gset" && [...before.elements].some((held) => !after.elements.has(held))
  );
}

function sortedRepair({ entries, kept }: Repair): unknown {
  return { entries: entriesOf(new Table(entries)), kept: kept.map(dotKey).sort() };
}

function sortedChange({ adds, drops, ...run }: NumberedChange): unknown {
  return { ...run, adds: entriesOf(new Table(adds)), drops: drops.map(dotKey).sort() };
}

function jsonBig(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
