import type { Inlet } from "../../eventing/driver.ts";
import { judgeEvent } from "../../eventing/verdict.ts";
import { type Consumers, type ConsumersParts, openConsumers } from "./consumers.ts";

export interface EventLogsParts extends ConsumersParts {
  /** The event logs of the store. */
  readonly inlet: Inlet;
}

/** Types of which it is said that nobody can read them; of what comes beyond only metrics speak. */
const warnedMax = 1_000;

/**
 * The event logs as a front end: one subscription for each persistence id and group that the table's methods declare. Events of one
 * entity run in order, one after another; those of different entities side by side.
 */
export function openEventLogs(parts: EventLogsParts): Consumers {
  const warned = new Set<string>();
  return openConsumers(parts, {
    kind: "event log",
    inlet: parts.inlet,
    judge: judgeEvent,
    declare: () => Promise.resolve(),
    checkInput: ({ method, payload }) => {
      if (method.inputType !== "google.protobuf.Any") method.key(payload.value);
    },
    laneOf: (_event, { key }) => key,
    unreadable: ({ type }, { source, group }, error) => {
      const name = JSON.stringify([source, group, type]);
      if (warned.has(name) || warned.size >= warnedMax) return;
      warned.add(name);
      parts.log.warn({ eventLog: source, group, type, cause: error.message }, "events of a type cannot be served");
    },
  });
}
