import { type CrdtDelta, readDelta, writeDeltaField } from "./crdt-delta.ts";
import {
  type ClientAction,
  type EntityCommand,
  type Failure,
  readClientAction,
  readFailure,
  readSideEffect,
  type SideEffect,
  writeEntityCommand,
} from "./protocol.ts";
import { grown, none, ProtobufReader } from "./protobuf-reader.ts";
import { shared } from "./protobuf-writer.ts";

/** How many members must have a change before its command is answered. */
export type WriteConsistency = (typeof consistencies)[number];

/** What a reply does to the entity. Without an action it does nothing. */
export interface CrdtStateAction {
  readonly action: { readonly type: "update"; readonly operation: CrdtDelta } | { readonly type: "delete" } | undefined;
  readonly writeConsistency: WriteConsistency;
}

/** The answer to a command; streamed: messages follow. */
export interface CrdtReply {
  readonly type: "reply";
  readonly commandId: number;
  readonly clientAction: ClientAction | undefined;
  readonly sideEffects: readonly SideEffect[];
  readonly stateAction: CrdtStateAction | undefined;
  readonly streamed: boolean;
}

/** What the function says on an entity's stream; `empty` is a message in which nothing known is set. */
export type CrdtStreamOut =
  | CrdtReply
  | {
      readonly type: "streamed-message";
      readonly commandId: number;
      readonly clientAction: ClientAction | undefined;
      readonly sideEffects: readonly SideEffect[];
      readonly endStream: boolean;
    }
  | {
      readonly type: "stream-cancelled-response";
      readonly commandId: number;
      readonly sideEffects: readonly SideEffect[];
      readonly stateAction: CrdtStateAction | undefined;
    }
  | ({ readonly type: "failure" } & Failure)
  | { readonly type: "empty" };

/** The opening message of an entity's stream as a gRPC frame; without a delta no state is known. */
export function encodeCrdtInit(serviceName: string, entityId: string, delta: CrdtDelta | undefined): Uint8Array {
  const writer = shared.begin();
  if (delta) writeDeltaField(writer, 3, delta);
  if (entityId !== "") writer.text(2, entityId);
  if (serviceName !== "") writer.name(1, serviceName);
  writer.close(1, 0);
  return writer.finishFrame();
}

/** A change made elsewhere, as a gRPC frame. */
export function encodeCrdtDelta(delta: CrdtDelta): Uint8Array {
  const writer = shared.begin();
  writeDeltaField(writer, 2, delta);
  return writer.finishFrame();
}

/** Says that the entity was deleted elsewhere, as a gRPC frame. */
export function encodeCrdtDelete(): Uint8Array {
  const writer = shared.begin();
  writer.close(3, 0);
  return writer.finishFrame();
}

/** A command as a gRPC frame. */
export function encodeCrdtCommand(command: EntityCommand): Uint8Array {
  const writer = shared.begin();
  writeEntityCommand(writer, command);
  writer.close(4, 0);
  return writer.finishFrame();
}

/** Says that the caller of a streamed command is gone, as a gRPC frame. */
export function encodeCrdtStreamCancelled(entityId: string, commandId: number): Uint8Array {
  const writer = shared.begin();
  if (commandId !== 0) writer.number(2, commandId);
  if (entityId !== "") writer.text(1, entityId);
  writer.close(5, 0);
  return writer.finishFrame();
}

/** Throws `protocol` for what is no CrdtStreamOut, and for a delta in which no type, key or value is set. */
export function decodeCrdtStreamOut(bytes: Uint8Array): CrdtStreamOut {
  const reader = new ProtobufReader(bytes, "CrdtStreamOut");
  let message = emptyMessage;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) message = readReply(reader, message.type === "reply" ? message : noReply);
    else if (field === 2) message = readStreamed(reader, message.type === "streamed-message" ? message : noStreamed);
    else if (field === 3) {
      message = readCancelled(reader, message.type === "stream-cancelled-response" ? message : noCancelled);
    } else if (field === 4) {
      message = { type: "failure", ...readFailure(reader, message.type === "failure" ? message : undefined) };
    } else reader.skip();
  }
  return message;
}

const emptyMessage: CrdtStreamOut = { type: "empty" };
const consistencies = ["local", "majority", "all"] as const;

const noReply: CrdtReply = {
  type: "reply",
  commandId: 0,
  clientAction: undefined,
  sideEffects: none,
  stateAction: undefined,
  streamed: false,
};
const noStreamed = {
  type: "streamed-message",
  commandId: 0,
  clientAction: undefined,
  sideEffects: none,
  endStream: false,
} as const;
const noCancelled = {
  type: "stream-cancelled-response",
  commandId: 0,
  sideEffects: none,
  stateAction: undefined,
} as const;
const noAction: CrdtStateAction = { action: undefined, writeConsistency: "local" };

type Streamed = Extract<CrdtStreamOut, { readonly type: "streamed-message" }>;
type Cancelled = Extract<CrdtStreamOut, { readonly type: "stream-cancelled-response" }>;

function readReply(reader: ProtobufReader, before: CrdtReply): CrdtReply {
  const outer = reader.enter();
  let { commandId, clientAction, sideEffects, stateAction, streamed } = before;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) commandId = reader.commandId();
    else if (field === 2) clientAction = readClientAction(reader, clientAction);
    else if (field === 4) sideEffects = grown(sideEffects, readSideEffect(reader));
    else if (field === 5) stateAction = readStateAction(reader, stateAction ?? noAction);
    else if (field === 6) streamed = reader.bool();
    else reader.skip();
  }
  reader.leave(outer);
  return { type: "reply", commandId, clientAction, sideEffects, stateAction, streamed };
}

function readStreamed(reader: ProtobufReader, before: Streamed): Streamed {
  const outer = reader.enter();
  let { commandId, clientAction, sideEffects, endStream } = before;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) commandId = reader.commandId();
    else if (field === 2) clientAction = readClientAction(reader, clientAction);
    else if (field === 3) sideEffects = grown(sideEffects, readSideEffect(reader));
    else if (field === 4) endStream = reader.bool();
    else reader.skip();
  }
  reader.leave(outer);
  return { type: "streamed-message", commandId, clientAction, sideEffects, endStream };
}

function readCancelled(reader: ProtobufReader, before: Cancelled): Cancelled {
  const outer = reader.enter();
  let { commandId, sideEffects, stateAction } = before;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) commandId = reader.commandId();
    else if (field === 2) sideEffects = grown(sideEffects, readSideEffect(reader));
    else if (field === 3) stateAction = readStateAction(reader, stateAction ?? noAction);
    else reader.skip();
  }
  reader.leave(outer);
  return { type: "stream-cancelled-response", commandId, sideEffects, stateAction };
}

function readStateAction(reader: ProtobufReader, before: CrdtStateAction): CrdtStateAction {
  const outer = reader.enter();
  let { action, writeConsistency } = before;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) {
      const earlier = action?.type === "update" ? action.operation : undefined;
      action = { type: "update", operation: readDelta(reader, earlier) };
    } else if (field === 2) {
      const inner = reader.enter();
      while (reader.field() !== 0) reader.skip();
      reader.leave(inner);
      action = { type: "delete" };
    } else if (field === 3) {
      const value = reader.int32();
      // One that nobody here knows is the least that can be promised, as proto3 has it of a new enum value.
      writeConsistency = consistencies[value] ?? "local";
    } else reader.skip();
  }
  reader.leave(outer);
  return { action, writeConsistency };
}
