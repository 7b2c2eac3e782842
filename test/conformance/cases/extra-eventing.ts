import { create, type Message } from "@bufbuild/protobuf";
import {
  type ActionCommand,
  ActionProtocol,
  ActionResponseSchema,
} from "../../../lib/wire/gen/cloudstate/action_pb.ts";
import { EventSourced } from "../../../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import { payload } from "../action-words.ts";
import { initOf } from "../event-sourced-words.ts";
import {
  EffectRequestSchema,
  EventLogSubscriberModel,
  EventOneSchema,
  EventSourcedEntityOne,
  EventTwoSchema,
  ResponseSchema,
} from "../gen/tck/event_log_eventing_pb.ts";
import { same } from "../plain.ts";
import { RecordedStream } from "../recorded.ts";
import { expectIn, expectOut, recordedUnary } from "../recorded-action.ts";
import { type Case, extraCase, type ProxyStage } from "../stage.ts";

const { handleUnary, handleStreamedOut } = ActionProtocol.method;
const { emitEvent } = EventSourcedEntityOne.method;
const needs = [EventLogSubscriberModel, EventSourcedEntityOne];
const replying = (message: string) => ({ step: { case: "reply" as const, value: { message } } });
const answering = (id: string, message: string) => ({
  response: { case: "reply" as const, value: { payload: payload(ResponseSchema, { id, message }) } },
});
const to = (name: string, sent: ReturnType<typeof payload>) => ({
  serviceName: EventLogSubscriberModel.typeName,
  name,
  payload: sent,
});

/** Has the entity emit events one by one, and takes what was recorded of it. */
async function emit(stage: ProxyStage, id: string, messages: readonly string[]): Promise<void> {
  for (const message of messages) {
    await stage.client.unary(emitEvent, { id, event: { case: "eventOne", value: { step: replying(message) } } });
  }
}

const one = (message: string) => payload(EventOneSchema, { step: replying(message) });

/** X41–X43: the event log, beyond one event. */
export const extraEventingCases: readonly Case[] = [
  extraCase(
    "X41",
    "event log: a method that streams out takes an event, and its forwards are followed",
    needs,
    async (stage) => {
      const id = stage.fresh("log");
      const step = [
        replying("one"),
        { step: { case: "forward" as const, value: { message: "two" } } },
        replying("three"),
      ];
      await stage.client.unary(emitEvent, { id, event: { case: "eventTwo", value: { step } } });
      await (
        await RecordedStream.open(stage, EventSourced.method.handle, initOf(EventSourcedEntityOne.typeName, id))
      ).skip();
      const streamed = await stage.recorder.connection(handleStreamedOut);
      await expectIn(streamed, to("ProcessEventTwo", payload(EventTwoSchema, { step })));
      await expectOut(streamed, answering(id, "one"));
      const request = payload(EffectRequestSchema, { id, message: "two" });
      const target = { serviceName: EventLogSubscriberModel.typeName, commandName: "Effect", payload: request };
      await expectOut(streamed, { response: { case: "forward", value: target } });
      await expectOut(streamed, answering(id, "three"));
      await streamed.closed();
      await recordedUnary(
        stage,
        to("Effect", payload(EffectRequestSchema, { id, message: "two" })),
        answering(id, "two"),
      );
    },
  ),

  extraCase(
    "X42",
    "event log: events of one entity come one after another, with their attributes",
    needs,
    async (stage) => {
      const id = stage.fresh("log");
      const isFirst = (message: Message) => {
        const { name, payload: sent } = message as ActionCommand;
        return name === "ProcessEventOne" && Buffer.from(sent!.value).includes("first");
      };
      const hold = stage.recorder.hold(isFirst);
      await emit(stage, id, ["first", "second"]);
      const entity = await RecordedStream.open(
        stage,
        EventSourced.method.handle,
        initOf(EventSourcedEntityOne.typeName, id),
      );
      await entity.skip();
      await entity.skip();
      const first = await stage.recorder.connection(handleUnary);
      const { metadata } = await expectIn(first, to("ProcessEventOne", one("first")));
      const attributes = Object.fromEntries(
        metadata!.entries.map(({ key, value }) => [key.toLowerCase(), value.value]),
      );
      same(attributes["ce-subject"], id, "ce-subject");
      same(attributes["ce-source"], "eventlogeventing-one", "ce-source");
      same(attributes["ce-type"], one("").typeUrl, "ce-type");
      await stage.recorder.nothingMore();
      hold.release();
      await first.takeOut();
      await first.closed();
      await recordedUnary(stage, to("ProcessEventOne", one("second")), answering(id, "second"));
    },
  ),

  extraCase("X43", "event log: a consumer that refuses an event does not hold up the next", needs, async (stage) => {
    const id = stage.fresh("log");
    const refusal = create(ActionResponseSchema, {
      response: { case: "failure", value: { description: "not this one" } },
    });
    stage.recorder.change(
      (message) => (message as ActionCommand).name === "ProcessEventOne",
      () => ({ messages: [refusal] }),
    );
    await emit(stage, id, ["refused", "taken"]);
    await stage.recorder.connection(EventSourced.method.handle);
    for (const wanted of ["refused", "taken"]) {
      await expectIn(await stage.recorder.connection(handleUnary), to("ProcessEventOne", one(wanted)));
    }
  }),
];
