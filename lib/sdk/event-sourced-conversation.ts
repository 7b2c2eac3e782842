import { create, type DescMethod } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Command } from "../wire/gen/cloudstate/entity_pb.ts";
import {
  type EventSourcedEvent,
  type EventSourcedInit,
  type EventSourcedReply,
  EventSourcedReplySchema,
  type EventSourcedStreamIn,
  type EventSourcedStreamOut,
  EventSourcedStreamOutSchema,
} from "../wire/gen/cloudstate/event_sourced_pb.ts";
import { actionOf, type Answer, answered, type Effect, Effects, Failure } from "./answer.ts";
import { dataOf, type DataType } from "./data-type.ts";
import type { EntityConversation, Send } from "./protocol.ts";
import type { EventSourcedContext, EventSourcedService } from "./event-sourced-entity.ts";
import { type Served, commandOf } from "./service.ts";

interface Entity extends Served<EventSourcedService> {
  /** The state after `sequence` events. */
  state: unknown;
  sequence: bigint;
}

/** One event-sourced entity while it is active. */
export class EventSourcedConversation implements EntityConversation<EventSourcedStreamIn> {
  readonly #services: ReadonlyMap<string, EventSourcedService>;
  readonly #send: Send<EventSourcedStreamOut>;
  #entity: Entity | undefined;
  /** Until the first command. */
  #replaying = true;
  /** The state holds events that are not stored: the proxy was asked to begin anew. */
  #spoilt = false;
  #commandId = 0n;

  constructor(services: ReadonlyMap<string, EventSourcedService>, send: Send<EventSourcedStreamOut>) {
    this.#services = services;
    this.#send = send;
  }

  get commandId(): bigint {
    return this.#commandId;
  }

  async receive({ message }: EventSourcedStreamIn): Promise<void> {
    switch (message.case) {
      case "init":
        return this.#init(message.value);
      case "event":
        return this.#event(message.value);
      case "command":
        this.#commandId = message.value.id;
        await this.#send(await this.#command(message.value));
        this.#commandId = 0n;
        return;
      case undefined:
        throw new TypeError("a message without content came from the proxy");
    }
  }

  #init({ serviceName, entityId, snapshot }: EventSourcedInit): void {
    const service = this.#services.get(serviceName);
    if (!service) throw new TypeError(`there is no event-sourced entity ${serviceName}`);
    if (this.#entity) throw new TypeError(`${serviceName} ${entityId} was initialised twice`);
    const kept = snapshot?.snapshot;
    const state = kept ? service.state.fromAny(kept) : service.initial(entityId);
    this.#entity = { service, id: entityId, state, sequence: snapshot?.snapshotSequence ?? 0n };
  }

  #event({ sequence, payload }: EventSourcedEvent): void {
    const entity = this.#entity;
    if (!entity) throw new TypeError("a message came before init");
    const { service, id } = entity;
    const where = `${service.descriptor.typeName} ${id}`;
    if (!this.#replaying) throw new TypeError(`${where}: event ${sequence} came after a command`);
    if (sequence !== entity.sequence + 1n) {
      throw new TypeError(`${where}: event ${sequence} came after event ${entity.sequence}`);
    }
    if (!payload) throw new TypeError(`${where}: event ${sequence} has no payload`);
    entity.state = service.apply(entity.state, eventOf(service, payload), id);
    entity.sequence = sequence;
  }

  async #command(command: Command): Promise<EventSourcedStreamOut> {
    const { entity, method, handle } = commandOf(this.#entity, command);
    if (this.#spoilt) throw new TypeError(`${entity.id}: a command came to a stream that was to be ended`);
    this.#replaying = false;
    const work = new Work(entity);
    const answer = await answered(async () => (await handle(work)) as Answer<DescMethod>);
    const value =
      answer instanceof Failure
        ? this.#refused(command, answer, work)
        : create(EventSourcedReplySchema, { ...replyOf(method, command, answer), ...this.#done(entity, work) });
    return create(EventSourcedStreamOutSchema, { message: { case: "reply", value } });
  }

  /** Event handlers may have changed the state in place, so it cannot be restored here; what is stored can. */
  #refused({ id: commandId }: Command, { message: description }: Failure, work: Work): EventSourcedReply {
    const restart = work.events.length > 0;
    this.#spoilt = restart;
    return create(EventSourcedReplySchema, {
      commandId,
      clientAction: { action: { case: "failure", value: { commandId, description, restart } } },
    });
  }

  #done(entity: Entity, work: Work) {
    const every = entity.service.snapshotEvery;
    const due = every > 0n && work.sequence / every > entity.sequence / every;
    entity.state = work.state;
    entity.sequence = work.sequence;
    return {
      events: work.events,
      sideEffects: work.effects.take(),
      ...(due && { snapshot: entity.service.state.toAny(entity.state) }),
    };
  }
}

function replyOf(method: DescMethod, command: Command, answer: Answer<DescMethod>) {
  const action = actionOf(method, answer, command.id);
  return { commandId: command.id, ...(action && { clientAction: { action } }) };
}

/** What one command does, apart from its answer. */
class Work implements EventSourcedContext<DataType, DataType> {
  readonly entityId: string;
  readonly effects = new Effects();
  readonly events: Any[] = [];
  readonly #service: EventSourcedService;
  state: unknown;
  sequence: bigint;

  constructor({ service, id, state, sequence }: Entity) {
    this.#service = service;
    this.entityId = id;
    this.state = state;
    this.sequence = sequence;
  }

  readonly emit = (type: DataType, init: unknown): void => {
    const { events, descriptor } = this.#service;
    const declared = events.get(type);
    const data = declared ?? dataOf(type);
    const event = data.made(init);
    const any = data.toAny(event);
    // An equal serializer or schema, of which there may be several, makes the declared event as well.
    if (!declared && !events.values().some((each) => each.accepts(any))) {
      throw new TypeError(`${descriptor.typeName} did not declare the event that it emits: ${any.typeUrl}`);
    }
    this.events.push(any);
    this.state = this.#service.apply(this.state, event, this.entityId);
    this.sequence += 1n;
  };

  readonly effect: Effect = (method, input, options) => this.effects.add(method, input, options);
}

function eventOf({ descriptor, events }: EventSourcedService, payload: Any): unknown {
  for (const type of events.values()) if (type.accepts(payload)) return type.fromAny(payload);
  throw new TypeError(`${descriptor.typeName} has no event type for ${payload.typeUrl}`);
}
