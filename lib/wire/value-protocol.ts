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

/** What a reply does to the value; `neither` is a state action in which nothing known is set. */
export type ValueAction =
  | { readonly type: "update"; readonly value: AnyValue | undefined }
  | { readonly type: "delete" }
  | { readonly type: "neither" };

/** The answer to a command. */
export interface ValueReply {
  readonly type: "reply";
  readonly commandId: number;
  readonly clientAction: ClientAction | undefined;
  readonly sideEffects: readonly SideEffect[];
  readonly stateAction: ValueAction | undefined;
}

/** What the function says on a value entity's stream. */
export type ValueStreamOut = SerialStreamOut<ValueReply>;

/** The opening message of an entity's stream as a gRPC frame. Its state is always there, and empty without a value. */
export function encodeValueInit(serviceName: string, entityId: string, value: AnyValue | undefined): Uint8Array {
  const writer = shared.begin();
  writeAnyField(writer, 1, value);
  writer.close(3, 0);
  if (entityId !== "") writer.text(2, entityId);
  if (serviceName !== "") writer.name(1, serviceName);
  writer.close(1, 0);
  return writer.finishFrame();
}

/** A command as a gRPC frame. */
export function encodeValueCommand(command: EntityCommand): Uint8Array {
  return encodeSerialCommand(2, command);
}

/** Throws `protocol` for what is no ValueEntityStreamOut. */
export function decodeValueStreamOut(bytes: Uint8Array): ValueStreamOut {
  return decodeSerialStreamOut(bytes, "ValueEntityStreamOut", noReply, readReply);
}

const noReply: ValueReply = {
  type: "reply",
  commandId: 0,
  clientAction: undefined,
  sideEffects: none,
  stateAction: undefined,
};

function readReply(reader: ProtobufReader, before: ValueReply): ValueReply {
  const outer = reader.enter();
  let { commandId, clientAction, sideEffects, stateAction } = before;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) commandId = reader.commandId();
    else if (field === 2) clientAction = readClientAction(reader, clientAction);
    else if (field === 3) sideEffects = grown(sideEffects, readSideEffect(reader));
    else if (field === 4) stateAction = readStateAction(reader, stateAction);
    else reader.skip();
  }
  reader.leave(outer);
  return { type: "reply", commandId, clientAction, sideEffects, stateAction };
}

function readStateAction(reader: ProtobufReader, before: ValueAction | undefined): ValueAction {
  const outer = reader.enter();
  let action: ValueAction = before ?? { type: "neither" };
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) action = readUpdate(reader, action.type === "update" ? action.value : undefined);
    else if (field === 2) action = readDelete(reader);
    else reader.skip();
  }
  reader.leave(outer);
  return action;
}

function readUpdate(reader: ProtobufReader, before: AnyValue | undefined): ValueAction {
  const outer = reader.enter();
  let value = before;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) value = readAnyField(reader, value);
    else reader.skip();
  }
  reader.leave(outer);
  return { type: "update", value };
}

function readDelete(reader: ProtobufReader): ValueAction {
  const outer = reader.enter();
  while (reader.field() !== 0) reader.skip();
  reader.leave(outer);
  return { type: "delete" };
}
