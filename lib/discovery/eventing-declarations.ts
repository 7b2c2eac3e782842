import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import type { EventDestination, EventSource as DeclaredSource } from "../wire/gen/cloudstate/eventing_pb.ts";
import { eventing } from "../wire/gen/cloudstate/eventing_pb.ts";
import { Rejection } from "./rejection.ts";
import type { Eventing, EventSource, Service } from "./service-table.ts";

/** Which sources and destinations of messages there are here. */
export interface EventingSupport {
  readonly topics: boolean;
  readonly eventLogs: boolean;
}

/** What a method declares of topics and event logs; throws a `Rejection` for what cannot be. */
export function readEventing(method: DescMethod, service: string, support: EventingSupport): Eventing | undefined {
  if (!hasOption(method, eventing)) return undefined;
  const declared = getOption(method, eventing);
  const name = `${service}.${method.name}`;
  const source = declared.in && sourceOf(declared.in, service, support);
  const out = declared.out && destinationOf(declared.out, name, support);
  if (!source && !out) return undefined;
  if (source && out && "topic" in source && source.topic === out.topic) {
    throw new Rejection(
      `Endpoint [${name}] has the same input topic as output topic [${out.topic}], this is not allowed.`,
    );
  }
  return { ...(source && { in: source }), ...(out && { out }) };
}

/**
 * Methods that share a source and a group share its messages by their input types, whatever services they are of, so these
 * must differ.
 */
export function checkConsumers(services: Iterable<Service>): void {
  const taken = new Map<string, string>();
  for (const service of services) {
    for (const { name, inputType, eventing: declared } of service.methods.values()) {
      if (!declared?.in) continue;
      const key = JSON.stringify([declared.in, inputType]);
      const method = `${service.name}.${name}`;
      const other = taken.get(key);
      if (other !== undefined) {
        const source = "topic" in declared.in ? `topic [${declared.in.topic}]` : `event log [${declared.in.eventLog}]`;
        throw new Rejection(
          `Methods [${other}] and [${method}] both take [${inputType}] from ${source} ` +
            `as group [${declared.in.consumerGroup}]: give one of them another consumer_group`,
        );
      }
      taken.set(key, method);
    }
  }
}

function sourceOf({ source, consumerGroup }: DeclaredSource, service: string, support: EventingSupport): EventSource {
  const group = consumerGroup === "" ? service : consumerGroup;
  switch (source.case) {
    case "topic":
      if (source.value === "") break;
      if (!support.topics) return refuseSource(service, source.value);
      return { topic: source.value, consumerGroup: group };
    case "eventLog":
      if (source.value === "") break;
      if (!support.eventLogs) return refuseSource(service, source.value);
      return { eventLog: source.value, consumerGroup: group };
    case undefined:
      break;
  }
  throw new Rejection(`Eventing consumer [${service}] has declared an input with no source.`);
}

function refuseSource(service: string, source: string): never {
  throw new Rejection(
    `Eventing consumer [${service}] has declared a [${source}] event source, but this event source isn't supported.`,
  );
}

function destinationOf({ destination }: EventDestination, method: string, support: EventingSupport): { topic: string } {
  if (destination.case === undefined || destination.value === "") {
    throw new Rejection(`Service call [${method}] has declared an event out with no topic.`);
  }
  if (!support.topics) {
    throw new Rejection(
      `Service call [${method}] declares an event destination topic of [${destination.value}], ` +
        "but no topic support is configured.",
    );
  }
  return { topic: destination.value };
}
