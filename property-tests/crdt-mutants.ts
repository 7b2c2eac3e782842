import type { Effect, Entry } from "../crdt/index.ts";
import { compareDots, diff, mutate, view } from "../crdt/index.ts";
import type { Rules } from "./crdt-world.ts";

function rewriting(rewrite: (effect: Effect, known: Parameters<typeof mutate>[1]) => Effect): Partial<Rules> {
  return { mutate: (operation, known, dots, nowMs) => rewrite(mutate(operation, known, dots, nowMs), known) };
}

export const merged: Partial<Rules> = { base: (site) => site.table };

export const snapshotDiff: Partial<Rules> = {
  correct: (site) => diff(view(site.known, site.seat), view(site.table, site.seat)),
};

export const noPresence = rewriting(({ drops, adds }) => ({
  drops,
  adds: adds.filter(({ content }) => content.type !== "presence"),
}));

/** One dot for each replica with all it ever added, as a map from replica to share would have it. */
export const shareByMaximum = rewriting((effect, known) => {
  const drops = [...effect.drops];
  const adds = effect.adds.map((entry): Entry => {
    if (entry.content.type !== "amount" || !("replica" in entry.dot)) return entry;
    let { amount } = entry.content;
    for (const held of known.here(entry.path)) {
      if (held.content.type !== "amount" || !("replica" in held.dot) || held.dot.replica !== entry.dot.replica)
        continue;
      amount += held.content.amount;
      drops.push(held.dot);
    }
    return { ...entry, content: { type: "amount", amount } };
  });
  return { drops, adds };
});

export const joinThatChooses: Partial<Rules> = {
  settle(site) {
    const values = [...site.table.entries()].filter(({ content }) => content.type === "value");
    const stamp = ({ content }: Entry): bigint => (content.type === "value" ? content.stamp : 0n);
    values.sort((left, right) => Number(stamp(right) - stamp(left)) || compareDots(left.dot, right.dot));
    site.table.apply({ drops: values.slice(1).map(({ dot }) => dot), adds: [] });
  },
};

export const overwritesAll = rewriting((effect, known) => {
  const drops = [...effect.drops];
  for (const { path, content } of effect.adds) {
    if (content.type === "value") for (const held of known.here(path)) drops.push(held.dot);
  }
  return { drops, adds: effect.adds };
});

/** A losing write leaves presence alone in place of its value. */
export const losersAreNot = rewriting((effect, known) => ({
  drops: effect.drops,
  adds: effect.adds.map((entry): Entry => {
    const loses = entry.content.type === "value" && effect.drops.length === 0 && [...known.here(entry.path)].length > 0;
    return loses ? { ...entry, content: { type: "presence" } } : entry;
  }),
}));

/** An element that is there already stays under its dot. */
export const elementsKeepDots = rewriting(({ drops, adds }, known) => {
  const again = adds.filter(({ path }) => [...known.here(path)].some(({ content }) => content.type === "element"));
  const places = again.map(({ path }) => path.join());
  const kept = new Set([...known.under([])].filter(({ path }) => places.includes(path.join())).map(({ dot }) => dot));
  return { drops: drops.filter((dot) => !kept.has(dot)), adds: adds.filter((entry) => !again.includes(entry)) };
});
