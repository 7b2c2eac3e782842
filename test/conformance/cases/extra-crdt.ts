import { create, type Message } from "@bufbuild/protobuf";
import { Crdt, type CrdtStreamOut, CrdtStreamOutSchema } from "../../../lib/wire/gen/cloudstate/crdt_pb.ts";
import { payload } from "../action-words.ts";
import { answered, initOf } from "../crdt-stream.ts";
import { ask, change, state, update } from "../crdt-words.ts";
import { AddRequestSchema, SharedLeft, SharedRight } from "../gen/massa/extra_pb.ts";
import { CrdtTckModel, CrdtTwo, RequestSchema } from "../gen/tck/crdt_pb.ts";
import { same } from "../plain.ts";
import { commandIn } from "../recorder.ts";
import { RecordedStream } from "../recorded.ts";
import { type Case, extraCase, type ProxyStage } from "../stage.ts";

const { handle } = Crdt.method;
const { process, processStreamed } = CrdtTckModel.method;
const { gcounter } = state;
const waitingMs = 50;
const model = [CrdtTckModel, CrdtTwo];
const sharing = [SharedLeft, SharedRight];

const isCommand =
  (id: string, commandId: bigint) =>
  (message: Message): boolean => {
    const command = commandIn(message);
    return command?.entityId === id && command.id === commandId;
  };

const increment = (id: string, by: bigint) => ({ id, actions: [update(ask.gcounter(by))] });

/** An entity with one command behind it, and what was recorded of it. */
async function begun(stage: ProxyStage, id: string): Promise<RecordedStream<typeof handle>> {
  await stage.client.start(process, increment(id, 1n)).expect({ state: gcounter(1n) });
  const stream = await RecordedStream.open(stage, handle, initOf(CrdtTckModel.typeName, id));
  await stream.skip();
  return stream;
}

/** X11–X16: CRDT entities when something goes wrong, and who may change what when. */
export const extraCrdtCases: readonly Case[] = [
  extraCase("X11", "CRDT: a failure of the stream that names a command fails that one alone", model, async (stage) => {
    const id = stage.fresh("GCounter");
    const stream = await begun(stage, id);
    const value = { commandId: 2n, description: "this command", restart: false };
    stage.recorder.change(isCommand(id, 2n), () => ({ messages: [failureOf(value)] }));
    same(await stage.client.start(process, { id }).failure(), "this command", "description");
    await stream.skip();
    await stage.client.start(process, { id }).expect({ state: gcounter(1n) });
    await stream.skip();
  }),

  extraCase("X12", "CRDT: a reply that nobody asked for ends the entity, and is reported", model, async (stage) => {
    const id = stage.fresh("GCounter");
    const stream = await begun(stage, id);
    const monitor = stage.client.start(processStreamed, { id });
    await monitor.expect({ state: gcounter(1n) });
    await stream.skip();
    stage.recorder.change(isCommand(id, 3n), (said) => {
      const { message } = said as CrdtStreamOut;
      if (message.case === "reply") message.value.commandId = 77n;
      return { messages: [said] };
    });
    same(await stage.client.start(process, { id }).failure(), "Entity terminating", "description");
    same(await monitor.failure(), "Entity terminating", "description for the open stream");
    await stage.recorder.report(`Received reply for entity id ${id} for unknown command 77`);
    // The state was never the function's alone.
    await stage.client.start(process, { id }).expect({ state: gcounter(1n) });
    await RecordedStream.open(stage, handle, initOf(CrdtTckModel.typeName, id, change.gcounter(1n)));
  }),

  extraCase("X13", "CRDT: a streamed message for no stream is reported, and else ignored", model, async (stage) => {
    const id = stage.fresh("GCounter");
    const stream = await begun(stage, id);
    stage.recorder.change(isCommand(id, 2n), (said) => ({
      messages: [
        create(CrdtStreamOutSchema, {
          message: { case: "streamedMessage", value: { commandId: 77n, ...answered(gcounter(0n)) } },
        }),
        said,
      ],
    }));
    await stage.client.start(process, { id }).expect({ state: gcounter(1n) });
    await stage.recorder.report("Received streamed message for unknown command id: 77");
    await stream.skip();
  }),

  extraCase("X14", "CRDT: commands do not wait for each other", model, async (stage) => {
    const id = stage.fresh("GCounter");
    const stream = await begun(stage, id);
    const hold = stage.recorder.hold(isCommand(id, 2n));
    const second = stage.client.start(process, increment(id, 2n));
    await stream.skip();
    const third = stage.client.start(process, increment(id, 4n));
    const sent = payload(RequestSchema, increment(id, 4n));
    await stream.in({ message: { case: "command", value: { entityId: id, id: 3n, name: "Process", payload: sent } } });
    hold.release();
    await second.expect({ state: gcounter(3n) });
    await third.expect({ state: gcounter(7n) });
  }),

  extraCase(
    "X15",
    "CRDT: changes from elsewhere are withheld while a command is out, then told at once",
    sharing,
    (stage) => withheld(stage),
  ),

  extraCase("X16", "CRDT: a delete from elsewhere is told, and the stream half-closed", sharing, async (stage) => {
    const id = stage.fresh("shared");
    const { left, right } = await bothSides(stage, id);
    const removed = stage.client.start(SharedLeft.method.remove, { id });
    await removed.expect({ value: 3n });
    await left.skip();
    await left.closed();
    await right.in({ message: { case: "delete", value: {} } });
    await right.closed();
  }),
];

function failureOf(value: { commandId: bigint; description: string; restart: boolean }): Message {
  return create(CrdtStreamOutSchema, { message: { case: "failure", value } });
}

/** One entity, active in both services: 1 from the left, 2 from the right. */
async function bothSides(stage: ProxyStage, id: string) {
  await stage.client.start(SharedLeft.method.add, { id, amount: 1n }).expect({ value: 1n });
  const left = await RecordedStream.open(stage, handle, initOf(SharedLeft.typeName, id));
  await left.skip();
  await stage.client.start(SharedRight.method.add, { id, amount: 2n }).expect({ value: 3n });
  const right = await RecordedStream.open(stage, handle, initOf(SharedRight.typeName, id, change.pncounter(1n)));
  await right.skip();
  await left.in({ message: { case: "delta", value: change.pncounter(2n) } });
  return { left, right };
}

async function withheld(stage: ProxyStage): Promise<void> {
  const id = stage.fresh("shared");
  const { left, right } = await bothSides(stage, id);
  const hold = stage.recorder.hold(isCommand(id, 2n));
  const waiting = stage.client.start(SharedRight.method.add, { id, amount: 100n });
  const sent = payload(AddRequestSchema, { id, amount: 100n });
  await right.in({ message: { case: "command", value: { entityId: id, id: 2n, name: "Add", payload: sent } } });
  await right.said();
  for (const sum of [13n, 23n]) {
    await stage.client.start(SharedLeft.method.add, { id, amount: 10n }).expect({ value: sum });
    await left.skip();
  }
  await right.silent(waitingMs);
  hold.release();
  await waiting.expect({ value: 103n });
  await right.in({ message: { case: "delta", value: change.pncounter(20n) } });
  await left.in({ message: { case: "delta", value: change.pncounter(100n) } });
}
