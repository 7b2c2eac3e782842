import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation, Value } from "../crdt/index.ts";
import { diff, digest } from "../crdt/index.ts";
import {
  counted,
  flagged,
  grown,
  inner,
  make,
  removed,
  removeInner,
  setOf,
  update,
  without,
  written,
} from "./crdt-operations.ts";
import {
  elementsKeepDots,
  joinThatChooses,
  losersAreNot,
  merged,
  noPresence,
  overwritesAll,
  shareByMaximum,
  snapshotDiff,
} from "./crdt-mutants.ts";
import type { Rules } from "./crdt-world.ts";
import { entriesOf, settleAll, Site } from "./crdt-world.ts";

/** A named history holds under the right rules, and each naive rule given with it must break it. */
function history(
  name: string,
  run: (rules: Partial<Rules>) => void,
  mutants: Readonly<Record<string, Partial<Rules>>>,
): void {
  test(name, () => run({}));
  for (const [mutant, rules] of Object.entries(mutants)) {
    test(`${name}: catches ${mutant}`, () => {
      assert.throws(() => run(rules), assert.AssertionError);
    });
  }
}

const elements = (...names: string[]): Value => ({ type: "orset", elements: new Set(names) });
const count = (value: bigint): Value => ({ type: "pncounter", value });

/** Sites that all hold what the first made. */
function sharing(rules: Partial<Rules>, names: string, operation: Operation): Site[] {
  const sites = Array.from(names, (name) => new Site(name, rules));
  sites[0]!.does(operation);
  settleAll(sites);
  return sites;
}

function agreed(sites: readonly Site[], expected: Value | undefined): void {
  for (const site of sites) {
    assert.deepEqual(entriesOf(site.table), entriesOf(sites[0]!.table), `${site.id} holds what ${sites[0]!.id} holds`);
    assert.equal(digest(site.table), digest(sites[0]!.table));
    assert.deepEqual(inner(site.value), expected, `what ${site.id} shows`);
    assert.deepEqual(site.copy, site.value, `what the function of ${site.id} holds`);
  }
}

history(
  "H4 a removal whose batch was lost comes with the repair, though no live dot of it remains",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(setOf("x", "y"))) as [Site, Site];
    a.does(update(without("x")));
    assert.notEqual(digest(a.table), digest(b.table));
    b.repairsFrom(a);
    agreed([a, b], elements("y"));
    a.does(update(setOf("y")));
    b.repairsFrom(a);
    agreed([a, b], elements("y"));
  },
  {
    "a repair that only adds": { otherSeen: () => ({ covers: () => false }) },
    "a repair that leaves out the names of what is still live": {
      since: (table, asker) => ({ entries: [...table.entries()].filter(({ dot }) => !asker.covers(dot)), kept: [] }),
    },
  },
);

history(
  "H4 an add and a later removal of the whole key leave nothing to repair",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(counted(5n))) as [Site, Site];
    a.does(removeInner);
    a.does(removed("o"));
    b.repairsFrom(a);
    agreed([a, b], undefined);
    assert.equal(b.table.size, 1);
    a.deletes();
    b.repairsFrom(a);
    assert.equal(b.table.size, 0);
    assert.equal(b.copy, undefined);
  },
  { "a repair that only adds": { otherSeen: () => ({ covers: () => false }) } },
);

history(
  "H8a a removal does not take what its function had not seen",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(setOf("x"))) as [Site, Site];
    a.command();
    b.does(update(setOf("x")));
    a.takes(b);
    a.does(update(without("x")));
    a.answered();
    b.takes(a);
    agreed([a, b], elements("x"));
  },
  { "a change applied to the merged state": merged },
);

history(
  "H8b an update of a key that was removed meanwhile makes it again, with just that update",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(counted(5n))) as [Site, Site];
    a.command();
    b.does(removeInner);
    a.takes(b);
    a.does(update(counted(1n)));
    a.answered();
    b.takes(a);
    agreed([a, b], count(1n));
  },
  { "a change applied to the merged state": merged },
);

/** Told as if nothing could shrink: the nested difference as an update, whatever its sign. */
const onlyUpdates: Partial<Rules> = {
  correct(site) {
    const now = inner(site.value);
    const held = inner(site.copy);
    if (now?.type === "gcounter" && held?.type === "gcounter" && now.value !== held.value) {
      return update(grown(now.value - held.value));
    }
    return undefined;
  },
};

history(
  "H8c a nested counter that shrank is told as removed and added",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(grown(5n))) as [Site, Site];
    a.command();
    b.does(removeInner);
    b.does(update(grown(1n)));
    b.does(make(grown(3n)));
    a.takes(b);
    a.answered();
    agreed([a, b], { type: "gcounter", value: 3n });
    assert.deepEqual(
      a.corrections.at(-1),
      updateOuter({ removed: ["i"], added: [{ key: "i", operation: { type: "gcounter", increment: 3n } }] }),
    );
  },
  { "a difference told as an update": onlyUpdates },
);

function updateOuter(part: { removed: string[]; added: { key: string; operation: Operation }[] }): Operation {
  const operation: Operation = { type: "ormap", cleared: false, updated: [], ...part };
  return { type: "ormap", cleared: false, removed: [], added: [], updated: [{ key: "o", operation }] };
}

for (const [name, before, after] of [
  ["counter", grown(5n), grown(3n)],
  ["set", { type: "gset", added: ["x", "y"] }, { type: "gset", added: ["x"] }],
  ["flag", flagged(true), flagged(false)],
] as const) {
  history(
    `H8c a ${name} at the root that shrank restarts the stream`,
    (rules) => {
      const [a, b] = sharing(rules, "AB", before) as [Site, Site];
      a.command();
      b.deletes();
      b.does(after);
      a.takes(b);
      a.answered();
      assert.deepEqual(a.copy, b.value);
      assert.equal(a.corrections.at(-1), "restart");
    },
    {
      "a difference told as a new beginning": {
        correct: (site) => {
          const correction = diff(site.copy, site.value);
          return correction === "restart" ? after : correction;
        },
      },
    },
  );
}

history(
  "H9 a removal takes exactly the amounts it saw",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(counted(5n))) as [Site, Site];
    b.does(update(counted(2n)));
    settleAll([a, b]);
    b.does(removeInner);
    a.does(update(counted(3n)));
    settleAll([a, b]);
    agreed([a, b], count(3n));
  },
  { "a share by maximum": shareByMaximum },
);

history(
  "H9 sixteen increments that a removal saw do not come back with a seventeenth",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(counted(1n))) as [Site, Site];
    for (let more = 15; more > 0; more -= 1) {
      a.does(update(counted(1n)));
      a.flush();
    }
    b.takes(a);
    b.does(removeInner);
    a.does(update(counted(1n)));
    settleAll([a, b]);
    agreed([a, b], count(1n));
  },
  { "sent dots folded freely": { rewrite: (site) => site.folds(1) } },
);

history(
  "H10 of two concurrent writes the one that lost shows when the other is removed, in whatever order they came",
  (rules) => {
    const [a, b, c, d, e] = Array.from("ABCDE", (name) => new Site(name, rules)) as [Site, Site, Site, Site, Site];
    a.does(make(written("of A", 5n)));
    b.does(make(written("of B", 7n)));
    c.takes(b);
    c.does(removeInner);
    for (const other of [a, b]) d.takes(other);
    assert.deepEqual(inner(d.value), { type: "lwwregister", value: "of B" });
    d.takes(c);
    for (const other of [b, c, a]) e.takes(other);
    agreed([d, e], { type: "lwwregister", value: "of A" });
  },
  { "a join that chooses": joinThatChooses },
);

history(
  "H17a an amount that was read is not added to any more",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(counted(0n))) as [Site, Site];
    a.does(update(counted(5n)));
    b.repairsFrom(a);
    a.does(update(counted(3n)));
    settleAll([a, b]);
    agreed([a, b], count(8n));
  },
  { "a repair answered before the flush": { flushBeforeRepair: false } },
);

history(
  "H17b a key from which everything was removed, by two at once, is still there",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(setOf("x", "y"))) as [Site, Site];
    a.does(update(without("x")));
    b.does(update(without("y")));
    settleAll([a, b]);
    agreed([a, b], elements());
  },
  { "no presence dot": noPresence },
);

history(
  "H17b a nested removal keeps a key that is removed at the same time",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(setOf("x", "y"))) as [Site, Site];
    a.does(update(without("x")));
    b.does(removed("o"));
    settleAll([a, b]);
    agreed([a, b], elements());
  },
  { "no presence dot": noPresence },
);

const losing: Operation = update(written("late", 0n, "reverse"));

history(
  "H17c a write that loses drops nothing that beats it",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(written("first", 4n))) as [Site, Site];
    a.does(losing);
    settleAll([a, b]);
    agreed([a, b], { type: "lwwregister", value: "first" });
  },
  { "a write that drops all it saw": overwritesAll },
);

history(
  "H17c a write that loses is there when the winner is removed",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(written("first", 4n))) as [Site, Site];
    a.does(losing);
    b.does(removeInner);
    settleAll([a, b]);
    agreed([a, b], { type: "lwwregister", value: "late" });
  },
  { "a losing write kept as presence alone": losersAreNot },
);

history(
  "H17d a function whose write lost is told the value that stands",
  (rules) => {
    const [a] = sharing(rules, "A", make(written("first", 4n))) as [Site];
    a.command();
    a.does(losing);
    assert.deepEqual(inner(a.copy), { type: "lwwregister", value: "late" });
    a.answered();
    agreed([a], { type: "lwwregister", value: "first" });
  },
  { "a difference from the snapshot's view": snapshotDiff },
);

history(
  "H17e an element that is added again outlives a removal that did not see that",
  (rules) => {
    const [a, b] = sharing(rules, "AB", make(setOf("x"))) as [Site, Site];
    a.does(update(setOf("x")));
    b.does(update(without("x")));
    settleAll([a, b]);
    agreed([a, b], elements("x"));
  },
  {
    "an element that keeps the dot it has": elementsKeepDots,
  },
);
