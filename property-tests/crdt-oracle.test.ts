import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Kind, Operation } from "../crdt/index.ts";
import { Refusal, view } from "../crdt/index.ts";
import type { Step } from "./crdt-arbitrary.ts";
import { kinds, stepsOf } from "./crdt-arbitrary.ts";
import { Oracle, OracleRefusal } from "./crdt-oracle.ts";
import {
  elementsKeepDots,
  joinThatChooses,
  merged,
  noPresence,
  overwritesAll,
  shareByMaximum,
} from "./crdt-mutants.ts";
import type { Rules } from "./crdt-world.ts";
import { Site } from "./crdt-world.ts";

const members: ReadonlySet<string> = new Set(["A", "B"]);

/** A site beside what the oracle holds it to have seen. */
interface Watched {
  readonly site: Site;
  readonly seen: Set<number>;
  known: Set<number>;
  held: boolean;
  /** Its own events, each with the change that carried it. */
  readonly own: number[];
}

const told: readonly Step["type"][] = ["does", "deletes", "command", "answered", "takes"];

for (const kind of kinds) {
  test(`${kind}: a replica and its function show what the history of operations says`, () => {
    fc.assert(
      fc.property(stepsOf([kind], told), (steps) => runs(steps)),
      { numRuns: kind === "ormap" ? 1_000 : 300 },
    );
  });
}

test("roots of several types: a replica and its function show what the history of operations says", () => {
  const steps = stepsOf(["orset", "pncounter", "ormap"], told);
  fc.assert(
    fc.property(steps, (steps) => runs(steps)),
    { numRuns: 500 },
  );
});

const mutants: Readonly<Record<string, readonly [Kind, Partial<Rules>]>> = {
  "a change applied to the merged state": ["orset", merged],
  "a share by maximum": ["ormap", shareByMaximum],
  "no presence dot": ["ormap", noPresence],
  "a join that chooses": ["lwwregister", joinThatChooses],
  "a write that drops all it saw": ["lwwregister", overwritesAll],
  "an element that keeps the dot it has": ["orset", elementsKeepDots],
};

for (const [name, [kind, rules]] of Object.entries(mutants)) {
  test(`the history of operations catches ${name}`, () => {
    const property = fc.property(stepsOf([kind], told), (steps) => runs(steps, rules));
    const { failed, errorInstance } = fc.check(property, { numRuns: 5_000, seed: 7, endOnFailure: true });
    assert.ok(failed, "no history found it");
    assert.ok(errorInstance instanceof assert.AssertionError, String(errorInstance));
  });
}

function runs(steps: readonly Step[], rules: Partial<Rules> = {}): void {
  const oracle = new Oracle();
  const all = ["A", "B", "C"].map((id): Watched => {
    return { site: new Site(id, rules, members), seen: new Set(), known: new Set(), held: false, own: [] };
  });
  for (const [nowMs, step] of steps.entries()) {
    const watched = all[step.site]!;
    watched.site.nowMs = nowMs;
    takeStep(oracle, all, watched, step);
    assert.deepEqual(watched.site.value, oracle.view(watched.seen, watched.site.id, members), "what the replica shows");
    const known = watched.held ? watched.known : watched.seen;
    const believed = oracle.view(known, watched.site.id, members);
    assert.deepEqual(view(watched.site.known, watched.site.seat), believed, "what the function knew");
  }
}

function takeStep(oracle: Oracle, all: readonly Watched[], watched: Watched, step: Step): void {
  switch (step.type) {
    case "does":
      return acts(oracle, watched, step.operation);
    case "deletes":
      acts(oracle, watched, "delete");
      watched.held = false;
      return;
    case "command":
      watched.site.command();
      watched.known = new Set(watched.seen);
      watched.held = true;
      return;
    case "answered":
      watched.site.answered();
      watched.held = false;
      return;
    case "takes":
      for (let count = step.count; count > 0; count -= 1) takesNext(oracle, watched, all[step.other]!);
      return;
    case "flush":
    case "repairs":
    case "folds":
      throw new Error(`the oracle knows nothing of ${step.type}`);
  }
}

function acts(oracle: Oracle, watched: Watched, operation: Operation | "delete"): void {
  const { site, seen, known, held } = watched;
  let refused = false;
  try {
    const event = oracle.does(site.id, operation, held ? known : seen, site.nowMs);
    watched.own.push(event);
    seen.add(event);
    known.add(event);
  } catch (refusal) {
    if (!(refusal instanceof OracleRefusal)) throw refusal;
    refused = true;
  }
  if (operation === "delete") site.deletes();
  else if (refused) assert.throws(() => site.does(operation), Refusal);
  else site.does(operation);
  site.flush();
}

/** Takes the next event of another if all that it had seen is here. */
function takesNext(oracle: Oracle, watched: Watched, other: Watched): void {
  const next = other === watched ? undefined : other.own.find((event) => !watched.seen.has(event));
  if (next === undefined || ![...oracle.saw(next)].every((event) => watched.seen.has(event))) return;
  watched.site.takes(other.site, 1);
  watched.seen.add(next);
}
