import { create } from "@bufbuild/protobuf";
import { EventSourced, type EventSourcedStreamOut } from "../../../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import {
  ValueEntityActionSchema,
  type ValueEntityStreamOut,
  ValueEntityStreamOutSchema,
} from "../../../lib/wire/gen/cloudstate/value_entity_pb.ts";
import { payload } from "../action-words.ts";
import { emit, eventOf, fail, initOf, snapshot } from "../event-sourced-words.ts";
import { EventSourcedTckModel, RequestSchema } from "../gen/tck/event_sourced_pb.ts";
import { RequestSchema as ValueRequestSchema, ValueEntityTckModel } from "../gen/tck/value_entity_pb.ts";
import { post } from "../http.ts";
import { same } from "../plain.ts";
import type { Recorder } from "../recorder.ts";
import { RecordedStream } from "../recorded.ts";
import { type Case, extraCase, type ProxyStage } from "../stage.ts";
import { eventSourcedSide, isCommandOf, type Side, valueSide } from "../stored-side.ts";
import { answered, updated } from "../value-words.ts";

type Made = Parameters<Recorder["change"]>[1];

/** How long a command that must wait is watched. */
const waitingMs = 50;

/** Something is wrong with the function's answer: the caller hears a fixed text, and the next one finds what was stored. */
async function falls(stage: ProxyStage, side: Side, text: string, made: Made): Promise<void> {
  const id = stage.fresh("fallen");
  await side.write(stage, id, "one").expect({ message: "one" });
  const first = await side.begins(stage, id);
  await first.skip();

  stage.recorder.change(isCommandOf(id), made);
  same(await side.read(stage, id).failure(), text, "description");
  // What a model makes of the state that it begins with is its own affair: Java's shows none of it before a change.
  await side.read(stage, id).message();
  const second = await side.begins(stage, id, "one");
  await second.skip();

  stage.recorder.change(isCommandOf(id), made);
  const { status, body } = await post(stage, side.path(id), {});
  same({ status, body }, { status: 500, body: text }, "the same over HTTP");
}

/** Commands that wait behind one that fails the stream hear that the entity was terminated. */
async function fallsWithOthers(stage: ProxyStage, side: Side): Promise<void> {
  const id = stage.fresh("fallen");
  const hold = stage.recorder.hold(isCommandOf(id));
  stage.recorder.change(isCommandOf(id), () => ({ messages: [side.failure(1n, "an inner matter")] }));
  const first = side.read(stage, id);
  const stream = await side.begins(stage, id);
  await stream.skip();
  const waiting = [side.read(stage, id), side.read(stage, id)];
  await stream.silent(waitingMs);
  hold.release();
  same(await first.failure(), side.texts.failure, "description for the one that was out");
  for (const call of waiting) same(await call.failure(), side.texts.terminated, "description for those that waited");
}

/** The second command is not sent before the first was replied to. */
async function oneAtATime(stage: ProxyStage, side: Side): Promise<void> {
  const id = stage.fresh("serial");
  const hold = stage.recorder.hold(isCommandOf(id));
  const first = side.write(stage, id, "A");
  const stream = await side.begins(stage, id);
  await stream.skip();
  const second = side.read(stage, id);
  await stream.silent(waitingMs);
  hold.release();
  await first.expect({ message: "A" });
  await second.expect({ message: "A" });
  await stream.skip();
}

/** X1–X9: value and event-sourced entities when something goes wrong, and their order. */
export const extraStoredCases: readonly Case[] = [
  ...failuresOf("X1", "X2", "X3", "value entity", valueSide),
  extraCase("X4", "value entity: an update without a value ends the entity", valueSide.needs, (stage) =>
    falls(stage, valueSide, valueSide.texts.failure, (said) => ({
      messages: [withoutValue(said as ValueEntityStreamOut)],
    })),
  ),
  extraCase(
    "X5",
    "value entity: an effect that waits for the same entity does not block it",
    valueSide.needs,
    (stage) => effectOnItself(stage),
  ),
  ...failuresOf("X6", "X7", "X8", "event sourced", eventSourcedSide),
  extraCase(
    "X9",
    "event sourced: a restart replays snapshot and events, and keeps waiting commands in order",
    eventSourcedSide.needs,
    (stage) => restartInOrder(stage),
  ),
  extraCase("X10", "event sourced: a snapshot without events is not kept", eventSourcedSide.needs, async (stage) => {
    const id = stage.fresh("snapshot");
    await eventSourcedSide.write(stage, id, "A").expect({ message: "A" });
    const stream = await eventSourcedSide.begins(stage, id);
    await stream.skip();
    stage.recorder.change(isCommandOf(id), (said) => {
      const { message } = said as EventSourcedStreamOut;
      if (message.case === "reply") Object.assign(message.value, snapshot("nonsense"));
      return { messages: [said] };
    });
    await eventSourcedSide.read(stage, id).expect({ message: "A" });
    stage.recorder.change(isCommandOf(id), () => ({ messages: [], then: "break" }));
    await eventSourcedSide.read(stage, id).failure();
    await eventSourcedSide.read(stage, id).expect({ message: "A" });
    await (await eventSourcedSide.begins(stage, id, "A")).skip();
  }),
];

function failuresOf(failed: string, ended: string, order: string, kind: string, side: Side): Case[] {
  const { texts, needs } = side;
  return [
    extraCase(failed, `${kind}: failures of the stream, and replies that nobody asked for`, needs, async (stage) => {
      await falls(stage, side, texts.failure, () => ({ messages: [side.failure(0n, "an inner matter")] }));
      await falls(stage, side, texts.reply, () => ({ messages: [side.reply(77n)] }));
      await falls(stage, side, texts.message, () => ({ messages: [side.empty()] }));
    }),
    extraCase(ended, `${kind}: a stream that the function ends or breaks off`, needs, async (stage) => {
      await falls(stage, side, texts.termination, () => ({ messages: [], then: "end" }));
      await falls(stage, side, texts.termination, () => ({ messages: [], then: "break" }));
    }),
    extraCase(order, `${kind}: one command at a time; those that wait fall with it`, needs, async (stage) => {
      await oneAtATime(stage, side);
      await fallsWithOthers(stage, side);
    }),
  ];
}

function withoutValue(said: ValueEntityStreamOut): ValueEntityStreamOut {
  if (said.message.case !== "reply") return said;
  const stateAction = create(ValueEntityActionSchema, { action: { case: "update", value: {} } });
  return create(ValueEntityStreamOutSchema, {
    message: { case: "reply", value: { ...said.message.value, stateAction } },
  });
}

/** The effect is carried out by the same entity, after the state was stored and before the answer. */
async function effectOnItself(stage: ProxyStage): Promise<void> {
  const id = stage.fresh("itself");
  stage.recorder.change(isCommandOf(id), (said) => {
    const { message } = said as ValueEntityStreamOut;
    if (message.case !== "reply") return { messages: [said] };
    const sent = payload(ValueRequestSchema, {
      id,
      actions: [{ action: { case: "update", value: { value: "two" } } }],
    });
    const target = { serviceName: ValueEntityTckModel.typeName, commandName: "Process", payload: sent };
    const value = {
      commandId: 1n,
      ...answered("one", updated("one")),
      sideEffects: [{ ...target, synchronous: true }],
    };
    return { messages: [create(ValueEntityStreamOutSchema, { message: { case: "reply", value } })] };
  });
  await valueSide.write(stage, id, "one").expect({ message: "one" });
  const stream = await valueSide.begins(stage, id);
  await stream.skip();
  await stream.skip();
  await valueSide.read(stage, id).expect({ message: "two" });
}

async function restartInOrder(stage: ProxyStage): Promise<void> {
  const id = stage.fresh("restarted");
  const { process } = EventSourcedTckModel.method;
  const { handle } = EventSourced.method;
  const five = ["1", "2", "3", "4", "5"].map(emit);
  await stage.client.start(process, { id, actions: five }).expect({ message: "12345" });
  const first = await eventSourcedSide.begins(stage, id);
  await first.skip();
  await eventSourcedSide.write(stage, id, "6").expect({ message: "123456" });
  await first.skip();

  const hold = stage.recorder.hold(isCommandOf(id));
  stage.recorder.change(isCommandOf(id), (said) => {
    const { message } = said as EventSourcedStreamOut;
    const action = message.case === "reply" ? message.value.clientAction?.action : undefined;
    if (action?.case === "failure") action.value.restart = true;
    return { messages: [said] };
  });
  const failing = stage.client.start(process, { id, actions: [fail("begin anew")] });
  await first.skip();
  const waiting = ["a", "b", "c"].map((letter) => eventSourcedSide.write(stage, id, letter));
  await first.silent(waitingMs);
  hold.release();
  same(await failing.failure(), "begin anew", "description");
  await first.closed();

  const snapshotOfFive = { sequence: 5n, value: "12345" };
  const second = await RecordedStream.open(stage, handle, initOf(EventSourcedTckModel.typeName, id, snapshotOfFive));
  await second.in(eventOf(6n, "6"));
  let commandId = 0n;
  for (const letter of ["a", "b", "c"]) {
    commandId += 1n;
    const sent = payload(RequestSchema, { id, actions: [emit(letter)] });
    await second.in({
      message: { case: "command", value: { entityId: id, id: commandId, name: "Process", payload: sent } },
    });
  }
  await waiting[0]!.expect({ message: "123456a" });
  await waiting[1]!.expect({ message: "123456ab" });
  await waiting[2]!.expect({ message: "123456abc" });
}
