import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type ValueEntityActionSchema,
  type ValueEntityReply,
  type ValueEntityReplySchema,
  type ValueEntityStreamInSchema,
} from "../../lib/wire/gen/cloudstate/value_entity_pb.ts";
import { payload } from "./action-words.ts";
import {
  PersistedSchema,
  type RequestActionSchema,
  RequestSchema,
  ResponseSchema,
  ValueEntityTwo,
} from "./gen/tck/value_entity_pb.ts";

export type Action = MessageInitShape<typeof RequestActionSchema>;
/** A reply by its fields. */
export type Reply = Exclude<MessageInitShape<typeof ValueEntityReplySchema>, ValueEntityReply>;
type StateAction = MessageInitShape<typeof ValueEntityActionSchema>;
type StreamIn = MessageInitShape<typeof ValueEntityStreamInSchema>;

/** What a request asks for. */
export const set = (value: string): Action => ({ action: { case: "update", value: { value } } });
export const erase: Action = { action: { case: "delete", value: {} } };
export const forwardTo = (id: string): Action => ({ action: { case: "forward", value: { id } } });
export const effectTo = (id: string, synchronous = false): Action => ({
  action: { case: "effect", value: { id, synchronous } },
});
export const fail = (message: string): Action => ({ action: { case: "fail", value: { message } } });

/** The first message of a value entity's stream: its state is there, and empty when there is no value. */
export function initOf(serviceName: string, entityId: string, value?: string): StreamIn {
  const state = value === undefined ? {} : { value: payload(PersistedSchema, { value }) };
  return { message: { case: "init", value: { serviceName, entityId, state } } };
}

export const updated = (value: string): StateAction => ({
  action: { case: "update", value: { value: payload(PersistedSchema, { value }) } },
});
export const deleted: StateAction = { action: { case: "delete", value: {} } };

/** A reply that answers a message, with what it does to the state. */
export function answered(message: string, stateAction?: StateAction): Reply {
  return {
    clientAction: { action: { case: "reply", value: { payload: payload(ResponseSchema, { message }) } } },
    ...(stateAction && { stateAction }),
  };
}

export function forwarded(id: string, stateAction?: StateAction): Reply {
  return { clientAction: { action: { case: "forward", value: callOfTwo(id) } }, ...(stateAction && { stateAction }) };
}

export function failed(commandId: bigint, description: string): Reply {
  return { clientAction: { action: { case: "failure", value: { commandId, description } } } };
}

/** Effects on the other entity. */
export function effects(...targets: (readonly [id: string, synchronous: boolean])[]): Pick<Reply, "sideEffects"> {
  return { sideEffects: targets.map(([id, synchronous]) => ({ ...callOfTwo(id), synchronous })) };
}

function callOfTwo(id: string) {
  return { serviceName: ValueEntityTwo.typeName, commandName: "Call", payload: payload(RequestSchema, { id }) };
}
