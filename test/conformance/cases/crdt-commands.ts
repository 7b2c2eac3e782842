import { CrdtWriteConsistency } from "../../../lib/wire/gen/cloudstate/crdt_pb.ts";
import { answered, effects, failed, forwarded, updated } from "../crdt-stream.ts";
import { ask, change, effectTo, fail, forwardTo, state, update, type Update } from "../crdt-words.ts";
import { discovered } from "../discovered.ts";
import { UpdateWriteConsistency } from "../gen/tck/crdt_pb.ts";
import { same } from "../plain.ts";
import { type Case, modelCase } from "../stage.ts";
import { onStream } from "./crdt-common.ts";

/** C1 and C2. */
export const crdtDiscoveryCases: readonly Case[] = [
  modelCase("C1", "CRDT: discovery", async (stage) => {
    const { entities } = await discovered(stage.function);
    for (const name of ["CrdtTckModel", "CrdtTwo"]) {
      const entity = entities.find(({ serviceName }) => serviceName === `cloudstate.tck.model.crdt.${name}`);
      same(entity?.entityType, "cloudstate.crdt.Crdt", `the type of ${name}`);
    }
  }),
  modelCase("C2", "CRDT: passivation timeout", async (stage) => {
    const { entities } = await discovered(stage.function);
    const entity = entities.find(({ serviceName }) => serviceName === "cloudstate.tck.model.crdt.CrdtConfigured");
    same(entity?.entityType, "cloudstate.crdt.Crdt", "the type of CrdtConfigured");
    same(entity?.passivationStrategy?.strategy.value?.timeout, 100n, "its timeout");
  }),
];

const { gcounter, pncounter, gset, orset, flag, ormap } = state;

/** C68–C76: forwards, effects and failures. */
export const crdtActionCases: readonly Case[] = [
  onStream("C68", "GCounter", "forward", async (open) => {
    const entity = open();
    await entity.command([update(ask.gcounter(42n))], gcounter(42n), change.gcounter(42n));
    entity.send([forwardTo("X-id")]);
    await entity.reply(forwarded("X-id"));
    await entity.command([], gcounter(42n));
    await entity.passivate();
  }),
  onStream("C69", "PNCounter", "forward with a change", async (open) => {
    const entity = open();
    entity.send([update(ask.pncounter(-42n)), forwardTo("X-id")]);
    await entity.reply({ ...forwarded("X-id"), stateAction: updated(change.pncounter(-42n)) });
    await entity.passivate();
  }),
  onStream("C70", "GSet", "effect", async (open) => {
    const entity = open();
    await entity.command([update(ask.gset("one"))], gset("one"), change.gset("one"));
    entity.send([effectTo("X-id")]);
    await entity.reply({ ...answered(gset("one")), sideEffects: effects(["X-id", false]) });
    await entity.command([], gset("one"));
    await entity.passivate();
  }),
  onStream("C71", "ORSet", "synchronous effect", async (open) => {
    const entity = open();
    entity.send([effectTo("X-id", true)]);
    await entity.reply({ ...answered(orset()), sideEffects: effects(["X-id", true]) });
    await entity.passivate();
  }),
  onStream("C72", "LWWRegister", "forward and effect", async (open) => {
    const entity = open();
    entity.send([forwardTo("X-id"), effectTo("Y-id")]);
    await entity.reply({
      ...forwarded("X-id"),
      sideEffects: effects(["Y-id", false]),
      stateAction: updated(change.lwwregister("")),
    });
    await entity.passivate();
  }),
  onStream("C73", "Flag", "three effects", async (open) => {
    const entity = open();
    entity.send([effectTo("X-1"), effectTo("X-2"), effectTo("X-3")]);
    await entity.reply({
      ...answered(flag(false)),
      sideEffects: effects(["X-1", false], ["X-2", false], ["X-3", false]),
    });
    await entity.passivate();
  }),
  onStream("C74", "ORMap", "effects with changes", async (open) => {
    const entity = open();
    const at = (key: string, change: Update) => update(ask.mapUpdate(key, change));
    entity.send([
      effectTo("X-1"),
      ...["a", "b", "c"].map((element) => at("GSet-1", ask.gset(element))),
      effectTo("X-2"),
      update(ask.mapAdd("PNCounter-1")),
      effectTo("X-3"),
    ]);
    await entity.reply({
      ...answered(ormap({ "GSet-1": gset("a", "b", "c"), "PNCounter-1": pncounter(0n) })),
      sideEffects: effects(["X-1", false], ["X-2", false], ["X-3", false]),
      stateAction: updated(
        change.ormap({ added: { "GSet-1": change.gset("a", "b", "c"), "PNCounter-1": change.pncounter(0n) } }),
      ),
    });
    await entity.passivate();
  }),
  onStream("C75", "Vote", "failure", async (open) => {
    const entity = open();
    entity.send([fail("expected failure")]);
    await entity.reply(failed(1n, "expected failure"));
    await entity.passivate();
  }),
  onStream("C76", "GCounter", "goes on after a failure", async (open) => {
    const entity = open();
    await entity.command([update(ask.gcounter(42n))], gcounter(42n), change.gcounter(42n));
    entity.send([fail("expected failure")]);
    await entity.reply(failed(2n, "expected failure"));
    await entity.command([], gcounter(42n));
    await entity.passivate();
  }),
];

/** C77–C82: streamed commands and write consistency. */
export const crdtStreamCases: readonly Case[] = [
  onStream("C77", "GCounter", "streamed", async (open) => {
    const entity = open();
    const stream = entity.stream({});
    await entity.reply({ ...answered(gcounter(0n)), streamed: true });
    let sum = 0n;
    for (const amount of [1n, 2n, 3n]) {
      sum += amount;
      await entity.command([update(ask.gcounter(amount))], gcounter(sum), change.gcounter(amount));
      await entity.streamed({ commandId: stream, ...answered(gcounter(sum)) });
    }
    await entity.passivate();
  }),
  onStream("C78", "GCounter", "streamed to an end state", async (open) => {
    const entity = open();
    const stream = entity.stream({ endState: gcounter(3n) });
    await entity.reply({ ...answered(gcounter(0n)), streamed: true });
    await entity.command([update(ask.gcounter(1n))], gcounter(1n), change.gcounter(1n));
    await entity.streamed({ commandId: stream, ...answered(gcounter(1n)) });
    await entity.command([update(ask.gcounter(2n))], gcounter(3n), change.gcounter(2n));
    await entity.streamed({ commandId: stream, ...answered(gcounter(3n)), endStream: true });
    await entity.command([update(ask.gcounter(3n))], gcounter(6n), change.gcounter(3n));
    await entity.passivate();
  }),
  onStream("C79", "PNCounter", "streamed and cancelled", async (open) => {
    const entity = open();
    const stream = entity.stream({ cancelUpdate: ask.pncounter(-42n) });
    await entity.reply({ ...answered(pncounter(0n)), streamed: true });
    let sum = 0n;
    for (const amount of [10n, 20n]) {
      sum += amount;
      await entity.command([update(ask.pncounter(amount))], pncounter(sum), change.pncounter(amount));
      await entity.streamed({ commandId: stream, ...answered(pncounter(sum)) });
    }
    entity.cancel(stream);
    await entity.cancelled({ commandId: stream, stateAction: updated(change.pncounter(-42n)) });
    await entity.command([], pncounter(-12n));
    await entity.command([update(ask.pncounter(30n))], pncounter(18n), change.pncounter(30n));
    await entity.passivate();
  }),
  onStream("C80", "PNCounter", "streamed, empty and cancelled", async (open) => {
    const entity = open();
    await entity.command([update(ask.pncounter(10n))], pncounter(10n), change.pncounter(10n));
    const stream = entity.stream({ cancelUpdate: ask.pncounter(-42n), empty: true });
    await entity.reply({ streamed: true });
    entity.cancel(stream);
    await entity.cancelled({ commandId: stream, stateAction: updated(change.pncounter(-42n)) });
    await entity.command([], pncounter(-32n));
    await entity.passivate();
  }),
  onStream("C81", "GCounter", "streamed with effects", async (open) => {
    const entity = open();
    const stream = entity.stream({ effects: [{ id: "one" }, { id: "two", synchronous: true }] });
    await entity.reply({ ...answered(gcounter(0n)), streamed: true });
    let sum = 0n;
    for (const amount of [1n, 2n]) {
      sum += amount;
      await entity.command([update(ask.gcounter(amount))], gcounter(sum), change.gcounter(amount));
      const sideEffects = effects(["one", false], ["two", true]);
      await entity.streamed({ commandId: stream, ...answered(gcounter(sum)), sideEffects });
    }
    await entity.passivate();
  }),
  onStream("C82", "GCounter", "write consistency", async (open) => {
    const entity = open();
    let sum = 0n;
    const wanted = [CrdtWriteConsistency.LOCAL, CrdtWriteConsistency.MAJORITY, CrdtWriteConsistency.ALL];
    const asked = [
      UpdateWriteConsistency.LOCAL_UNSPECIFIED,
      UpdateWriteConsistency.MAJORITY,
      UpdateWriteConsistency.ALL,
    ];
    for (const [index, writeConsistency] of asked.entries()) {
      const amount = BigInt(index + 1);
      sum += amount;
      entity.send([update({ ...ask.gcounter(amount), writeConsistency })]);
      const stateAction = updated(change.gcounter(amount), wanted[index]);
      await entity.reply({ ...answered(gcounter(sum)), stateAction });
    }
    await entity.passivate();
  }),
];
