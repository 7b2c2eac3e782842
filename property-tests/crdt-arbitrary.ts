import fc from "fast-check";
import type { Kind, Operation } from "../crdt/index.ts";

export const kinds: readonly Kind[] = [
  "gcounter",
  "pncounter",
  "gset",
  "orset",
  "lwwregister",
  "flag",
  "ormap",
  "vote",
];

const key = fc.constantFrom("k", "l");
const element = fc.constantFrom("x", "y", "z");
const some = fc.array(element, { maxLength: 3 });

/** An operation of one kind; of maps, nested down to a depth. */
export function operationOf(kind: Kind, depth = 2): fc.Arbitrary<Operation> {
  switch (kind) {
    case "gcounter":
      return fc.record({ type: fc.constant(kind), increment: fc.bigInt({ min: 0n, max: 5n }) });
    case "pncounter":
      return fc.record({ type: fc.constant(kind), change: fc.bigInt({ min: -5n, max: 5n }) });
    case "gset":
      return fc.record({ type: fc.constant(kind), added: some });
    case "orset":
      return fc.record({ type: fc.constant(kind), cleared: rarely, removed: some, added: some });
    case "lwwregister":
      return fc.record({
        type: fc.constant(kind),
        value: element,
        clock: fc.constantFrom("default", "reverse", "custom", "custom-auto-increment"),
        customClock: fc.bigInt({ min: -3n, max: 9n }),
      });
    case "flag":
      return fc.record({ type: fc.constant(kind), value: fc.boolean() });
    case "ormap":
      return mapOperation(depth);
    case "vote":
      return fc.record({
        type: fc.constant(kind),
        selfVote: fc.boolean(),
        votesFor: fc.constant(0),
        totalVoters: fc.constant(0),
      });
  }
}

const rarely = fc.integer({ min: 0, max: 5 }).map((number) => number === 0);

function mapOperation(depth: number): fc.Arbitrary<Operation> {
  const nested =
    depth > 0 ? fc.constantFrom<Kind[]>("ormap", "orset", "pncounter", "gcounter") : fc.constantFrom(...leaves);
  const entry = fc.oneof({ weight: 4, arbitrary: nested }, { weight: 1, arbitrary: fc.constantFrom(...leaves) });
  const keyed = entry.chain((kind) => fc.record({ key, operation: operationOf(kind, depth - 1) }));
  return fc.record({
    type: fc.constant("ormap" as const),
    cleared: rarely,
    removed: fc.array(key, { maxLength: 1 }),
    updated: fc.array(keyed, { maxLength: 2 }),
    added: fc.array(keyed, { maxLength: 2 }),
  });
}

const leaves = kinds.filter((kind) => kind !== "ormap");

/** Something that happens at one of three sites. */
export type Step = { readonly site: number } & (
  | { readonly type: "does"; readonly operation: Operation }
  | { readonly type: "deletes" | "command" | "answered" | "flush" }
  | { readonly type: "takes"; readonly other: number; readonly count: number }
  | { readonly type: "repairs"; readonly other: number }
  | { readonly type: "folds"; readonly limit: number }
);

const site = fc.integer({ min: 0, max: 2 });

/** Steps of every type given, whose operations are of these kinds at the root. */
export function stepsOf(roots: readonly Kind[], types: readonly Step["type"][], maxLength = 30): fc.Arbitrary<Step[]> {
  const operation = fc.constantFrom(...roots).chain((kind) => operationOf(kind));
  const all: { readonly type: Step["type"]; readonly weight: number; readonly arbitrary: fc.Arbitrary<Step> }[] = [
    { type: "does", weight: 12, arbitrary: fc.record({ site, type: fc.constant("does" as const), operation }) },
    { type: "deletes", weight: 1, arbitrary: fc.record({ site, type: fc.constant("deletes" as const) }) },
    { type: "command", weight: 4, arbitrary: fc.record({ site, type: fc.constant("command" as const) }) },
    { type: "answered", weight: 3, arbitrary: fc.record({ site, type: fc.constant("answered" as const) }) },
    { type: "flush", weight: 1, arbitrary: fc.record({ site, type: fc.constant("flush" as const) }) },
    {
      type: "takes",
      weight: 9,
      arbitrary: fc.record({
        site,
        type: fc.constant("takes" as const),
        other: site,
        count: fc.integer({ min: 1, max: 3 }),
      }),
    },
    { type: "repairs", weight: 2, arbitrary: fc.record({ site, type: fc.constant("repairs" as const), other: site }) },
    {
      type: "folds",
      weight: 2,
      arbitrary: fc.record({ site, type: fc.constant("folds" as const), limit: fc.integer({ min: 1, max: 3 }) }),
    },
  ];
  return fc.array(fc.oneof(...all.filter(({ type }) => types.includes(type))), {
    minLength: 1,
    maxLength,
    size: "max",
  });
}
