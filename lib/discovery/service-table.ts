import type { Registry } from "@bufbuild/protobuf";
import type { FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import type { HttpBinding } from "./http-rule.ts";

/** The four kinds of service that Cloudstate 0.2 knows. */
export type EntityType = "action" | "crdt" | "value" | "event-sourced";

/** What the user function serves: made once per discovery, checked, and never changed afterwards. */
export interface ServiceTable {
  /** By full service name, in the order in which the function named them. */
  readonly services: ReadonlyMap<string, Service>;
  /** Every file of the function's descriptor set and the well-known ones it imports, each after its imports. */
  readonly files: readonly FileDescriptorProto[];
  /** The types of those files. */
  readonly registry: Registry;
}

/** One service that the user function implements. */
export interface Service {
  /** Full name, package included. */
  readonly name: string;
  readonly entityType: EntityType;
  /** Empty for actions. */
  readonly persistenceId: string;
  /** Idle time before an instance is passivated, where the function asked for one. */
  readonly passivationMs?: number;
  /** By name as declared, in order of declaration. */
  readonly methods: ReadonlyMap<string, Method>;
}

/** One method of a service, with all that serving it needs. */
export interface Method {
  readonly service: Service;
  readonly name: string;
  /** `/<full service name>/<method name>`. */
  readonly path: string;
  /** The names of service and method, as metrics want them. */
  readonly labels: { readonly service: string; readonly method: string };
  /** Full message names, and the same as type URLs of type.googleapis.com. */
  readonly inputType: string;
  readonly outputType: string;
  readonly inputUrl: string;
  readonly outputUrl: string;
  readonly streamedIn: boolean;
  readonly streamedOut: boolean;
  /**
   * The entity key in the bytes of an input message; "" when the input declares none.
   * Throws `invalid` when the bytes are no protobuf message.
   */
  readonly key: (message: Uint8Array) => string;
  readonly eventing?: Eventing;
  /** How it is called over HTTP, in order of declaration; absent where its types are not known. */
  readonly http?: readonly HttpBinding[];
}

/** Where a method's input comes from, and where its replies go, besides callers. */
export interface Eventing {
  readonly in?: EventSource;
  readonly out?: { readonly topic: string };
}

/** A topic, or the event log of a persistence id, with the group that shares its messages (default: the service name). */
export type EventSource =
  | { readonly topic: string; readonly consumerGroup: string }
  | { readonly eventLog: string; readonly consumerGroup: string };
