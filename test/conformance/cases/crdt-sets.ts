import { ask, change, state, update } from "../crdt-words.ts";
import type { Case } from "../stage.ts";
import { deletedBy, deletedTo, onStream } from "./crdt-common.ts";

const { gset } = state;

/** C19–C26. */
export const gsetCases: readonly Case[] = [
  onStream("C19", "GSet", "empty", async (open) => {
    const entity = open();
    await entity.command([], gset());
    await entity.passivate();
  }),
  onStream("C20", "GSet", "changes", async (open) => {
    const entity = open();
    await entity.command(grow("a", "b"), gset("a", "b"), change.gset("a", "b"));
    await entity.command(grow("b", "c"), gset("a", "b", "c"), change.gset("c"));
    await entity.command(grow("c", "a"), gset("a", "b", "c"));
    await entity.passivate();
  }),
  onStream("C21", "GSet", "initial delta", async (open) => {
    const entity = open(change.gset("a", "b", "c"));
    await entity.command(grow("c", "d", "e"), gset("a", "b", "c", "d", "e"), change.gset("d", "e"));
    await entity.passivate();
  }),
  onStream("C22", "GSet", "delta", async (open) => {
    const entity = open();
    entity.delta(change.gset("x", "y"));
    await entity.command(grow("z"), gset("x", "y", "z"), change.gset("z"));
    await entity.passivate();
  }),
  onStream("C23", "GSet", "deltas between commands", async (open) => {
    const entity = open();
    await entity.command(grow("a"), gset("a"), change.gset("a"));
    for (const element of ["a", "b", "c"]) entity.delta(change.gset(element));
    await entity.command([], gset("a", "b", "c"));
    await entity.command(grow("c", "d", "e"), gset("a", "b", "c", "d", "e"), change.gset("d", "e"));
    entity.delta(change.gset("f"));
    await entity.command(grow("g", "d", "b"), gset("a", "b", "c", "d", "e", "f", "g"), change.gset("g"));
    await entity.passivate();
  }),
  onStream("C24", "GSet", "rehydration", async (open) => {
    const entity = open();
    await entity.command(grow("a"), gset("a"), change.gset("a"));
    entity.delta(change.gset("b"));
    await entity.command([], gset("a", "b"));
    await entity.command(grow("c"), gset("a", "b", "c"), change.gset("c"));
    await entity.passivate();
    const again = open(change.gset("a", "b", "c"));
    await again.command([], gset("a", "b", "c"));
    again.delta(change.gset("d"));
    await again.command(grow("e"), gset("a", "b", "c", "d", "e"), change.gset("e"));
    await again.passivate();
  }),
  deletedBy("C25", "GSet", ask.gset("x"), gset("x"), change.gset("x")),
  deletedTo("C26", "GSet"),
];

const { orset } = state;

/** C27–C34. */
export const orsetCases: readonly Case[] = [
  onStream("C27", "ORSet", "empty", async (open) => {
    const entity = open();
    await entity.command([], orset());
    await entity.passivate();
  }),
  onStream("C28", "ORSet", "changes", async (open) => {
    const entity = open();
    await entity.command(add("a", "b"), orset("a", "b"), change.orset({ added: ["a", "b"] }));
    await entity.command(add("b", "c"), orset("a", "b", "c"), change.orset({ added: ["c"] }));
    await entity.command(add("c", "a"), orset("a", "b", "c"));
    await entity.command(remove("b", "d"), orset("a", "c"), change.orset({ removed: ["b"] }));
    await entity.command([...remove("c", "d"), ...add("b", "c")], orset("a", "b", "c"), change.orset({ added: ["b"] }));
    await entity.command(clear, orset(), change.orset({ cleared: true }));
    await entity.command(
      [...add("a"), ...clear, ...add("x")],
      orset("x"),
      change.orset({ cleared: true, added: ["x"] }),
    );
    await entity.passivate();
  }),
  onStream("C29", "ORSet", "initial delta", async (open) => {
    const entity = open(change.orset({ added: ["a", "b", "c"] }));
    const delta = change.orset({ removed: ["c"], added: ["d"] });
    await entity.command([...remove("c"), ...add("d")], orset("a", "b", "d"), delta);
    await entity.passivate();
  }),
  onStream("C30", "ORSet", "delta", async (open) => {
    const entity = open();
    entity.delta(change.orset({ added: ["x", "y"] }));
    const delta = change.orset({ removed: ["x"], added: ["z"] });
    await entity.command([...remove("x"), ...add("z")], orset("y", "z"), delta);
    await entity.passivate();
  }),
  onStream("C31", "ORSet", "deltas between commands", async (open) => {
    const entity = open();
    await entity.command(add("a"), orset("a"), change.orset({ added: ["a"] }));
    entity.delta(change.orset({ added: ["a", "b"] }));
    entity.delta(change.orset({ added: ["c", "d"] }));
    entity.delta(change.orset({ removed: ["b", "d"] }));
    await entity.command([], orset("a", "c"));
    await entity.command(add("c", "d", "e"), orset("a", "c", "d", "e"), change.orset({ added: ["d", "e"] }));
    entity.delta(change.orset({ removed: ["a", "c"], added: ["f"] }));
    await entity.command(
      [...add("g"), ...remove("a", "d")],
      orset("e", "f", "g"),
      change.orset({ removed: ["d"], added: ["g"] }),
    );
    entity.delta(change.orset({ cleared: true, added: ["x", "y", "z"] }));
    await entity.command(
      [...add("q", "x"), ...remove("z")],
      orset("q", "x", "y"),
      change.orset({ removed: ["z"], added: ["q"] }),
    );
    entity.delta(change.orset({ removed: ["x", "y"], added: ["r", "p"] }));
    await entity.command(add("s"), orset("p", "q", "r", "s"), change.orset({ added: ["s"] }));
    entity.delta(change.orset({ added: ["a", "b", "c"] }));
    await entity.command(
      [...clear, ...add("a", "b", "c")],
      orset("a", "b", "c"),
      change.orset({ cleared: true, added: ["a", "b", "c"] }),
    );
    await entity.passivate();
  }),
  onStream("C32", "ORSet", "rehydration", async (open) => {
    const entity = open();
    await entity.command(add("a"), orset("a"), change.orset({ added: ["a"] }));
    entity.delta(change.orset({ removed: ["a"], added: ["b"] }));
    await entity.command([], orset("b"));
    await entity.command(add("c"), orset("b", "c"), change.orset({ added: ["c"] }));
    await entity.passivate();
    const again = open(change.orset({ added: ["b", "c"] }));
    await again.command([], orset("b", "c"));
    again.delta(change.orset({ cleared: true, added: ["p", "q"] }));
    await again.command([...add("x", "y"), ...remove("x")], orset("p", "q", "y"), change.orset({ added: ["y"] }));
    await again.passivate();
  }),
  deletedBy("C33", "ORSet", ask.add("x"), orset("x"), change.orset({ added: ["x"] })),
  deletedTo("C34", "ORSet"),
];

const clear = [update(ask.clear)];

function grow(...elements: string[]) {
  return elements.map((element) => update(ask.gset(element)));
}

function add(...elements: string[]) {
  return elements.map((element) => update(ask.add(element)));
}

function remove(...elements: string[]) {
  return elements.map((element) => update(ask.remove(element)));
}
