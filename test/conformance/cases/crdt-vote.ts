import { ask, change, state, update } from "../crdt-words.ts";
import type { Case } from "../stage.ts";
import { deletedBy, deletedTo, onStream } from "./crdt-common.ts";

const { vote } = state;
const yes = [update(ask.vote(true))];
const no = [update(ask.vote(false))];

/** C60–C67. */
export const voteCases: readonly Case[] = [
  onStream("C60", "Vote", "empty", async (open) => {
    const entity = open();
    await entity.command([], vote(false, 0, 1));
    await entity.passivate();
  }),
  onStream("C61", "Vote", "changes", async (open) => {
    const entity = open();
    await entity.command(yes, vote(true, 1, 1), change.vote(true));
    await entity.command(yes, vote(true, 1, 1));
    await entity.command(no, vote(false, 0, 1), change.vote(false));
    await entity.command(no, vote(false, 0, 1));
    await entity.passivate();
  }),
  onStream("C62", "Vote", "initial delta", async (open) => {
    const entity = open(change.vote(true, 2, 3));
    await entity.command([], vote(true, 2, 3));
    await entity.command(no, vote(false, 1, 3), change.vote(false));
    await entity.passivate();
  }),
  onStream("C63", "Vote", "delta", async (open) => {
    const entity = open();
    entity.delta(change.vote(false, 3, 5));
    await entity.command([], vote(false, 3, 5));
    await entity.command(yes, vote(true, 4, 5), change.vote(true));
    await entity.passivate();
  }),
  onStream("C64", "Vote", "deltas between commands", async (open) => {
    const entity = open();
    entity.delta(change.vote(false, 2, 4));
    await entity.command(yes, vote(true, 3, 4), change.vote(true));
    entity.delta(change.vote(true, 5, 7));
    entity.delta(change.vote(true, 4, 6));
    await entity.command(no, vote(false, 3, 6), change.vote(false));
    await entity.passivate();
  }),
  onStream("C65", "Vote", "rehydration", async (open) => {
    const entity = open();
    await entity.command([], vote(false, 0, 1));
    entity.delta(change.vote(false, 2, 5));
    await entity.command(yes, vote(true, 3, 5), change.vote(true));
    await entity.passivate();
    const again = open(change.vote(true, 3, 5));
    await again.command(no, vote(false, 2, 5), change.vote(false));
    await again.passivate();
  }),
  deletedBy("C66", "Vote", ask.vote(true), vote(true, 1, 1), change.vote(true)),
  deletedTo("C67", "Vote"),
];
