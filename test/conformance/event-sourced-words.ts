import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import {
  type EventSourcedReply,
  type EventSourcedReplySchema,
  type EventSourcedStreamInSchema,
} from "../../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import { payload } from "./action-words.ts";
import {
  EventSourcedTwo,
  PersistedSchema,
  type RequestActionSchema,
  RequestSchema,
  ResponseSchema,
} from "./gen/tck/event_sourced_pb.ts";

export type Action = MessageInitShape<typeof RequestActionSchema>;
/** A reply by its fields. */
export type Reply = Exclude<MessageInitShape<typeof EventSourcedReplySchema>, EventSourcedReply>;
type StreamIn = MessageInitShape<typeof EventSourcedStreamInSchema>;

/** What a request asks for. */
export const emit = (value: string): Action => ({ action: { case: "emit", value: { value } } });
export const forwardTo = (id: string): Action => ({ action: { case: "forward", value: { id } } });
export const effectTo = (id: string, synchronous = false): Action => ({
  action: { case: "effect", value: { id, synchronous } },
});
export const fail = (message: string): Action => ({ action: { case: "fail", value: { message } } });

export interface Snapshot {
  readonly sequence: bigint;
  readonly value: string;
}

const persisted = (value: string): Any => payload(PersistedSchema, { value });

/** The first message of an event-sourced entity's stream; no snapshot is not an empty one. */
export function initOf(serviceName: string, entityId: string, snapshot?: Snapshot): StreamIn {
  const kept = snapshot && { snapshotSequence: snapshot.sequence, snapshot: persisted(snapshot.value) };
  return { message: { case: "init", value: { serviceName, entityId, ...(kept && { snapshot: kept }) } } };
}

/** A stored event. */
export function eventOf(sequence: bigint, value: string): StreamIn {
  return { message: { case: "event", value: { sequence, payload: persisted(value) } } };
}

export function answered(message: string): Reply {
  return { clientAction: { action: { case: "reply", value: { payload: payload(ResponseSchema, { message }) } } } };
}

export function forwarded(id: string): Reply {
  return { clientAction: { action: { case: "forward", value: callOfTwo(id) } } };
}

export function failed(commandId: bigint, description: string, restart = false): Reply {
  return { clientAction: { action: { case: "failure", value: { commandId, description, restart } } } };
}

/** The events of a reply. */
export function events(...values: string[]): Pick<Reply, "events"> {
  return { events: values.map(persisted) };
}

/** The snapshot of a reply. */
export function snapshot(value: string): Pick<Reply, "snapshot"> {
  return { snapshot: persisted(value) };
}

/** Effects on the other entity. */
export function effects(...targets: (readonly [id: string, synchronous: boolean])[]): Pick<Reply, "sideEffects"> {
  return { sideEffects: targets.map(([id, synchronous]) => ({ ...callOfTwo(id), synchronous })) };
}

function callOfTwo(id: string) {
  return { serviceName: EventSourcedTwo.typeName, commandName: "Call", payload: payload(RequestSchema, { id }) };
}
