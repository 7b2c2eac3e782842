import { eventOf } from "../../eventing/cloud-event.ts";
import type { Delivery, Driver } from "../../eventing/driver.ts";
import { metadataOf } from "../../eventing/event-payload.ts";
import { Subscription, type SubscriptionOptions, type Work } from "../../eventing/subscription.ts";
import type { Outcome } from "../../eventing/verdict.ts";
import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import type { ServiceTable } from "../discovery/service-table.ts";
import type { Command, Router } from "../routing/command.ts";
import { type Consumer, consumersOf, laneOf, type ReadJson, select, type Selection } from "./topic-methods.ts";

export interface TopicsOptions extends SubscriptionOptions {
  /** How long one attempt at a message may take (`eventing.timeout`). */
  readonly timeoutMs: number;
}

export interface TopicsParts {
  readonly table: ServiceTable | undefined;
  /** Where commands go: the outlet, so that replies of methods with `out` are published before the message is acknowledged. */
  readonly router: Router;
  readonly driver: Driver;
  /** By the table that is served at the time. */
  readonly readJson: ReadJson;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly options: TopicsOptions;
}

/** The topics as a front end: one subscription for each topic and group that the table's methods declare. */
export interface Topics extends AsyncDisposable {
  /** Consumers that stay go on; those that vanish are drained; new ones begin. Takes effect soon, never throws. */
  setTable(table: ServiceTable | undefined): void;
  /** Which consumers get nothing from their broker, and why; for readiness. */
  readonly reasons: readonly string[];
}

interface Opened {
  readonly subscription: Subscription;
  consumer: Consumer;
}

/** Subscribes to what the table declares and goes on with each that is set. */
export function openTopics(parts: TopicsParts): Topics {
  const { driver, log } = parts;
  const open = new Map<string, Opened>();
  let work: Promise<void> = Promise.resolve();

  /** Every group is known before the first message is taken, so that none misses one. */
  const declare = async (consumers: Iterable<Consumer>, table: ServiceTable | undefined) => {
    const groups = new Map<string, string[]>();
    for (const { topic, group } of consumers) {
      const known = groups.get(topic);
      if (known) known.push(group);
      else groups.set(topic, [group]);
    }
    for (const topic of destinationsOf(table)) if (!groups.has(topic)) groups.set(topic, []);
    for (const [topic, names] of groups) {
      await driver.declare(topic, names).catch((reason: unknown) => {
        log.error({ topic, err: MassaError.from(reason, "unavailable") }, "topic not declared");
      });
    }
  };

  const apply = async (table: ServiceTable | undefined) => {
    const wanted = consumersOf(table);
    for (const [name, { subscription }] of open) {
      if (wanted.has(name)) continue;
      open.delete(name);
      await subscription[Symbol.asyncDispose]();
    }
    await declare(wanted.values(), table);
    for (const [name, consumer] of wanted) {
      const present = open.get(name);
      if (present) present.consumer = consumer;
      else open.set(name, begin(consumer));
    }
  };

  const begin = (consumer: Consumer) => {
    const { topic, group } = consumer;
    const opened: Opened = {
      consumer,
      subscription: new Subscription({
        ...parts,
        source: { topic, group },
        plan: (delivery) => plan(parts, delivery, () => opened.consumer),
      }),
    };
    return opened;
  };

  const later = (change: () => Promise<void>) => {
    work = work.then(change).catch((reason: unknown) => {
      log.error({ err: MassaError.from(reason) }, "topics not brought in line with the services");
    });
  };

  const setTable = (table: ServiceTable | undefined) => later(() => apply(table));
  setTable(parts.table);
  return {
    setTable,
    get reasons() {
      return [...open.values()].flatMap(({ subscription }) => subscription.trouble ?? []);
    },
    async [Symbol.asyncDispose]() {
      await work;
      const all = [...open.values()];
      open.clear();
      await Promise.all(all.map(({ subscription }) => subscription[Symbol.asyncDispose]()));
    },
  };
}

function destinationsOf(table: ServiceTable | undefined): ReadonlySet<string> {
  const topics = new Set<string>();
  for (const service of table?.services.values() ?? []) {
    for (const { eventing } of service.methods.values()) if (eventing?.out) topics.add(eventing.out.topic);
  }
  return topics;
}

function plan(parts: TopicsParts, delivery: Delivery, consumerNow: () => Consumer): Work {
  let consumer = consumerNow();
  const event = eventOf(delivery, { id: delivery.id, source: consumer.topic });
  let selection = select(event, consumer, parts.readJson);
  const metadata = metadataOf(event);
  return {
    lane: laneOf(event, delivery.key, selection),
    async run(signal) {
      if (consumer !== consumerNow()) {
        // The function came back different since the message was read.
        try {
          selection = select(event, consumerNow(), parts.readJson);
        } catch (reason) {
          const error = MassaError.from(reason);
          return { type: error.code === "invalid" ? "permanent" : "failed", error };
        }
        consumer = consumerNow();
      }
      return call(parts, selection, metadata, signal);
    },
  };
}

/** One call with one message in; all that comes out is drained. */
function call(
  { router, world, options }: TopicsParts,
  { method, payload }: Selection,
  metadata: Command["metadata"],
  signal: AbortSignal,
): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const settle = (outcome: Outcome) => {
    cancelTimer();
    signal.removeEventListener("abort", aborted);
    resolve(outcome);
  };
  const giveUp = (error: MassaError) => {
    opened.cancel();
    settle({ type: "failed", error });
  };
  const aborted = () => giveUp(MassaError.from(signal.reason, "canceled"));
  const cancelTimer = world.clock.after(options.timeoutMs, () => {
    giveUp(new MassaError("deadline", `${method.path} took longer than ${options.timeoutMs} ms (eventing.timeout)`));
  });
  signal.addEventListener("abort", aborted, { once: true });
  const command: Command = {
    service: method.service.name,
    method: method.name,
    metadata,
    payload: method.streamedIn ? undefined : payload,
    deadlineAtMs: world.clock.monotonic() + options.timeoutMs,
    hops: 0,
  };
  const opened = router.open(command, {
    reply: () => undefined,
    drain: () => undefined,
    end: () => settle({ type: "accepted" }),
    fail: (error) => settle({ type: "failed", error }),
  });
  if (method.streamedIn) opened.send(payload);
  opened.halfClose();
  return promise;
}
