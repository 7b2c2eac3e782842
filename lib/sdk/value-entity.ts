import type { DescService, MessageShape } from "@bufbuild/protobuf";
import type { Answer, Effect } from "./answer.ts";
import { type Data, type DataInitOf, type DataOf, dataOf, type DataType } from "./data-type.ts";
import { type BoundMethod, type Declared, handlersOf } from "./service.ts";

/** What a handler of a value entity works with. Valid until it has answered. */
export interface ValueContext<State extends DataType> {
  readonly entityId: string;
  /** The value as it is now, `initial` when there is none. Only `update` changes it. */
  readonly state: DataOf<State>;
  /** Whether there is a value. */
  readonly exists: boolean;
  /** Replaces the value. It is stored before the caller is answered. */
  readonly update: (value: DataInitOf<State>) => void;
  /** Removes the value; a later update makes one again. */
  readonly delete: () => void;
  /** Has `method` called before the answer goes out. A failure drops the effects. */
  readonly effect: Effect;
}

/** One handler for each method. The commands of one entity come one after the other. */
export type ValueHandlers<S extends DescService, State extends DataType> = {
  [K in keyof S["method"]]: (
    input: MessageShape<S["method"][K]["input"]>,
    context: ValueContext<State>,
  ) => Promise<Answer<S["method"][K]>> | Answer<S["method"][K]>;
};

export interface ValueOptions<S extends DescService, State extends DataType> {
  /** The type of the value. */
  readonly state: State;
  /** What an entity without a value starts from. */
  readonly initial: (entityId: string) => NoInfer<DataInitOf<State>>;
  /** Under which name the values are kept; by default the service's simple name. */
  readonly persistenceId?: string;
  readonly passivationTimeoutMs?: number;
  readonly handlers: ValueHandlers<S, State>;
}

/** A service whose entities are one value each, declared and ready to be served. */
export interface ValueService extends Declared {
  readonly entityType: "cloudstate.valueentity.ValueEntity";
  readonly methods: ReadonlyMap<string, BoundMethod>;
  readonly state: Data;
  readonly initial: (entityId: string) => unknown;
}

/** Declares a service whose entities are one value each. Throws a TypeError when a method has no handler. */
export function valueEntity<S extends DescService, State extends DataType>(
  descriptor: S,
  options: ValueOptions<S, State>,
): ValueService {
  const { handlers, persistenceId = descriptor.name, passivationTimeoutMs, initial } = options;
  const state = dataOf(options.state);
  return {
    descriptor,
    entityType: "cloudstate.valueentity.ValueEntity",
    persistenceId,
    ...(passivationTimeoutMs !== undefined && { passivationTimeoutMs }),
    methods: handlersOf(descriptor, handlers),
    state,
    initial: (entityId) => state.made(initial(entityId)),
  };
}
