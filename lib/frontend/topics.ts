import type { Driver } from "../../eventing/driver.ts";
import { MassaError } from "../core/errors.ts";
import type { ServiceTable } from "../discovery/service-table.ts";
import { type Consumers, type ConsumersParts, openConsumers } from "./consumers.ts";
import { type Consumer, laneOf } from "./topic-methods.ts";

export interface TopicsParts extends ConsumersParts {
  readonly driver: Driver;
}

/** The topics as a front end: one subscription for each topic and group that the table's methods declare. */
export function openTopics(parts: TopicsParts): Consumers {
  const { driver, log } = parts;

  /** Every group is known before the first message is taken, so that none misses one. */
  const declare = async (consumers: Iterable<Consumer>, table: ServiceTable | undefined) => {
    const groups = new Map<string, string[]>();
    for (const { source, group } of consumers) {
      const known = groups.get(source);
      if (known) known.push(group);
      else groups.set(source, [group]);
    }
    for (const topic of destinationsOf(table)) if (!groups.has(topic)) groups.set(topic, []);
    for (const [topic, names] of groups) {
      await driver.declare(topic, names).catch((reason: unknown) => {
        log.error({ topic, err: MassaError.from(reason, "unavailable") }, "topic not declared");
      });
    }
  };

  return openConsumers(parts, {
    kind: "topic",
    inlet: driver,
    declare,
    laneOf: (event, { key }, selection) => laneOf(event, key, selection),
  });
}

function destinationsOf(table: ServiceTable | undefined): ReadonlySet<string> {
  const topics = new Set<string>();
  for (const service of table?.services.values() ?? []) {
    for (const { eventing } of service.methods.values()) if (eventing?.out) topics.add(eventing.out.topic);
  }
  return topics;
}
