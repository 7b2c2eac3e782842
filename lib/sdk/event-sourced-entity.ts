import type { DescService, MessageShape } from "@bufbuild/protobuf";
import type { Answer, Effect } from "./answer.ts";
import { type Data, type DataInitOf, type DataOf, dataOf, type DataType } from "./data-type.ts";
import { type BoundMethod, type Declared, handlersOf } from "./service.ts";

/** Records an event of one of the declared types; the state is the one after it at once. */
export type Emit<Events extends DataType> = <Type extends Events>(type: Type, event: DataInitOf<Type>) => void;

/** What a handler of an event-sourced entity works with. Valid until it has answered. */
export interface EventSourcedContext<State extends DataType, Events extends DataType> {
  readonly entityId: string;
  /** The state after all events, those just emitted included. Only events change it. */
  readonly state: DataOf<State>;
  /** The number of the last event, 0 when there is none. */
  readonly sequence: bigint;
  /**
   * Emits an event. All events of a command are stored together before the caller is answered. A handler that fails after
   * that has none of them stored, and the entity begins anew from what is stored: check first, then emit.
   */
  readonly emit: Emit<Events>;
  /** Has `method` called before the answer goes out. A failure drops the effects. */
  readonly effect: Effect;
}

/** One handler for each method. The commands of one entity come one after the other. */
export type EventSourcedHandlers<S extends DescService, State extends DataType, Events extends DataType> = {
  [K in keyof S["method"]]: (
    input: MessageShape<S["method"][K]["input"]>,
    context: EventSourcedContext<State, Events>,
  ) => Promise<Answer<S["method"][K]>> | Answer<S["method"][K]>;
};

export interface EventSourcedOptions<
  S extends DescService,
  State extends DataType,
  Types extends readonly [DataType, ...DataType[]],
> {
  /** The type of the state: what a snapshot holds. */
  readonly state: State;
  /** What an entity without events starts from. */
  readonly initial: (entityId: string) => NoInfer<DataInitOf<State>>;
  /** The types of the events, each with a type URL of its own. */
  readonly events: Types;
  /** The state after an event. Also called for each stored event when the entity is activated. */
  readonly apply: (state: DataOf<State>, event: DataOf<Types[number]>, entityId: string) => NoInfer<DataInitOf<State>>;
  /** A snapshot goes with the command that passes a multiple of so many events; 100 by default, 0 for none. */
  readonly snapshotEvery?: number;
  /** Under which name the events are kept; by default the service's simple name. */
  readonly persistenceId?: string;
  readonly passivationTimeoutMs?: number;
  readonly handlers: EventSourcedHandlers<S, State, Types[number]>;
}

/** A service whose entities are what has happened to them, declared and ready to be served. */
export interface EventSourcedService extends Declared {
  readonly entityType: "cloudstate.eventsourced.EventSourced";
  readonly methods: ReadonlyMap<string, BoundMethod>;
  readonly state: Data;
  readonly events: ReadonlyMap<DataType, Data>;
  readonly initial: (entityId: string) => unknown;
  readonly apply: (state: unknown, event: unknown, entityId: string) => unknown;
  /** 0 for never. */
  readonly snapshotEvery: bigint;
}

const snapshotEveryDefault = 100;

/** Declares a service whose entities are event-sourced. Throws a TypeError when a method has no handler. */
export function eventSourcedEntity<
  S extends DescService,
  State extends DataType,
  const Types extends readonly [DataType, ...DataType[]],
>(descriptor: S, options: EventSourcedOptions<S, State, Types>): EventSourcedService {
  const { handlers, persistenceId = descriptor.name, passivationTimeoutMs, initial, apply } = options;
  const state = dataOf(options.state);
  const applied = apply as (state: unknown, event: unknown, entityId: string) => unknown;
  return {
    descriptor,
    entityType: "cloudstate.eventsourced.EventSourced",
    persistenceId,
    ...(passivationTimeoutMs !== undefined && { passivationTimeoutMs }),
    methods: handlersOf(descriptor, handlers),
    state,
    events: new Map(options.events.map((type) => [type, dataOf(type)])),
    initial: (entityId) => state.made(initial(entityId)),
    apply: (before, event, entityId) => state.made(applied(before, event, entityId)),
    snapshotEvery: snapshotEveryOf(options.snapshotEvery ?? snapshotEveryDefault),
  };
}

function snapshotEveryOf(events: number): bigint {
  if (Number.isSafeInteger(events) && events >= 0) return BigInt(events);
  throw new TypeError(`snapshotEvery is a number of events, 0 for no snapshots, but it is ${events}`);
}
