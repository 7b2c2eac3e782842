import { CrdtClock } from "../../../lib/wire/gen/cloudstate/crdt_pb.ts";
import { answered, updated } from "../crdt-stream.ts";
import { ask, change, clockTypes, state, update } from "../crdt-words.ts";
import type { Case } from "../stage.ts";
import { deletedBy, deletedTo, onStream } from "./crdt-common.ts";

const { lwwregister: holds, flag } = state;
const write = (value: string) => [update(ask.lwwregister(value))];
const { lwwregister: written } = change;

/** C35–C43. */
export const registerCases: readonly Case[] = [
  onStream("C35", "LWWRegister", "empty", async (open) => {
    const entity = open();
    await entity.command([], holds(""), written(""));
    await entity.passivate();
  }),
  onStream("C36", "LWWRegister", "changes", async (open) => {
    const entity = open();
    await entity.command(write("one"), holds("one"), written("one"));
    await entity.command(write("two"), holds("two"), written("two"));
    await entity.passivate();
  }),
  onStream("C37", "LWWRegister", "initial delta", async (open) => {
    const entity = open(written("one"));
    await entity.command([], holds("one"));
    await entity.passivate();
  }),
  onStream("C38", "LWWRegister", "delta", async (open) => {
    const entity = open();
    entity.delta(written("one"));
    await entity.command([], holds("one"));
    await entity.passivate();
  }),
  onStream("C39", "LWWRegister", "deltas between commands", async (open) => {
    const entity = open();
    await entity.command(write("A"), holds("A"), written("A"));
    entity.delta(written("B"));
    entity.delta(written("C"));
    await entity.command([], holds("C"));
    await entity.command(write("D"), holds("D"), written("D"));
    entity.delta(written("D"));
    await entity.command(write("E"), holds("E"), written("E"));
    await entity.passivate();
  }),
  onStream("C40", "LWWRegister", "clocks", async (open) => {
    const entity = open();
    const reply = (clock: CrdtClock, custom = 0n) => ({
      ...answered(holds("A")),
      stateAction: updated(written("A", clock, custom)),
    });
    entity.send([update(ask.lwwregister("A", clockTypes.REVERSE))], 1n);
    await entity.reply(reply(CrdtClock.REVERSE), 1n);
    entity.send([update(ask.lwwregister("A", clockTypes.CUSTOM, 123n))], 2n);
    await entity.reply(reply(CrdtClock.CUSTOM, 123n), 2n);
    entity.send([update(ask.lwwregister("A", clockTypes.CUSTOM_AUTO_INCREMENT, 456n))], 2n);
    await entity.reply(reply(CrdtClock.CUSTOM_AUTO_INCREMENT, 456n), 2n);
    await entity.passivate();
  }),
  onStream("C41", "LWWRegister", "rehydration", async (open) => {
    const entity = open();
    await entity.command(write("A"), holds("A"), written("A"));
    entity.delta(written("B"));
    await entity.command([], holds("B"));
    await entity.command(write("C"), holds("C"), written("C"));
    await entity.passivate();
    const again = open(written("C"));
    await again.command([], holds("C"));
    again.delta(written("D"));
    await again.command(write("E"), holds("E"), written("E"));
    await again.passivate();
  }),
  deletedBy("C42", "LWWRegister", ask.lwwregister("one"), holds("one"), written("one")),
  deletedTo("C43", "LWWRegister"),
];

const enable = [update(ask.flag)];

/** C44–C51. */
export const flagCases: readonly Case[] = [
  onStream("C44", "Flag", "empty", async (open) => {
    const entity = open();
    await entity.command([], flag(false));
    await entity.passivate();
  }),
  onStream("C45", "Flag", "changes", async (open) => {
    const entity = open();
    await entity.command(enable, flag(true), change.flag(true));
    await entity.passivate();
  }),
  onStream("C46", "Flag", "initial delta", async (open) => {
    for (const value of [false, true]) {
      const entity = open(change.flag(value));
      await entity.command([], flag(value));
      await entity.passivate();
    }
  }),
  onStream("C47", "Flag", "delta", async (open) => {
    for (const value of [false, true]) {
      const entity = open();
      entity.delta(change.flag(value));
      await entity.command([], flag(value));
      await entity.passivate();
    }
  }),
  onStream("C48", "Flag", "deltas between commands", async (open) => {
    const entity = open();
    entity.delta(change.flag(false));
    await entity.command([], flag(false));
    await entity.command(enable, flag(true), change.flag(true));
    entity.delta(change.flag(true));
    entity.delta(change.flag(false));
    await entity.command([], flag(true));
    await entity.passivate();
    const other = open();
    other.delta(change.flag(true));
    await other.command([], flag(true));
    await other.command(enable, flag(true));
    other.delta(change.flag(true));
    other.delta(change.flag(false));
    await other.command([], flag(true));
    await other.passivate();
  }),
  onStream("C49", "Flag", "rehydration", async (open) => {
    const entity = open();
    await entity.command([], flag(false));
    await entity.command(enable, flag(true), change.flag(true));
    await entity.passivate();
    const again = open(change.flag(true));
    await again.command([], flag(true));
    await again.passivate();
  }),
  deletedBy("C50", "Flag", ask.flag, flag(true), change.flag(true)),
  deletedTo("C51", "Flag"),
];
