import { ask, change, type Delta, state, type State, update } from "../crdt-words.ts";
import type { Case } from "../stage.ts";
import { deletedBy, deletedTo, onStream } from "./crdt-common.ts";

/** C3–C10. */
export const gcounterCases: readonly Case[] = [
  onStream("C3", "GCounter", "empty", async (open) => {
    const entity = open();
    await entity.command([], state.gcounter(0n));
    await entity.passivate();
  }),
  onStream("C4", "GCounter", "changes", async (open) => {
    const entity = open();
    await entity.command(increments(42n), state.gcounter(42n), change.gcounter(42n));
    await entity.command(increments(1n, 2n, 3n), state.gcounter(48n), change.gcounter(6n));
    await entity.passivate();
  }),
  onStream("C5", "GCounter", "initial delta", async (open) => {
    const entity = open(change.gcounter(42n));
    await entity.command(increments(123n), state.gcounter(165n), change.gcounter(123n));
    await entity.passivate();
  }),
  onStream("C6", "GCounter", "delta", async (open) => {
    const entity = open();
    entity.delta(change.gcounter(42n));
    await entity.command(increments(123n), state.gcounter(165n), change.gcounter(123n));
    await entity.passivate();
  }),
  onStream("C7", "GCounter", "deltas between commands", async (open) => {
    const entity = open();
    await entity.command(increments(1n), state.gcounter(1n), change.gcounter(1n));
    entity.delta(change.gcounter(2n));
    entity.delta(change.gcounter(3n));
    await entity.command([], state.gcounter(6n));
    await entity.command(increments(4n), state.gcounter(10n), change.gcounter(4n));
    entity.delta(change.gcounter(5n));
    await entity.command(increments(6n), state.gcounter(21n), change.gcounter(6n));
    await entity.passivate();
  }),
  onStream("C8", "GCounter", "rehydration", async (open) => {
    const entity = open();
    await entity.command(increments(1n), state.gcounter(1n), change.gcounter(1n));
    entity.delta(change.gcounter(2n));
    await entity.command([], state.gcounter(3n));
    await entity.command(increments(3n), state.gcounter(6n), change.gcounter(3n));
    await entity.passivate();
    const again = open(change.gcounter(6n));
    await again.command([], state.gcounter(6n));
    again.delta(change.gcounter(4n));
    await again.command(increments(5n), state.gcounter(15n), change.gcounter(5n));
    await again.passivate();
  }),
  deletedBy("C9", "GCounter", ask.gcounter(42n), state.gcounter(42n), change.gcounter(42n)),
  deletedTo("C10", "GCounter"),
];

/** C11–C18. */
export const pncounterCases: readonly Case[] = [
  onStream("C11", "PNCounter", "empty", async (open) => {
    const entity = open();
    await entity.command([], pn(0n));
    await entity.passivate();
  }),
  onStream("C12", "PNCounter", "changes", async (open) => {
    const entity = open();
    await entity.command(changes(1n, -2n, 3n), pn(2n), by(2n));
    await entity.command(changes(-4n, 5n, -6n), pn(-3n), by(-5n));
    await entity.passivate();
  }),
  onStream("C13", "PNCounter", "initial delta", async (open) => {
    const entity = open(by(42n));
    await entity.command(changes(-123n), pn(-81n), by(-123n));
    await entity.passivate();
  }),
  onStream("C14", "PNCounter", "delta", async (open) => {
    const entity = open();
    entity.delta(by(-42n));
    await entity.command(changes(123n), pn(81n), by(123n));
    await entity.passivate();
  }),
  onStream("C15", "PNCounter", "deltas between commands", async (open) => {
    const entity = open();
    await entity.command(changes(1n), pn(1n), by(1n));
    entity.delta(by(-2n));
    entity.delta(by(3n));
    await entity.command([], pn(2n));
    await entity.command(changes(-4n), pn(-2n), by(-4n));
    entity.delta(by(5n));
    await entity.command(changes(-6n), pn(-3n), by(-6n));
    await entity.passivate();
  }),
  onStream("C16", "PNCounter", "rehydration", async (open) => {
    const entity = open();
    await entity.command(changes(1n), pn(1n), by(1n));
    entity.delta(by(-2n));
    await entity.command([], pn(-1n));
    await entity.command(changes(3n), pn(2n), by(3n));
    await entity.passivate();
    const again = open(by(2n));
    await again.command([], pn(2n));
    again.delta(by(-4n));
    await again.command(changes(5n), pn(3n), by(5n));
    await again.passivate();
  }),
  deletedBy("C17", "PNCounter", ask.pncounter(42n), pn(42n), by(42n)),
  deletedTo("C18", "PNCounter"),
];

function increments(...amounts: bigint[]) {
  return amounts.map((amount) => update(ask.gcounter(amount)));
}

function changes(...amounts: bigint[]) {
  return amounts.map((amount) => update(ask.pncounter(amount)));
}

function pn(value: bigint): State {
  return state.pncounter(value);
}

function by(amount: bigint): Delta {
  return change.pncounter(amount);
}
