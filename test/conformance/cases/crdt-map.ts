import { ask, change, type Delta, erase, state, type State, update, type Update } from "../crdt-words.ts";
import { answered, deleted } from "../crdt-stream.ts";
import type { Case } from "../stage.ts";
import { deletedTo, onStream } from "./crdt-common.ts";

const { ormap, pncounter: pn, lwwregister: holds, orset, gset, flag, gcounter } = state;
const { ormap: changed } = change;
const noElements = change.orset({});

/** C52–C59. */
export const mapCases: readonly Case[] = [
  onStream("C52", "ORMap", "empty", async (open) => {
    const entity = open();
    await entity.command([], ormap({}));
    await entity.passivate();
  }),
  onStream("C53", "ORMap", "changes", async (open) => {
    const entity = open();
    await entity.command(
      add("PNCounter-1", "ORSet-1"),
      ormap({ "ORSet-1": orset(), "PNCounter-1": pn(0n) }),
      changed({ added: { "PNCounter-1": change.pncounter(0n), "ORSet-1": noElements } }),
    );
    await entity.command(
      [...add("ORSet-1"), at("LWWRegister-1", ask.lwwregister("zero"))],
      ormap({ "LWWRegister-1": holds("zero"), "ORSet-1": orset(), "PNCounter-1": pn(0n) }),
      changed({ added: { "LWWRegister-1": change.lwwregister("zero") } }),
    );
    await entity.command(
      [at("PNCounter-1", ask.pncounter(42n)), at("LWWRegister-1", ask.lwwregister("one"))],
      ormap({ "LWWRegister-1": holds("one"), "ORSet-1": orset(), "PNCounter-1": pn(42n) }),
      changed({ updated: { "PNCounter-1": change.pncounter(42n), "LWWRegister-1": change.lwwregister("one") } }),
    );
    await entity.command(
      ["a", "b", "c"].map((element) => at("ORSet-1", ask.add(element))),
      ormap({ "LWWRegister-1": holds("one"), "ORSet-1": orset("a", "b", "c"), "PNCounter-1": pn(42n) }),
      changed({ updated: { "ORSet-1": change.orset({ added: ["a", "b", "c"] }) } }),
    );
    await entity.command(
      [
        at("ORSet-1", ask.remove("b")),
        at("ORSet-1", ask.add("d")),
        at("PNCounter-1", ask.pncounter(-123n)),
        at("LWWRegister-1", ask.lwwregister("two")),
      ],
      ormap({ "LWWRegister-1": holds("two"), "ORSet-1": orset("a", "c", "d"), "PNCounter-1": pn(-81n) }),
      changed({
        updated: {
          "ORSet-1": change.orset({ removed: ["b"], added: ["d"] }),
          "PNCounter-1": change.pncounter(-123n),
          "LWWRegister-1": change.lwwregister("two"),
        },
      }),
    );
    await entity.command(
      remove("ORSet-1"),
      ormap({ "LWWRegister-1": holds("two"), "PNCounter-1": pn(-81n) }),
      changed({ removed: ["ORSet-1"] }),
    );
    await entity.command(
      [...remove("LWWRegister-1"), at("Flag-1", ask.flag)],
      ormap({ "Flag-1": flag(true), "PNCounter-1": pn(-81n) }),
      changed({ removed: ["LWWRegister-1"], added: { "Flag-1": change.flag(true) } }),
    );
    await entity.command([clear], ormap({}), changed({ cleared: true }));
    await entity.command(
      [...add("PNCounter-2"), clear, at("GCounter-1", ask.gcounter(123n))],
      ormap({ "GCounter-1": gcounter(123n) }),
      changed({ cleared: true, added: { "GCounter-1": change.gcounter(123n) } }),
    );
    await entity.passivate();
  }),
  onStream("C54", "ORMap", "initial delta", async (open) => {
    const entity = open(
      changed({
        added: {
          "PNCounter-1": change.pncounter(123n),
          "LWWRegister-1": change.lwwregister("one"),
          "GSet-1": change.gset("a", "b", "c"),
        },
      }),
    );
    const known: Record<string, State> = { "GSet-1": gset("a", "b", "c"), "LWWRegister-1": holds("one") };
    await entity.command([], ormap({ ...known, "PNCounter-1": pn(123n) }));
    await entity.command(
      [...remove("LWWRegister-1"), at("PNCounter-1", ask.pncounter(-42n))],
      ormap({ "GSet-1": gset("a", "b", "c"), "PNCounter-1": pn(81n) }),
      changed({ removed: ["LWWRegister-1"], updated: { "PNCounter-1": change.pncounter(-42n) } }),
    );
    await entity.passivate();
  }),
  onStream("C55", "ORMap", "delta", async (open) => {
    const entity = open();
    entity.delta(
      changed({
        added: {
          "GCounter-1": change.gcounter(42n),
          "ORSet-1": change.orset({ added: ["a", "b", "c"] }),
          "Flag-1": change.flag(false),
        },
      }),
    );
    const state = { "Flag-1": flag(false), "GCounter-1": gcounter(42n), "ORSet-1": orset("a", "b", "c") };
    await entity.command([], ormap(state));
    await entity.passivate();
  }),
  onStream("C56", "ORMap", "deltas between commands", async (open) => {
    const entity = open();
    await entity.command(
      add("PNCounter-1"),
      ormap({ "PNCounter-1": pn(0n) }),
      changed({ added: { "PNCounter-1": change.pncounter(0n) } }),
    );
    entity.delta(changed({ added: { "ORSet-1": change.orset({ added: ["x"] }) } }));
    entity.delta(
      changed({
        added: { "LWWRegister-1": change.lwwregister("one") },
        updated: { "ORSet-1": change.orset({ added: ["y", "z"] }) },
      }),
    );
    await entity.command(
      [...add("ORSet-2"), at("LWWRegister-2", ask.lwwregister("two"))],
      ormap({
        "LWWRegister-1": holds("one"),
        "LWWRegister-2": holds("two"),
        "ORSet-1": orset("x", "y", "z"),
        "ORSet-2": orset(),
        "PNCounter-1": pn(0n),
      }),
      changed({ added: { "ORSet-2": noElements, "LWWRegister-2": change.lwwregister("two") } }),
    );
    await entity.command(
      [at("PNCounter-1", ask.pncounter(42n)), at("LWWRegister-1", ask.lwwregister("ONE"))],
      ormap({
        "LWWRegister-1": holds("ONE"),
        "LWWRegister-2": holds("two"),
        "ORSet-1": orset("x", "y", "z"),
        "ORSet-2": orset(),
        "PNCounter-1": pn(42n),
      }),
      changed({ updated: { "PNCounter-1": change.pncounter(42n), "LWWRegister-1": change.lwwregister("ONE") } }),
    );
    entity.delta(
      changed({
        removed: ["LWWRegister-2"],
        added: { "ORMap-1": changed({ added: { "PNCounter-1": change.pncounter(123n) } }) },
      }),
    );
    entity.delta(
      changed({
        removed: ["ORSet-1"],
        updated: {
          "ORSet-2": change.orset({ added: ["a", "b", "c"] }),
          "ORMap-1": changed({ added: { "LWWRegister-1": change.lwwregister("ABC") } }),
        },
      }),
    );
    await entity.command(
      [at("ORMap-1", ask.mapUpdate("PNCounter-1", ask.pncounter(-456n)))],
      ormap({
        "LWWRegister-1": holds("ONE"),
        "ORMap-1": ormap({ "LWWRegister-1": holds("ABC"), "PNCounter-1": pn(-333n) }),
        "ORSet-2": orset("a", "b", "c"),
        "PNCounter-1": pn(42n),
      }),
      changed({ updated: { "ORMap-1": changed({ updated: { "PNCounter-1": change.pncounter(-456n) } }) } }),
    );
    entity.delta(changed({ cleared: true, added: { "GSet-1": change.gset("1", "2", "3") } }));
    await entity.command(
      [...remove("PNCounter-1", "LWWRegister-1"), ...["2", "4", "6"].map((element) => at("GSet-1", ask.gset(element)))],
      ormap({ "GSet-1": gset("1", "2", "3", "4", "6") }),
      changed({ updated: { "GSet-1": change.gset("4", "6") } }),
    );
    await entity.command(
      [clear, ...add("GCounter-1")],
      ormap({ "GCounter-1": gcounter(0n) }),
      changed({ cleared: true, added: { "GCounter-1": change.gcounter(0n) } }),
    );
    entity.delta(changed({ removed: ["GSet-1"], added: { "GCounter-1": change.gcounter(42n) } }));
    await entity.command(
      [at("GCounter-1", ask.gcounter(7n))],
      ormap({ "GCounter-1": gcounter(49n) }),
      changed({ updated: { "GCounter-1": change.gcounter(7n) } }),
    );
    await entity.passivate();
  }),
  onStream("C57", "ORMap", "rehydration", async (open) => {
    const counter = (delta: bigint): Record<string, Delta> => ({ "PNCounter-1": change.pncounter(delta) });
    const entity = open();
    entity.delta(changed({ added: counter(123n) }));
    await entity.command(
      [at("PNCounter-1", ask.pncounter(321n))],
      ormap({ "PNCounter-1": pn(444n) }),
      changed({ updated: counter(321n) }),
    );
    await entity.passivate();
    const again = open(changed({ added: counter(444n) }));
    await again.command([], ormap({ "PNCounter-1": pn(444n) }));
    again.delta(changed({ updated: counter(-42n) }));
    await again.command(
      [at("PNCounter-1", ask.pncounter(-360n))],
      ormap({ "PNCounter-1": pn(42n) }),
      changed({ updated: counter(-360n) }),
    );
    await again.passivate();
  }),
  onStream("C58", "ORMap", "deleted by the entity", async (open) => {
    const entity = open();
    await entity.command(
      add("Flag-1"),
      ormap({ "Flag-1": flag(false) }),
      changed({ added: { "Flag-1": change.flag(false) } }),
    );
    entity.send([at("Flag-1", ask.flag), erase]);
    await entity.reply({ ...answered(ormap({ "Flag-1": flag(true) })), stateAction: deleted });
    await entity.passivate();
  }),
  deletedTo("C59", "ORMap"),
];

const clear = update(ask.mapClear);

function add(...keys: string[]) {
  return keys.map((key) => update(ask.mapAdd(key)));
}

function remove(...keys: string[]) {
  return keys.map((key) => update(ask.mapRemove(key)));
}

function at(key: string, change: Update) {
  return update(ask.mapUpdate(key, change));
}
