import type { Applied, Dots, Dot, Entry, Fold, NumberedChange, Path, ReplicaId } from "./entry.ts";
import { dotKey } from "./entry.ts";
import type { Effect } from "./mutate.ts";
import type { Table } from "./table.ts";

export interface FoldedChanges {
  /** The changes as they leave: the same runs of numbers, fewer dots. */
  readonly changes: NumberedChange[];
  /** What must be put into the tables (`Table.fold`) before anybody reads them. */
  readonly folds: Fold[];
}

/**
 * Makes changes that nobody has seen yet smaller. An add that a later one of them drops goes, and so does that drop; the numbered
 * amounts left at one path become one, under the last of their numbers. Presences, runs, and drops of what others have seen stay.
 */
export function foldUnsent(changes: readonly NumberedChange[]): FoldedChanges {
  const short = new Set<string>();
  const dropped = new Set<string>();
  for (const change of changes) for (const dot of change.drops) dropped.add(dotKey(dot));
  const amounts = new Map<string, { readonly entity: string; readonly entries: Entry[] }>();
  for (const change of changes) {
    for (const entry of change.adds) {
      if (dropped.has(dotKey(entry.dot))) short.add(dotKey(entry.dot));
      else if (entry.content.type === "amount" && "replica" in entry.dot) gather(amounts, change.entity, entry);
    }
  }
  const folds = [...amounts.values()].filter(({ entries }) => entries.length > 1).map(foldOf);
  const sums = new Map(folds.map(({ entry }) => [dotKey(entry.dot), entry]));
  for (const { gone } of folds) for (const dot of gone) short.add(dotKey(dot));
  return { changes: changes.map((change) => shorten(change, short, sums)), folds };
}

function gather(
  amounts: Map<string, { readonly entity: string; readonly entries: Entry[] }>,
  entity: string,
  entry: Entry,
): void {
  const place = JSON.stringify([entity, ...entry.path]);
  const held = amounts.get(place);
  if (held === undefined) amounts.set(place, { entity, entries: [entry] });
  else held.entries.push(entry);
}

function foldOf({ entity, entries }: { readonly entity: string; readonly entries: readonly Entry[] }): Fold {
  const last = entries.at(-1)!;
  return { entity, gone: entries.slice(0, -1).map(({ dot }) => dot), entry: { ...last, content: sumOf(entries) } };
}

function shorten(change: NumberedChange, short: ReadonlySet<string>, sums: ReadonlyMap<string, Entry>): NumberedChange {
  return {
    ...change,
    drops: change.drops.filter((dot) => !short.has(dotKey(dot))),
    adds: change.adds.filter(({ dot }) => !short.has(dotKey(dot))).map((entry) => sums.get(dotKey(entry.dot)) ?? entry),
  };
}

/**
 * The rewrite of a replica's own amounts: at each path with more than `limit` of them, all give way to one with their sum.
 * `undefined` if there is none. Only sent dots may be folded: flush first. A removal that races it takes only what it saw.
 * `paths` narrows the look to where something was added.
 */
export function foldSent(
  table: Table,
  replica: ReplicaId,
  limit: number,
  dots: Dots,
  paths: Iterable<Path> = pathsOfAmounts(table, replica),
): Effect | undefined {
  const drops: Dot[] = [];
  const adds: Entry[] = [];
  for (const path of paths) {
    const own = table.here(path).filter((entry) => isAmountOf(entry, replica));
    if (own.length <= limit) continue;
    drops.push(...own.map(({ dot }) => dot));
    adds.push({ dot: { replica: dots.replica, number: dots.next() }, path, content: sumOf(own) });
  }
  return adds.length === 0 ? undefined : { drops, adds };
}

/** The paths of the amounts that a change added, for `foldSent`. */
export function amountPaths(applied: Pick<Applied, "gained">): Path[] {
  return applied.gained.filter(({ content }) => content.type === "amount").map(({ path }) => path);
}

function pathsOfAmounts(table: Table, replica: ReplicaId): Iterable<Path> {
  const paths = new Map<string, Path>();
  for (const entry of table.entries())
    if (isAmountOf(entry, replica)) paths.set(JSON.stringify(entry.path), entry.path);
  return paths.values();
}

function isAmountOf({ dot, content }: Entry, replica: ReplicaId): boolean {
  return content.type === "amount" && "replica" in dot && dot.replica === replica;
}

function sumOf(entries: readonly Entry[]): Entry["content"] {
  let amount = 0n;
  for (const { content } of entries) if (content.type === "amount") amount += content.amount;
  return { type: "amount", amount };
}
