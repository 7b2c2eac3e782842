import type { DescMethod, DescService, MessageShape } from "@bufbuild/protobuf";
import type { Answer, Effect } from "./answer.ts";
import { type BoundMethod, type Declared, handlersOf } from "./service.ts";
import type { Crdt, CrdtType } from "./views/crdt.ts";

/** On how many nodes a change must be before its command is answered. */
export type WriteConsistency = "local" | "majority" | "all";

/** What a handler of a CRDT entity works with. Valid until it has answered. */
export interface CrdtContext<View extends Crdt> {
  readonly entityId: string;
  /** The state; what is changed here is told to the other nodes with the answer. */
  readonly state: View;
  writeConsistency: WriteConsistency;
  /** Has `method` called before the answer goes out. A failure drops the effects. */
  readonly effect: Effect;
  /** Deletes the entity, on all nodes. */
  readonly delete: () => void;
}

/** What a streamed command can do on a change. The state must not be changed there. */
export interface ChangeContext<View extends Crdt> {
  readonly state: View;
  readonly effect: Effect;
  /** Ends the stream, after the element that is answered. */
  readonly end: () => void;
}

/** What a streamed command can do when its caller is gone. */
export type CancelContext<View extends Crdt> = Omit<CrdtContext<View>, "entityId">;

/** A method that streams out keeps its stream open by listening to changes or to the caller's leaving. */
export interface CrdtStreamContext<View extends Crdt, M extends DescMethod> extends CrdtContext<View> {
  /** Called after every change, here or elsewhere; what it answers is the next element, undefined none. */
  readonly onChange: (listener: (change: ChangeContext<View>) => Promise<Answer<M>> | Answer<M>) => void;
  /** Called when the caller has left; it may change the state. */
  readonly onCancel: (listener: (cancel: CancelContext<View>) => Promise<void> | void) => void;
}

type Context<View extends Crdt, M extends DescMethod> = M extends { readonly methodKind: "unary" }
  ? CrdtContext<View>
  : CrdtStreamContext<View, M>;

/** One handler for each method. The commands of one entity come one after the other. */
export type CrdtHandlers<S extends DescService, View extends Crdt> = {
  [K in keyof S["method"]]: (
    input: MessageShape<S["method"][K]["input"]>,
    context: Context<View, S["method"][K]>,
  ) => Promise<Answer<S["method"][K]>> | Answer<S["method"][K]>;
};

export interface CrdtOptions<S extends DescService, View extends Crdt> {
  /** The type of the state, for all entities or by entity id. */
  readonly state: CrdtType<View> | ((entityId: string) => CrdtType<View>);
  /** Under which name the state is kept; by default the service's simple name. */
  readonly persistenceId?: string;
  readonly passivationTimeoutMs?: number;
  readonly handlers: CrdtHandlers<S, View>;
}

/** A service whose entities are CRDTs, declared and ready to be served. */
export interface CrdtService extends Declared {
  readonly entityType: "cloudstate.crdt.Crdt";
  readonly methods: ReadonlyMap<string, BoundMethod>;
  readonly stateOf: (entityId: string) => Crdt;
}

/** Declares a service whose entities are CRDTs. Throws a TypeError when a method has no handler. */
export function crdtEntity<S extends DescService, View extends Crdt>(
  descriptor: S,
  options: CrdtOptions<S, View>,
): CrdtService {
  const { state, handlers, persistenceId = descriptor.name, passivationTimeoutMs } = options;
  return {
    descriptor,
    entityType: "cloudstate.crdt.Crdt",
    persistenceId,
    ...(passivationTimeoutMs !== undefined && { passivationTimeoutMs }),
    methods: handlersOf(descriptor, handlers),
    stateOf: (entityId) => (typeof state === "function" ? state(entityId) : state).create(),
  };
}
