import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Crdt,
  type CrdtReplySchema,
  type CrdtStateActionSchema,
  type CrdtStreamCancelledResponseSchema,
  type CrdtStreamedMessageSchema,
  type CrdtStreamInSchema,
  CrdtWriteConsistency,
} from "../../lib/wire/gen/cloudstate/crdt_pb.ts";
import type { CommandSchema } from "../../lib/wire/gen/cloudstate/entity_pb.ts";
import { payload } from "./action-words.ts";
import type { Call } from "./call.ts";
import type { Action, Delta, State } from "./crdt-words.ts";
import { CrdtTckModel, CrdtTwo, RequestSchema, ResponseSchema, StreamedRequestSchema } from "./gen/tck/crdt_pb.ts";
import type { Stage } from "./stage.ts";

export type StreamIn = MessageInitShape<typeof CrdtStreamInSchema>;
type StateAction = MessageInitShape<typeof CrdtStateActionSchema>;
export type Reply = MessageInitShape<typeof CrdtReplySchema>;
type Streamed = MessageInitShape<typeof StreamedRequestSchema>;
type Effects = NonNullable<Reply["sideEffects"]>;

/** An entity's stream, spoken with the function as a proxy would. */
export class CrdtStream {
  readonly id: string;
  readonly #call: Call<typeof Crdt.method.handle>;
  #commands = 0n;

  constructor(stage: Stage, id: string, delta?: Delta) {
    this.id = id;
    this.#call = stage.function.open(Crdt.method.handle);
    this.#send(initOf(CrdtTckModel.typeName, id, delta));
  }

  /** Sends a command; `id` says under which number, by default the next. */
  send(actions: readonly Action[], id = ++this.#commands): void {
    const request = payload(RequestSchema, { id: this.id, actions: [...actions] });
    this.#send({ message: { case: "command", value: { entityId: this.id, id, name: "Process", payload: request } } });
  }

  /** Sends a command and judges the reply: the state that it answers, and the change that it makes (undefined: none). */
  async command(actions: readonly Action[], state: State, delta?: Delta): Promise<void> {
    this.send(actions);
    await this.reply({ ...answered(state), ...(delta && { stateAction: updated(delta) }) });
  }

  /** Judges the reply to the last command, or to another one. */
  async reply(wanted: Reply, commandId = this.#commands): Promise<void> {
    await this.#call.expect({ message: { case: "reply", value: { commandId, ...wanted } } });
  }

  delta(delta: Delta): void {
    this.#send({ message: { case: "delta", value: delta } });
  }

  delete(): void {
    this.#send({ message: { case: "delete", value: {} } });
  }

  /** Sends a streamed command; gives its number. */
  stream(request: Streamed): bigint {
    const id = ++this.#commands;
    const sent = payload(StreamedRequestSchema, { id: this.id, ...request });
    const value = { entityId: this.id, id, name: "ProcessStreamed", payload: sent, streamed: true };
    this.#send({ message: { case: "command", value } });
    return id;
  }

  async streamed(wanted: MessageInitShape<typeof CrdtStreamedMessageSchema>): Promise<void> {
    await this.#call.expect({ message: { case: "streamedMessage", value: wanted } });
  }

  cancel(id: bigint): void {
    this.#send({ message: { case: "streamCancelled", value: { entityId: this.id, id } } });
  }

  async cancelled(wanted: MessageInitShape<typeof CrdtStreamCancelledResponseSchema>): Promise<void> {
    await this.#call.expect({ message: { case: "streamCancelledResponse", value: wanted } });
  }

  /** Half-closes, and waits for the function to complete. */
  async passivate(): Promise<void> {
    this.#call.end();
    await this.#call.completed();
  }

  #send(message: StreamIn): void {
    this.#call.send(message);
  }
}

/** The first message of an entity's stream. */
export function initOf(serviceName: string, entityId: string, delta?: Delta): StreamIn {
  return { message: { case: "init", value: { serviceName, entityId, ...(delta && { delta }) } } };
}

/** A command as a proxy must send it: without metadata. */
export function commandOf(value: MessageInitShape<typeof CommandSchema>): StreamIn {
  return { message: { case: "command", value } };
}

/** A reply that answers a state. */
export function answered(state: State): Pick<Reply, "clientAction"> {
  return { clientAction: { action: { case: "reply", value: { payload: payload(ResponseSchema, { state }) } } } };
}

export function updated(
  delta: Delta,
  writeConsistency: CrdtWriteConsistency = CrdtWriteConsistency.LOCAL,
): StateAction {
  return { action: { case: "update", value: delta }, writeConsistency };
}

export const deleted: StateAction = { action: { case: "delete", value: {} } };

/** A reply that forwards to the other entity. */
export function forwarded(id: string): Pick<Reply, "clientAction"> {
  return { clientAction: { action: { case: "forward", value: callOfTwo(id) } } };
}

export function failed(commandId: bigint, description: string): Pick<Reply, "clientAction"> {
  return { clientAction: { action: { case: "failure", value: { commandId, description } } } };
}

/** Effects on the other entity. */
export function effects(...targets: (readonly [id: string, synchronous: boolean])[]): Effects {
  return targets.map(([id, synchronous]) => ({ ...callOfTwo(id), synchronous }));
}

function callOfTwo(id: string) {
  return { serviceName: CrdtTwo.typeName, commandName: "Call", payload: payload(RequestSchema, { id }) };
}
