import { createRegistry } from "@bufbuild/protobuf";
import { createEventLog, type EventLogOptions, type EventLogStore } from "../eventing/event-log.ts";
import { MassaError } from "../lib/core/errors.ts";
import type { Logger } from "../lib/core/log.ts";
import { silentTelemetry, type Telemetry } from "../lib/core/telemetry.ts";
import { type Clock, realWorld, type World } from "../lib/core/world.ts";
import type { Eventing, Method, Service, ServiceTable } from "../lib/discovery/service-table.ts";
import type { ConsumersOptions } from "../lib/frontend/consumers.ts";
import { openEventLogs } from "../lib/frontend/event-logs.ts";
import type { Call, Caller, Command, Router } from "../lib/routing/command.ts";
import type { Store } from "../lib/store/store.ts";
import { VirtualTime } from "../lib/testing/virtual-time.ts";
import type { AnyValue } from "../lib/wire/protocol.ts";
import { until } from "./eventing-harness.ts";

/** The events of the conformance model's first entity. */
export const oneUrl = "type.googleapis.com/m.One";
export const group = "s.S";
/** The consumer of log `carts` and the default group, as the store knows it. */
export const consumer = "carts%2Fs.S";

export function eventOf(text: string, typeUrl = oneUrl): AnyValue {
  return { typeUrl, value: Buffer.from(text) };
}

export const textOf = (payload: AnyValue | undefined) => Buffer.from(payload!.value).toString();

/** Appends events to an entity of log `carts`. */
export async function append(store: Store, entityId: string, ...events: readonly AnyValue[]): Promise<void> {
  const key = { persistenceId: "carts", entityId };
  await store.events.append(key, (await store.events.head(key)).sequence, events);
}

export interface Declared {
  readonly name: string;
  readonly input?: string;
  readonly eventing?: Eventing;
  readonly service?: string;
}

export const fromLog = (eventLog = "carts", consumerGroup = group): Eventing => ({ in: { eventLog, consumerGroup } });

/** A table of actions, `One` from log `carts` unless said otherwise; an input with "!" in it has no key that could be read. */
export function tableOf(...declared: readonly Declared[]): ServiceTable {
  const services = new Map<string, Service & { readonly methods: Map<string, Method> }>();
  for (const { name, input = "m.One", eventing = fromLog(), service: serviceName = "s.S" } of declared) {
    const service = services.get(serviceName) ?? {
      name: serviceName,
      entityType: "action" as const,
      persistenceId: "",
      methods: new Map<string, Method>(),
    };
    services.set(serviceName, service);
    service.methods.set(name, {
      service,
      name,
      path: `/${serviceName}/${name}`,
      labels: { service: serviceName, method: name },
      inputType: input,
      outputType: "m.Out",
      inputUrl: `type.googleapis.com/${input}`,
      outputUrl: "type.googleapis.com/m.Out",
      streamedIn: false,
      streamedOut: false,
      key: (bytes) => {
        if (bytes.includes("!".charCodeAt(0))) throw new MassaError("invalid", "not an m.One: wire type 7 at byte 0");
        return "";
      },
      eventing,
    });
  }
  return { services, files: [], registry: createRegistry() };
}

/** Lets everything that is under way come to its end, but for what waits for virtual time. */
export const settle = () => realWorld.clock.sleep(3, new AbortController().signal);

/** A world whose time goes on by hand. */
export function virtualWorld() {
  const time = new VirtualTime();
  const clock: Clock = {
    ...realWorld.clock,
    now: () => time.now(),
    monotonic: () => time.now(),
    after: (delayMs, callback) => time.after(delayMs, callback),
  };
  const world: World = { clock, random: realWorld.random };
  /** Lets time go on, step by step, until something is so. */
  const pass = (isMet: () => boolean, what: string, stepMs = 100) =>
    until(() => {
      if (!isMet()) time.run(stepMs);
      return isMet();
    }, what);
  return { time, world, pass };
}

/** Keeps what is logged from `info` on, as `<message> <fields>`. */
export function recordingLogger(lines: string[]): Logger {
  const said = (_key: string, value: unknown) => (value instanceof Error ? value.message : value);
  const line = (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields, said)}`);
  const log: Logger = { debug: () => undefined, info: line, warn: line, error: line, child: () => log };
  return log;
}

/** Counts as `<name> <outcome>`. */
function countingTelemetry(counts: Map<string, number>): Telemetry {
  return {
    ...silentTelemetry,
    count: (name, labels = {}, by = 1) => {
      const key = `${name} ${labels["outcome"] ?? ""}`.trim();
      counts.set(key, (counts.get(key) ?? 0) + by);
    },
  };
}

const idle: Call = {
  send: () => true,
  halfClose: () => undefined,
  cancel: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};

/** A router whose calls `answer` ends; what it opened, in order. */
export function answering(answer: (command: Command, caller: Caller) => void) {
  const opened: Command[] = [];
  const router: Router = {
    open(command, caller) {
      opened.push(command);
      return { ...idle, halfClose: () => answer(command, caller) };
    },
  };
  return { opened, router };
}

export const logOptions: EventLogOptions = { pageMax: 16, saveEvents: 20, saveAfterMs: 1_000 };

const consumersOptions: ConsumersOptions = {
  inFlightMax: 64,
  attemptsMax: 1,
  backoffMinMs: 100,
  backoffMaxMs: 1_000,
  drainMs: 1_000,
  stallMs: 10_000,
  timeoutMs: 60_000,
};

interface Consuming {
  readonly store: EventLogStore;
  readonly table: ServiceTable;
  readonly router: Router;
  readonly options?: Partial<ConsumersOptions>;
  readonly log?: Partial<EventLogOptions>;
}

/** Consumers of event logs in virtual time, with what they log and count. */
export function consume({ store, table, router, options, log: logged }: Consuming) {
  const lines: string[] = [];
  const counts = new Map<string, number>();
  const around = virtualWorld();
  const { world } = around;
  const log = recordingLogger(lines);
  const inlet = createEventLog({ store, clock: world.clock, log, options: { ...logOptions, ...logged } });
  const consumers = openEventLogs({
    table,
    router,
    inlet,
    readJson: () => new Uint8Array(),
    world,
    log,
    telemetry: countingTelemetry(counts),
    options: { ...consumersOptions, ...options },
  });
  const accepted = () => counts.get("massa_eventing_messages_total accepted") ?? 0;
  return { ...around, consumers, lines, counts, accepted };
}
