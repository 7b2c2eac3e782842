import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, AnySchema, EmptySchema } from "@bufbuild/protobuf/wkt";
import {
  EventSourced,
  type EventSourcedStreamInSchema,
  type EventSourcedStreamOut,
  EventSourcedStreamOutSchema,
} from "../../../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import { payload } from "../action-words.ts";
import { initOf } from "../event-sourced-words.ts";
import {
  EffectRequestSchema,
  EmitEventRequestSchema,
  EventLogSubscriberModel,
  EventOneSchema,
  EventSourcedEntityOne,
  EventSourcedEntityTwo,
  JsonEventSchema,
  type ProcessStepSchema,
  ResponseSchema,
} from "../gen/tck/event_log_eventing_pb.ts";
import { same } from "../plain.ts";
import { RecordedStream } from "../recorded.ts";
import { recordedUnary } from "../recorded-action.ts";
import { type Case, proxyCase, type ProxyStage } from "../stage.ts";

const { handle } = EventSourced.method;
const empty = payload(EmptySchema, {});

/** The entity's own reply, with its events. */
function replyOf(events: readonly Any[]) {
  const clientAction = { action: { case: "reply" as const, value: { payload: empty } } };
  return { message: { case: "reply" as const, value: { commandId: 1n, clientAction, events: [...events] } } };
}

function commandOf(entityId: string, name: string, sent: Any): MessageInitShape<typeof EventSourcedStreamInSchema> {
  return { message: { case: "command", value: { entityId, id: 1n, name, payload: sent } } };
}

/** Has EntityOne emit an EventOne with a step, and judges what goes to it; the event goes on from there. */
async function emitted(stage: ProxyStage, id: string, step: MessageInitShape<typeof ProcessStepSchema>): Promise<Any> {
  const request = { id, event: { case: "eventOne" as const, value: { step } } };
  await stage.client.unary(EventSourcedEntityOne.method.emitEvent, request);
  const entity = await RecordedStream.open(stage, handle, initOf(EventSourcedEntityOne.typeName, id));
  await entity.in(commandOf(id, "EmitEvent", payload(EmitEventRequestSchema, request)));
  const event = payload(EventOneSchema, { step });
  await entity.out(replyOf([event]));
  return event;
}

function to(name: string, sent: Any) {
  return { serviceName: EventLogSubscriberModel.typeName, name, payload: sent };
}

function answering(id: string, message: string) {
  return { response: { case: "reply" as const, value: { payload: payload(ResponseSchema, { id, message }) } } };
}

const freshId = (stage: ProxyStage) => stage.fresh("eventlogeventing").replace("-", ":");

/** G1–G3: the event log of an entity as a source of events. */
export const eventLogCases: readonly Case[] = [
  proxyCase("G1", "event log: an event is consumed", async (stage) => {
    const id = freshId(stage);
    const event = await emitted(stage, id, { step: { case: "reply", value: { message: "some message" } } });
    await recordedUnary(stage, to("ProcessEventOne", event), answering(id, "some message"));
  }),

  proxyCase("G2", "event log: the consumer forwards", async (stage) => {
    const id = freshId(stage);
    const event = await emitted(stage, id, { step: { case: "forward", value: { message: "some message" } } });
    const request = payload(EffectRequestSchema, { id, message: "some message" });
    const target = { serviceName: EventLogSubscriberModel.typeName, commandName: "Effect", payload: request };
    await recordedUnary(stage, to("ProcessEventOne", event), { response: { case: "forward", value: target } });
    await recordedUnary(stage, to("Effect", request), answering(id, "some message"));
  }),

  proxyCase("G3", "event log: JSON events", async (stage) => {
    const id = freshId(stage);
    const message = "some json message";
    await stage.client.unary(EventSourcedEntityTwo.method.emitJsonEvent, { id, message });
    const entity = await RecordedStream.open(stage, handle, initOf(EventSourcedEntityTwo.typeName, id));
    await entity.in(commandOf(id, "EmitJsonEvent", payload(JsonEventSchema, { id, message })));
    const event = jsonEventOf(await entity.said());
    await recordedUnary(stage, to("ProcessAnyEvent", event), answering(id, message));
  }),
];

/** The one event of a reply: a JSON document, whatever its type is called. */
function jsonEventOf(said: EventSourcedStreamOut): Any {
  const events = said.message.case === "reply" ? said.message.value.events : [];
  const [event = create(AnySchema)] = events;
  same(event.typeUrl.startsWith("json.cloudstate.io/"), true, "the event's type URL is one of JSON documents");
  same(said, create(EventSourcedStreamOutSchema, replyOf([event])), "the reply");
  return event;
}
