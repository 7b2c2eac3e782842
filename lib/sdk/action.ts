import type { DescMethod, DescService, MessageShape } from "@bufbuild/protobuf";
import type { Answer, Effect } from "./answer.ts";
import type { CallMetadata } from "./metadata.ts";
import { type BoundMethod, type Declared, handlersOf } from "./service.ts";

/** What a handler of an action can do besides answering. */
export interface ActionContext {
  /** Metadata of the call: request headers, or the attributes of an event. */
  readonly metadata: CallMetadata;
  /** Aborts when the caller is gone. */
  readonly signal: AbortSignal;
  /** Has `method` called before the next answer goes out. Effects stay with failures. */
  readonly effect: Effect;
}

type Input<M extends DescMethod> = M extends { readonly methodKind: "unary" | "server_streaming" }
  ? MessageShape<M["input"]>
  : AsyncIterable<MessageShape<M["input"]>>;

type Output<M extends DescMethod> = M extends { readonly methodKind: "unary" | "client_streaming" }
  ? Promise<Answer<M>> | Answer<M>
  : AsyncIterable<Answer<M>>;

/** One handler for each method; those that stream out are generators. A failure that is yielded is one element, a thrown one the last. */
export type ActionHandlers<S extends DescService> = {
  [K in keyof S["method"]]: (input: Input<S["method"][K]>, context: ActionContext) => Output<S["method"][K]>;
};

/** A service without state, declared and ready to be served. */
export interface ActionService extends Declared {
  readonly entityType: "cloudstate.action.ActionProtocol";
  readonly methods: ReadonlyMap<string, BoundMethod>;
}

/** Declares a service without state. Throws a TypeError when a method has no handler. */
export function action<S extends DescService>(descriptor: S, handlers: ActionHandlers<S>): ActionService {
  return {
    descriptor,
    entityType: "cloudstate.action.ActionProtocol",
    persistenceId: "",
    methods: handlersOf(descriptor, handlers),
  };
}
