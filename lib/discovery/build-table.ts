import { type DescMethod, type DescService, getOption } from "@bufbuild/protobuf";
import { entity_key } from "../wire/gen/cloudstate/entity_key_pb.ts";
import type { Entity, EntitySpec } from "../wire/gen/cloudstate/entity_pb.ts";
import { legacy_entity_key } from "../wire/gen/cloudstate/legacy_entity_key_pb.ts";
import { compileKeyScan, isKeyable } from "../wire/key-scan.ts";
import { type Files, readDescriptors, type Refused } from "./descriptors.ts";
import { checkConsumers, type EventingSupport, readEventing } from "./eventing-declarations.ts";
import { readHttpBindings } from "./http-rule.ts";
import { Rejection } from "./rejection.ts";
import type { EntityType, Method, Service, ServiceTable } from "./service-table.ts";

/** What this proxy can do for a user function. */
export interface Support {
  /** Full names of protocol services, such as `cloudstate.crdt.Crdt`. */
  readonly supportedTypes: readonly string[];
  readonly topicsSupported: boolean;
  /** Whether another protocol version than 0.2 is rejected (`protocol-compatibility-check`). */
  readonly compatibilityCheck: boolean;
}

/** A table, or why there is none: `rejected` for good, `crash` until the function is asked again. */
export type TableOrRefusal = { readonly type: "table"; readonly table: ServiceTable } | Refused;

/** The protocol service that serves each kind of entity. */
export const entityTypes: Readonly<Record<EntityType, string>> = {
  action: "cloudstate.action.ActionProtocol",
  crdt: "cloudstate.crdt.Crdt",
  value: "cloudstate.valueentity.ValueEntity",
  "event-sourced": "cloudstate.eventsourced.EventSourced",
};

/** Whether a function speaks exactly the protocol version of this proxy, 0.2. */
export function isCompatible(spec: EntitySpec): boolean {
  return versionIn(spec) === "0.2";
}

/** The protocol version that a function says it speaks; `0.0` when it says nothing. */
export function versionIn({ serviceInfo }: EntitySpec): string {
  const { protocolMajorVersion = 0, protocolMinorVersion = 0 } = serviceInfo ?? {};
  return `${protocolMajorVersion}.${protocolMinorVersion}`;
}

/** Checks what a function says of itself, in the order that the Cloudstate protocol has, and makes the table of it. */
export function buildServiceTable(spec: EntitySpec, support: Support): TableOrRefusal {
  if (support.compatibilityCheck && !isCompatible(spec)) {
    return { type: "rejected", message: `Incompatible protocol version ${versionIn(spec)}, only 0.2 is supported` };
  }
  const read = readDescriptors(spec.proto);
  if (read.type !== "files") return read;
  try {
    return { type: "table", table: tableOf(spec.entities, read, support) };
  } catch (failure) {
    return { type: "rejected", message: Rejection.from(failure).message };
  }
}

function tableOf(entities: readonly Entity[], { files, registry }: Files, support: Support): ServiceTable {
  if (entities.length === 0) throw new Rejection("No entities were reported by the discover call!");
  const services = new Map<string, Service>();
  const eventing: EventingSupport = {
    topics: support.topicsSupported,
    eventLogs: support.supportedTypes.includes(entityTypes["event-sourced"]),
  };
  const found = entities.map((entity) => {
    const service = registry.getService(entity.serviceName);
    if (!service) throw new Rejection(`Service [${entity.serviceName}] not found in descriptors!`);
    const type = typeOf(entity, support.supportedTypes);
    checkMethods(service, type);
    return { entity, service, type };
  });
  for (const { entity, service, type } of found) {
    if (services.has(service.typeName)) throw new Rejection(`Service [${service.typeName}] is reported more than once`);
    services.set(service.typeName, serviceOf(entity, service, type, eventing));
  }
  checkConsumers(services.values());
  return { services, files, registry };
}

function typeOf({ entityType, serviceName }: Entity, supportedTypes: readonly string[]): EntityType {
  const known = (Object.keys(entityTypes) as EntityType[]).find((type) => entityTypes[type] === entityType);
  if (known !== undefined && supportedTypes.includes(entityType)) return known;
  throw new Rejection(
    known === "event-sourced"
      ? `Service [${serviceName}] is event sourced, but no store that keeps journals is configured, and event sourcing needs one`
      : `Service [${serviceName}] has declared an unsupported entity type [${entityType}]. ` +
          `Supported types are ${supportedTypes.join(",")}`,
  );
}

/** How the rejections name the kinds that need a key. */
const spoken = {
  "event-sourced": "Event sourced entities",
  value: "Value based entities",
  crdt: "CRDT entities",
} as const;

function checkMethods(service: DescService, type: EntityType): void {
  if (type === "action") return;
  const isStreamed = ({ proto }: DescMethod) => proto.clientStreaming || (type !== "crdt" && proto.serverStreaming);
  const streamed = service.methods.filter(isStreamed);
  if (streamed.length > 0) {
    const what = type === "crdt" ? "streaming in from the client" : "streamed methods";
    throw new Rejection(
      `${spoken[type]} do not support ${what}, but ${service.typeName} has the following streamed methods: ${listed(streamed)}`,
    );
  }
  const keyless = service.methods.filter((method) => keysOf(method).length === 0);
  if (keyless.length > 0) {
    throw new Rejection(
      `${spoken[type]} do not support methods whose parameters do not have at least one field marked as entity_key, ` +
        `but ${service.typeName} has the following methods without keys: ${listed(keyless)}`,
    );
  }
  for (const method of service.methods) checkKeyFields(method);
}

/** A key that is a list or a message has no form of its own: the same entity could be reached under several names. */
function checkKeyFields({ input, name, parent }: DescMethod): void {
  const field = input.fields.find((each) => isKey(each) && !isKeyable(each));
  if (!field) return;
  throw new Rejection(
    `Field [${input.typeName}.${field.name}] is marked as entity_key, but is a ${field.fieldKind}: ` +
      `${parent.typeName}.${name} needs a scalar or enum as its key`,
  );
}

function listed(methods: readonly DescMethod[]): string {
  return methods.map(({ name }) => name).join(",");
}

function isKey(field: DescMethod["input"]["fields"][number]): boolean {
  return getOption(field, entity_key) || getOption(field, legacy_entity_key);
}

/** In the order of declaration, whatever the numbers. */
function keysOf({ input }: DescMethod) {
  return input.fields.filter(isKey);
}

/** Longer than a timer can be set: as good as never. */
const passivationMaxMs = 0x7fff_ffff;

function serviceOf(entity: Entity, descriptor: DescService, entityType: EntityType, support: EventingSupport): Service {
  const { typeName } = descriptor;
  const timeout = entity.passivationStrategy?.strategy.value?.timeout ?? 0n;
  const methods = new Map<string, Method>();
  const service: Service = {
    name: typeName,
    entityType,
    // Without a name of its own a service's state is its own.
    persistenceId: entityType === "action" ? "" : entity.persistenceId || typeName,
    ...(timeout > 0n && { passivationMs: Math.min(Number(timeout), passivationMaxMs) }),
    methods,
  };
  for (const method of descriptor.methods) methods.set(method.name, methodOf(service, method, support));
  return service;
}

function methodOf(service: Service, descriptor: DescMethod, support: EventingSupport): Method {
  const { name, input, output, proto } = descriptor;
  const eventing = readEventing(descriptor, service.name, support);
  return {
    service,
    name,
    path: `/${service.name}/${name}`,
    labels: { service: service.name, method: name },
    inputType: input.typeName,
    outputType: output.typeName,
    inputUrl: `type.googleapis.com/${input.typeName}`,
    outputUrl: `type.googleapis.com/${output.typeName}`,
    streamedIn: proto.clientStreaming,
    streamedOut: proto.serverStreaming,
    key: compileKeyScan(input, keysOf(descriptor).filter(isKeyable)),
    ...(eventing && { eventing }),
    http: readHttpBindings(descriptor),
  };
}
