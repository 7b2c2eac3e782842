import type { CloudEvent } from "../../eventing/cloud-event.ts";
import { isJson, textOf } from "../../eventing/cloud-event.ts";
import { payloadOf } from "../../eventing/event-payload.ts";
import { MassaError } from "../core/errors.ts";
import type { EventSource, Method, ServiceTable } from "../discovery/service-table.ts";
import type { AnyValue } from "../wire/protocol.ts";

/** Reads JSON text as a message of the table by the proto3 JSON mapping; throws `invalid` naming the field's path. */
export type ReadJson = (typeName: string, jsonText: string) => Uint8Array;

/** Methods that share the messages of one topic, or event log, and group. */
export interface Consumer {
  readonly kind: "topic" | "event log";
  readonly source: string;
  readonly group: string;
  readonly methods: readonly Method[];
}

/** The method an event is for, with its input. */
export interface Selection {
  readonly method: Method;
  readonly payload: AnyValue;
}

const anyType = "google.protobuf.Any";

/** The consumers of topics, or of event logs, that a table declares, by source and group. */
export function consumersOf(table: ServiceTable | undefined, kind: Consumer["kind"]): ReadonlyMap<string, Consumer> {
  const consumers = new Map<string, Consumer & { methods: Method[] }>();
  for (const service of table?.services.values() ?? []) {
    for (const method of service.methods.values()) {
      const source = nameOf(method.eventing?.in, kind);
      if (source === undefined) continue;
      const group = method.eventing!.in!.consumerGroup;
      const name = JSON.stringify([source, group]);
      const consumer = consumers.get(name);
      if (consumer) consumer.methods.push(method);
      else consumers.set(name, { kind, source, group, methods: [method] });
    }
  }
  return consumers;
}

function nameOf(source: EventSource | undefined, kind: Consumer["kind"]): string | undefined {
  if (source === undefined) return undefined;
  if (kind === "topic") return "topic" in source ? source.topic : undefined;
  return "eventLog" in source ? source.eventLog : undefined;
}

/** Chooses the method by the type of its payload. Throws `invalid` when no attempt can ever succeed. */
export function select(event: CloudEvent, { kind, source, methods }: Consumer, readJson: ReadJson): Selection {
  const payload = payloadOf(event);
  const { typeUrl } = payload;
  const takesAny = methods.find(({ inputType }) => inputType === anyType);
  const isWrapped = typeUrl.startsWith("json.cloudstate.io/") || typeUrl.startsWith("p.cloudstate.io/");
  if (!isWrapped) {
    const name = typeUrl.slice(typeUrl.indexOf("/") + 1);
    const exact = methods.find(({ inputType }) => inputType === name);
    if (exact) return { method: exact, payload };
  }
  if (takesAny) return { method: takesAny, payload };
  const named = isJson(event.contentType) ? methodOfType(event.type, methods) : undefined;
  if (!named) {
    const types = methods.map(({ inputType }) => inputType).join(", ");
    throw new MassaError("invalid", `no method takes ${typeUrl} from ${kind} ${source}; its consumers take ${types}`);
  }
  const value = readJson(named.inputType, textOf(event.data));
  return { method: named, payload: { typeUrl: `type.googleapis.com/${named.inputType}`, value } };
}

function methodOfType(type: string, methods: readonly Method[]): Method | undefined {
  if (type === "") return methods.length === 1 ? methods[0] : undefined;
  return methods.find(({ inputType }) => inputType === type || inputType.endsWith(`.${type}`));
}

/**
 * What orders the event: its partition key, else the entity's key, so that no two lanes meet at one entity, else
 * the broker's key, else its subject; "" for none.
 */
export function laneOf(event: CloudEvent, brokerKey: string, { method, payload }: Selection): string {
  const entityKey = method.inputType === anyType ? "" : method.key(payload.value);
  return [event.partitionKey, entityKey, brokerKey, event.subject].find((key) => key !== undefined && key !== "") ?? "";
}
