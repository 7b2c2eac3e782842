import { create, type DescMethod, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type CrdtInit,
  type CrdtReplySchema,
  type CrdtStateActionSchema,
  type CrdtStreamedMessageSchema,
  type CrdtStreamIn,
  type CrdtStreamOut,
  CrdtStreamOutSchema,
  CrdtWriteConsistency,
} from "../wire/gen/cloudstate/crdt_pb.ts";
import type { Command } from "../wire/gen/cloudstate/entity_pb.ts";
import { actionOf, type Answer, answered, type Effect, Effects, Failure } from "./answer.ts";
import type { CancelContext, ChangeContext, CrdtService, CrdtStreamContext, WriteConsistency } from "./crdt-entity.ts";
import type { EntityConversation, Send } from "./protocol.ts";
import { inputOf } from "./service.ts";
import type { Crdt } from "./views/crdt.ts";

type Out = NonNullable<MessageInitShape<typeof CrdtStreamOutSchema>["message"]>;
type Stream = Parameters<CrdtStreamContext<Crdt, DescMethod>["onChange"]>[0];
type Cancelled = Parameters<CrdtStreamContext<Crdt, DescMethod>["onCancel"]>[0];

/** What a streamed command left behind. */
interface Listener {
  readonly method: DescMethod;
  readonly onChange: Stream | undefined;
  readonly onCancel: Cancelled | undefined;
}

/** One entity while it is active: what the proxy says to it, and what it answers. */
export class CrdtConversation implements EntityConversation<CrdtStreamIn> {
  readonly #services: ReadonlyMap<string, CrdtService>;
  readonly #out: Send<CrdtStreamOut>;
  readonly #listeners = new Map<bigint, Listener>();
  #entity: { readonly service: CrdtService; readonly id: string; readonly state: Crdt } | undefined;
  #deleted = false;
  #commandId = 0n;

  constructor(services: ReadonlyMap<string, CrdtService>, send: Send<CrdtStreamOut>) {
    this.#services = services;
    this.#out = send;
  }

  get commandId(): bigint {
    return this.#commandId;
  }

  async receive({ message }: CrdtStreamIn): Promise<void> {
    switch (message.case) {
      case "init":
        return this.#init(message.value);
      case "delta":
        this.#active().state.receive(message.value);
        return this.#notify();
      case "delete":
        this.#deleted = true;
        this.#listeners.clear();
        return;
      case "command":
        this.#commandId = message.value.id;
        await this.#command(message.value);
        this.#commandId = 0n;
        return;
      case "streamCancelled":
        this.#commandId = message.value.id;
        await this.#cancelled(message.value.id);
        this.#commandId = 0n;
        return;
      case undefined:
        throw new TypeError("a message without content came from the proxy");
    }
  }

  #init({ serviceName, entityId, delta }: CrdtInit): void {
    const service = this.#services.get(serviceName);
    if (!service) throw new TypeError(`there is no CRDT entity ${serviceName}`);
    if (this.#entity) throw new TypeError(`${serviceName} ${entityId} was initialised twice`);
    const state = service.stateOf(entityId);
    if (delta) state.receive(delta);
    this.#entity = { service, id: entityId, state };
  }

  #active() {
    if (!this.#entity) throw new TypeError("a message came before init");
    return this.#entity;
  }

  async #command(command: Command): Promise<void> {
    const { service, id, state } = this.#active();
    const bound = service.methods.get(command.name);
    if (!bound) throw new TypeError(`${service.descriptor.typeName} has no command ${command.name}`);
    const { method, handler } = bound;
    const work = new Work(state);
    const context = new StreamContext(id, work);
    const answer = await answered(async () => {
      if (this.#deleted) throw new Failure("Entity deleted");
      return (await handler(inputOf(method, command.payload) as never, context as never)) as Answer<DescMethod>;
    });
    const action = actionOf(method, answer, command.id);
    const reply: MessageInitShape<typeof CrdtReplySchema> = {
      commandId: command.id,
      ...(action && { clientAction: { action } }),
    };
    if (answer instanceof Failure) {
      state.rollback();
      return this.#send({ case: "reply", value: reply });
    }
    const stateAction = this.#finish(work);
    const { listener } = context;
    const streamed = command.streamed && (listener.onChange ?? listener.onCancel) !== undefined && !this.#deleted;
    await this.#send({
      case: "reply",
      value: { ...reply, sideEffects: work.effects.take(), ...(stateAction && { stateAction }), streamed },
    });
    if (stateAction) await this.#notify();
    if (streamed) this.#listeners.set(command.id, { method, ...listener });
  }

  async #cancelled(commandId: bigint): Promise<void> {
    const { state } = this.#active();
    const listener = this.#listeners.get(commandId);
    this.#listeners.delete(commandId);
    const work = new Work(state);
    await listener?.onCancel?.(new StreamContext("", work));
    const stateAction = this.#finish(work);
    await this.#send({
      case: "streamCancelledResponse",
      value: { commandId, sideEffects: work.effects.take(), ...(stateAction && { stateAction }) },
    });
    if (stateAction) await this.#notify();
  }

  /** What a command changed becomes part of the state, and the message that says so. */
  #finish(work: Work): MessageInitShape<typeof CrdtStateActionSchema> | undefined {
    const { state } = this.#active();
    const delta = state.pending();
    state.commit();
    const writeConsistency = consistencies[work.writeConsistency];
    if (work.deleted) {
      this.#deleted = true;
      this.#listeners.clear();
      return { action: { case: "delete", value: {} }, writeConsistency };
    }
    return delta && { action: { case: "update", value: delta }, writeConsistency };
  }

  /** Tells every open stream that the state has changed. */
  async #notify(): Promise<void> {
    for (const [commandId, { method, onChange }] of [...this.#listeners]) {
      if (onChange) await this.#element(commandId, method, onChange);
    }
  }

  async #element(commandId: bigint, method: DescMethod, onChange: Stream): Promise<void> {
    const { state } = this.#active();
    const effects = new Effects();
    const stream = { ended: false };
    const change: ChangeContext<Crdt> = {
      state,
      effect: (target, input, options) => effects.add(target, input, options),
      end: () => (stream.ended = true),
    };
    const answer = await answered(async () => onChange(change));
    if (state.pending()) throw new TypeError(`${method.name} changed the state when it was told of a change`);
    const action = actionOf(method, answer, commandId);
    const endStream = stream.ended || answer instanceof Failure;
    const sideEffects = effects.take();
    if (endStream) this.#listeners.delete(commandId);
    if (!action && sideEffects.length === 0 && !endStream) return;
    const value: MessageInitShape<typeof CrdtStreamedMessageSchema> = {
      commandId,
      ...(action && { clientAction: { action } }),
      sideEffects,
      endStream,
    };
    await this.#send({ case: "streamedMessage", value });
  }

  #send(message: Out): Promise<void> {
    return this.#out(create(CrdtStreamOutSchema, { message }));
  }
}

/** What one command does, apart from its answer. */
class Work {
  readonly state: Crdt;
  readonly effects = new Effects();
  writeConsistency: WriteConsistency = "local";
  deleted = false;

  constructor(state: Crdt) {
    this.state = state;
  }
}

/** The one context behind all handlers; their types show each the part that it may use. */
class StreamContext implements CrdtStreamContext<Crdt, DescMethod>, CancelContext<Crdt> {
  readonly entityId: string;
  readonly listener: { onChange: Stream | undefined; onCancel: Cancelled | undefined } = {
    onChange: undefined,
    onCancel: undefined,
  };
  readonly #work: Work;

  constructor(entityId: string, work: Work) {
    this.entityId = entityId;
    this.#work = work;
  }

  get state(): Crdt {
    return this.#work.state;
  }

  get writeConsistency(): WriteConsistency {
    return this.#work.writeConsistency;
  }

  set writeConsistency(consistency: WriteConsistency) {
    this.#work.writeConsistency = consistency;
  }

  readonly effect: Effect = (method, input, options) => this.#work.effects.add(method, input, options);

  readonly delete = (): void => {
    this.#work.deleted = true;
  };

  readonly onChange = (listener: Stream): void => {
    this.listener.onChange = listener;
  };

  readonly onCancel = (listener: Cancelled): void => {
    this.listener.onCancel = listener;
  };
}

const consistencies = {
  local: CrdtWriteConsistency.LOCAL,
  majority: CrdtWriteConsistency.MAJORITY,
  all: CrdtWriteConsistency.ALL,
} as const;
