import {
  type AnyValue,
  type ClientAction,
  type EntityCommand,
  readAnyField,
  readClientAction,
  readSideEffect,
  type SideEffect,
  writeAnyField,
} from "./protocol.ts";
import { grown, none, type ProtobufReader } from "./protobuf-reader.ts";
import { shared } from "./protobuf-writer.ts";
import { decodeSerialStreamOut, encodeSerialCommand, type SerialStreamOut } from "./serial-protocol.ts";

/** State as it was after the event numbered `sequence`. */
export interface Snapshot {
  readonly sequence: number;
  readonly payload: AnyValue;
}

/** The answer to a command, with the events that it emitted, in order. */
export interface EventSourcedReply {
  readonly type: "reply";
  readonly commandId: number;
  readonly clientAction: ClientAction | undefined;
  readonly sideEffects: readonly SideEffect[];
  readonly events: readonly AnyValue[];
  /** The state after all of `events`. */
  readonly snapshot: AnyValue | undefined;
}

/** What the function says on an event-sourced entity's stream. */
export type EventSourcedStreamOut = SerialStreamOut<EventSourcedReply>;

/** The opening message of an entity's stream as a gRPC frame; the snapshot is left out when there is none. */
export function encodeEventSourcedInit(
  serviceName: string,
  entityId: string,
  snapshot: Snapshot | undefined,
): Uint8Array {
  const writer = shared.begin();
  if (snapshot) {
    writeAnyField(writer, 2, snapshot.payload);
    if (snapshot.sequence !== 0) writer.number(1, snapshot.sequence);
    writer.close(3, 0);
  }
  if (entityId !== "") writer.text(2, entityId);
  if (serviceName !== "") writer.name(1, serviceName);
  writer.close(1, 0);
  return writer.finishFrame();
}

/** An event that is replayed, as a gRPC frame. */
export function encodeEvent(sequence: number, payload: AnyValue): Uint8Array {
  const writer = shared.begin();
  writeAnyField(writer, 2, payload);
  if (sequence !== 0) writer.number(1, sequence);
  writer.close(2, 0);
  return writer.finishFrame();
}

/** A command as a gRPC frame. */
export function encodeEventSourcedCommand(command: EntityCommand): Uint8Array {
  return encodeSerialCommand(3, command);
}

/** Throws `protocol` for what is no EventSourcedStreamOut. */
export function decodeEventSourcedStreamOut(bytes: Uint8Array): EventSourcedStreamOut {
  return decodeSerialStreamOut(bytes, "EventSourcedStreamOut", noReply, readReply);
}

const noReply: EventSourcedReply = {
  type: "reply",
  commandId: 0,
  clientAction: undefined,
  sideEffects: none,
  events: none,
  snapshot: undefined,
};

function readReply(reader: ProtobufReader, before: EventSourcedReply): EventSourcedReply {
  const outer = reader.enter();
  let { commandId, clientAction, sideEffects, events, snapshot } = before;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) commandId = reader.commandId();
    else if (field === 2) clientAction = readClientAction(reader, clientAction);
    else if (field === 3) sideEffects = grown(sideEffects, readSideEffect(reader));
    else if (field === 4) events = grown(events, readAnyField(reader));
    else if (field === 5) snapshot = readAnyField(reader, snapshot);
    else reader.skip();
  }
  reader.leave(outer);
  return { type: "reply", commandId, clientAction, sideEffects, events, snapshot };
}
