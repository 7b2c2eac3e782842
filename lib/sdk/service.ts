import { type DescMethod, fromBinary, type Message } from "@bufbuild/protobuf";
import type { DescService } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Command } from "../wire/gen/cloudstate/entity_pb.ts";

/** The four protocols of Cloudstate 0.2 that a service can speak, by the name that discovery uses. */
type EntityType =
  | "cloudstate.action.ActionProtocol"
  | "cloudstate.crdt.Crdt"
  | "cloudstate.valueentity.ValueEntity"
  | "cloudstate.eventsourced.EventSourced";

/** A service as discovery names it. */
export interface Declared {
  readonly descriptor: DescService;
  readonly entityType: EntityType;
  readonly persistenceId: string;
  /** An entity without traffic for so long is let go; absent: the proxy's default. */
  readonly passivationTimeoutMs?: number;
}

/** A handler whose types were checked where it was declared. */
type Handler = (input: never, context: never) => unknown;

/** Method and handler by declared method name; throws when one has no handler. */
export function handlersOf(descriptor: DescService, handlers: Record<string, Handler>): Map<string, BoundMethod> {
  const bound = new Map<string, BoundMethod>();
  for (const method of descriptor.methods) {
    const handler = handlers[method.localName];
    if (!handler) throw new TypeError(`${descriptor.typeName} has no handler named ${method.localName}`);
    bound.set(method.name, { method, handler });
  }
  return bound;
}

export interface BoundMethod {
  readonly method: DescMethod;
  readonly handler: Handler;
}

/** An active entity. */
export interface Served<Service extends Methods> {
  readonly service: Service;
  readonly id: string;
}

interface Methods extends Declared {
  readonly methods: ReadonlyMap<string, BoundMethod>;
}

/** A command of an active entity, ready to be handled. Throws a TypeError when there is none of that name, or no entity yet. */
export function commandOf<Entity extends Served<Methods>>(
  entity: Entity | undefined,
  command: Command,
): { readonly entity: Entity; readonly method: DescMethod; readonly handle: (context: unknown) => unknown } {
  if (!entity) throw new TypeError("a message came before init");
  const bound = entity.service.methods.get(command.name);
  if (!bound) throw new TypeError(`${entity.service.descriptor.typeName} has no command ${command.name}`);
  const { method, handler } = bound;
  return { entity, method, handle: (context) => handler(inputOf(method, command.payload) as never, context as never) };
}

/** The input message of a command. Throws a TypeError when the payload is of another type. */
export function inputOf(method: DescMethod, payload: Any | undefined): Message {
  const typeUrl = payload?.typeUrl ?? "";
  const { typeName } = method.input;
  // A method that takes an Any gets events as they are, and calls of clients wrapped in another one.
  if (payload && typeName === "google.protobuf.Any" && !typeUrl.endsWith("/google.protobuf.Any")) return payload;
  if (!payload || typeUrl.slice(typeUrl.indexOf("/") + 1) !== typeName) {
    throw new TypeError(
      `${method.parent.typeName}.${method.name} takes ${typeName}, but got ${typeUrl || "no payload"}`,
    );
  }
  return fromBinary(method.input, payload.value);
}
