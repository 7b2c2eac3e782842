import { create, type DescMethod, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { EventSourced, EventSourcedStreamOutSchema } from "../../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import { ValueEntity, ValueEntityStreamOutSchema } from "../../lib/wire/gen/cloudstate/value_entity_pb.ts";
import type { Call } from "./call.ts";
import * as eventSourced from "./event-sourced-words.ts";
import { EventSourcedTckModel, EventSourcedTwo } from "./gen/tck/event_sourced_pb.ts";
import { ValueEntityTckModel, ValueEntityTwo } from "./gen/tck/value_entity_pb.ts";
import { commandIn } from "./recorder.ts";
import { RecordedStream } from "./recorded.ts";
import type { ProxyStage } from "./stage.ts";
import * as value from "./value-words.ts";

type Process = typeof ValueEntityTckModel.method.process | typeof EventSourcedTckModel.method.process;

/** What the two kinds with one command at a time have in common, so that a case can be of either. */
export interface Side {
  readonly needs: readonly { readonly typeName: string }[];
  /** The HTTP path of an entity. */
  path(id: string): string;
  /** Calls the model: it answers the state after adding, or putting, a value. */
  write(stage: ProxyStage, id: string, value: string): Call<Process>;
  /** Calls the model, which answers the state. */
  read(stage: ProxyStage, id: string): Call<Process>;
  /** The next stream, which must begin with what was stored. */
  begins(stage: ProxyStage, id: string, ...stored: string[]): Promise<RecordedStream<DescMethod>>;
  /** A message that the function seems to say. */
  failure(commandId: bigint, description: string): Message;
  reply(commandId: bigint): Message;
  empty(): Message;
  readonly texts: {
    readonly failure: string;
    readonly termination: string;
    readonly reply: string;
    readonly message: string;
    readonly terminated: string;
  };
}

export const valueSide: Side = {
  needs: [ValueEntityTckModel, ValueEntityTwo],
  path: (id) => `/tck/model/entity/${id}`,
  write: (stage, id, text) =>
    stage.client.start(ValueEntityTckModel.method.process, { id, actions: [value.set(text)] }),
  read: (stage, id) => stage.client.start(ValueEntityTckModel.method.process, { id }),
  begins: (stage, id, ...stored) =>
    RecordedStream.open(
      stage,
      ValueEntity.method.handle,
      value.initOf(ValueEntityTckModel.typeName, id, stored.at(-1)),
    ),
  failure: (commandId, description) => valueOut({ case: "failure", value: { commandId, description } }),
  reply: (commandId) => valueOut({ case: "reply", value: { commandId, ...value.answered("") } }),
  empty: () => valueOut({ case: undefined }),
  texts: {
    failure: "Unexpected Value entity failure",
    termination: "Unexpected Value entity termination",
    reply: "Unexpected Value entity reply",
    message: "Unexpected Value entity failure",
    terminated: "Value entity terminated",
  },
};

export const eventSourcedSide: Side = {
  needs: [EventSourcedTckModel, EventSourcedTwo],
  path: (id) => `/tck/model/eventsourced/${id}`,
  write: (stage, id, text) =>
    stage.client.start(EventSourcedTckModel.method.process, { id, actions: [eventSourced.emit(text)] }),
  read: (stage, id) => stage.client.start(EventSourcedTckModel.method.process, { id }),
  async begins(stage, id, ...stored) {
    const init = eventSourced.initOf(EventSourcedTckModel.typeName, id);
    const stream = await RecordedStream.open(stage, EventSourced.method.handle, init);
    let sequence = 0n;
    for (const text of stored) await stream.in(eventSourced.eventOf(++sequence, text));
    return stream;
  },
  failure: (commandId, description) => eventSourcedOut({ case: "failure", value: { commandId, description } }),
  reply: (commandId) => eventSourcedOut({ case: "reply", value: { commandId, ...eventSourced.answered("") } }),
  empty: () => eventSourcedOut({ case: undefined }),
  texts: {
    failure: "Unexpected entity failure",
    termination: "Unexpected entity termination",
    reply: "Unexpected entity reply",
    message: "Unexpected entity message",
    terminated: "Entity terminated",
  },
};

/** Whether a message is a command of an entity. */
export function isCommandOf(id: string): (message: Message) => boolean {
  return (message) => commandIn(message)?.entityId === id;
}

function valueOut(message: NonNullable<MessageInitShape<typeof ValueEntityStreamOutSchema>["message"]>): Message {
  return create(ValueEntityStreamOutSchema, { message });
}

function eventSourcedOut(
  message: NonNullable<MessageInitShape<typeof EventSourcedStreamOutSchema>["message"]>,
): Message {
  return create(EventSourcedStreamOutSchema, { message });
}
