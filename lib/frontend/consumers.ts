import { type CloudEvent, eventOf } from "../../eventing/cloud-event.ts";
import type { Delivery, Inlet } from "../../eventing/driver.ts";
import { metadataOf } from "../../eventing/event-payload.ts";
import { Subscription, type SubscriptionOptions, type Work } from "../../eventing/subscription.ts";
import type { Judge, Outcome } from "../../eventing/verdict.ts";
import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import type { ServiceTable } from "../discovery/service-table.ts";
import type { Command, Router } from "../routing/command.ts";
import { type Consumer, consumersOf, type ReadJson, select, type Selection } from "./topic-methods.ts";

export interface ConsumersOptions extends SubscriptionOptions {
  /** How long one attempt at a message may take (`eventing.timeout`). */
  readonly timeoutMs: number;
}

export interface ConsumersParts {
  readonly table: ServiceTable | undefined;
  /** Where commands go: the outlet, so that replies of methods with `out` are published before the message is acknowledged. */
  readonly router: Router;
  /** By the table that is served at the time. */
  readonly readJson: ReadJson;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly options: ConsumersOptions;
}

/** What makes the sources of one kind what they are. */
export interface SourceKind {
  readonly kind: Consumer["kind"];
  readonly inlet: Inlet;
  /** Absent: as for topics. */
  readonly judge?: Judge;
  /** Makes known what the table names, before the first message is taken. Never rejects. */
  declare(consumers: Iterable<Consumer>, table: ServiceTable | undefined): Promise<void>;
  /** Throws `invalid` for an input that can never be served. */
  readonly checkInput?: (selection: Selection) => void;
  /** Messages of one lane run in order. */
  laneOf(event: CloudEvent, delivery: Delivery, selection: Selection): string;
  /** A message that no attempt can ever serve has come. */
  readonly unreadable?: (event: CloudEvent, consumer: Consumer, error: MassaError) => void;
}

/** Topics, or event logs, as a front end: one subscription for each source and group that the table's methods declare. */
export interface Consumers extends AsyncDisposable {
  /** Consumers that stay go on; those that vanish are drained; new ones begin. Takes effect soon, never throws. */
  setTable(table: ServiceTable | undefined): void;
  /** Which consumers get nothing from their source, and why; for readiness. */
  readonly reasons: readonly string[];
}

interface Opened {
  readonly subscription: Subscription;
  consumer: Consumer;
}

type Around = ConsumersParts & SourceKind;

/** Subscribes to what the table declares of one kind and goes on with each that is set. */
export function openConsumers(parts: ConsumersParts, source: SourceKind): Consumers {
  const { log } = parts;
  const around: Around = { ...parts, ...source };
  const open = new Map<string, Opened>();
  let work: Promise<void> = Promise.resolve();

  const apply = async (table: ServiceTable | undefined) => {
    const wanted = consumersOf(table, source.kind);
    for (const [name, { subscription }] of open) {
      if (wanted.has(name)) continue;
      open.delete(name);
      await subscription[Symbol.asyncDispose]();
    }
    await source.declare(wanted.values(), table);
    for (const [name, consumer] of wanted) {
      const present = open.get(name);
      if (present) present.consumer = consumer;
      else open.set(name, begin(consumer));
    }
  };

  const begin = (consumer: Consumer) => {
    const opened: Opened = {
      consumer,
      subscription: new Subscription({
        ...parts,
        driver: source.inlet,
        ...(source.judge && { judge: source.judge }),
        source: { topic: consumer.source, group: consumer.group },
        plan: (delivery) => plan(around, delivery, () => opened.consumer),
      }),
    };
    return opened;
  };

  const later = (change: () => Promise<void>) => {
    work = work.then(change).catch((reason: unknown) => {
      log.error({ err: MassaError.from(reason) }, `${source.kind}s not brought in line with the services`);
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

/** Several consumers steered as one. */
export function together(all: readonly Consumers[]): Consumers {
  return {
    setTable(table) {
      for (const consumers of all) consumers.setTable(table);
    },
    get reasons() {
      return all.flatMap(({ reasons }) => reasons);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((consumers) => consumers[Symbol.asyncDispose]()));
    },
  };
}

function plan(around: Around, delivery: Delivery, consumerNow: () => Consumer): Work {
  let consumer = consumerNow();
  const event = eventOf(delivery, { id: delivery.id, source: consumer.source });
  let selection = choose(around, event, consumer);
  const metadata = metadataOf(event);
  return {
    lane: around.laneOf(event, delivery, selection),
    async run(signal) {
      if (consumer !== consumerNow()) {
        // The function came back different since the message was read.
        try {
          selection = choose(around, event, consumerNow());
        } catch (reason) {
          const error = MassaError.from(reason);
          return { type: error.code === "invalid" ? "permanent" : "failed", error };
        }
        consumer = consumerNow();
      }
      return call(around, selection, metadata, signal);
    },
  };
}

/** The method for an event; tells of an event that none can ever take, and throws the reason. */
function choose({ readJson, checkInput, unreadable }: Around, event: CloudEvent, consumer: Consumer): Selection {
  try {
    const selection = select(event, consumer, readJson);
    checkInput?.(selection);
    return selection;
  } catch (reason) {
    const error = MassaError.from(reason);
    if (error.code === "invalid") unreadable?.(event, consumer, error);
    throw error;
  }
}

/** One call with one message in; all that comes out is drained. */
function call(
  { router, world, options }: Around,
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
  // What an event says of itself belongs to its message, and not to the stream that takes it.
  const command: Command = {
    service: method.service.name,
    method: method.name,
    metadata: method.streamedIn ? [] : metadata,
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
  if (method.streamedIn) opened.send(payload, metadata);
  opened.halfClose();
  return promise;
}
