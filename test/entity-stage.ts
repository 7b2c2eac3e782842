import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry, type Telemetry } from "../lib/core/telemetry.ts";
import { seededRandom } from "../lib/core/world.ts";
import type { EntityType, Method, Service } from "../lib/discovery/service-table.ts";
import { createCompletion } from "../lib/entities/completion.ts";
import { createEventSourcedKind } from "../lib/entities/event-sourced-kind.ts";
import { createHost, type HostOptions } from "../lib/entities/host.ts";
import { StateCache } from "../lib/entities/state-cache.ts";
import { createValueKind } from "../lib/entities/value-kind.ts";
import type { Element } from "../lib/routing/command.ts";
import { createMemoryStore } from "../lib/store/memory.ts";
import type { Store } from "../lib/store/store.ts";
import { ProcessClock, VirtualTime } from "../lib/testing/virtual-time.ts";
import type { FunctionStreamReceiver, UserFunction } from "../lib/user-function/user-function.ts";
import {
  EventSourcedStreamInSchema,
  EventSourcedStreamOutSchema,
} from "../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import { ValueEntityStreamInSchema, ValueEntityStreamOutSchema } from "../lib/wire/gen/cloudstate/value_entity_pb.ts";
import { playedFunction } from "./played-function.ts";

type ValueOut = NonNullable<MessageInitShape<typeof ValueEntityStreamOutSchema>["message"]>;
type EventOut = NonNullable<MessageInitShape<typeof EventSourcedStreamOutSchema>["message"]>;

/** One stream that the proxy opened, as its function sees it. */
export interface PlayedStream {
  readonly path: string;
  readonly receiver: FunctionStreamReceiver;
  /** Every message as words: `init a`, `event 1 b`, `command 1`. */
  readonly sent: string[];
  state: "open" | "half-closed" | "completed" | "reset";
  /** What `write` returns. */
  takes: boolean;
  /** Whether the function may have got something of it. */
  reached: boolean;
}

/** Microtasks and promises of the store. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

export const any = (text: string) => ({ typeUrl: "t/State", value: Buffer.from(text) });
const textOf = (value: Any | undefined) => (value ? Buffer.from(value.value).toString() : "-");

/** What the store does to the next calls of one of its methods. */
interface Script {
  readonly fail?: MassaError;
  /** Waits for this before it does what it is asked. */
  readonly until?: Promise<unknown>;
  /** Waits for this before it says that it has done it. */
  readonly after?: Promise<unknown>;
}

/** A memory store that a test can hold up or let fail, and that notes what it was asked. */
function scriptedStore(): {
  readonly store: Store;
  /** The store behind it, which no script holds up. */
  readonly behind: Store;
  readonly asked: string[];
  readonly script: Map<string, Script>;
} {
  const memory = createMemoryStore();
  const asked: string[] = [];
  const script = new Map<string, Script>();
  const through = async <T>(name: string, run: () => Promise<T>): Promise<T> => {
    asked.push(name);
    const next = script.get(name);
    await next?.until;
    if (next?.fail) throw next.fail;
    const done = await run();
    await next?.after;
    return done;
  };
  const { values, events } = memory;
  const store: Store = {
    ...memory,
    isShared: false,
    values: {
      get: (key) => through("get", () => values.get(key)),
      put: (...parts) => through("put", () => values.put(...parts)),
    },
    events: {
      head: (key) => through("head", () => events.head(key)),
      read: (...parts) => through("read", () => events.read(...parts)),
      append: (...parts) => through("append", () => events.append(...parts)),
      saveSnapshot: (...parts) => through("saveSnapshot", () => events.saveSnapshot(...parts)),
      log: (...parts) => events.log(...parts),
      watch: (...parts) => events.watch(...parts),
    },
    [Symbol.asyncDispose]: () => memory[Symbol.asyncDispose](),
  };
  return { store, behind: memory, asked, script };
}

export interface StageOptions {
  readonly host?: Partial<HostOptions>;
  readonly cacheBytes?: number;
  readonly term?: () => number | undefined;
  readonly passivationMs?: number;
  /** How many bytes of commands may wait for the function. */
  readonly waitingBytesMax?: number;
}

/** A host of both serial kinds over a store, with a function that the test plays and time that it lets pass. */
export function openStage(options: StageOptions = {}) {
  const time = new VirtualTime();
  const world = { clock: new ProcessClock(time, 0), random: seededRandom(1) };
  const { store, behind, asked, script } = scriptedStore();
  const streams: PlayedStream[] = [];
  const reports: string[] = [];
  /** Whether the next stream takes messages from the start. */
  const next = { takes: true };
  const counted: string[] = [];
  const observed: string[] = [];
  const warned: string[] = [];
  const telemetry: Telemetry = {
    ...silentTelemetry,
    count: (name, labels = {}, by = 1) =>
      void counted.push([name, ...Object.values(labels), ...(by === 1 ? [] : [by])].join(" ")),
    observe: (name, seconds, labels = {}) => void observed.push([name, ...Object.values(labels), seconds].join(" ")),
  };
  const room: UserFunction["share"] = (held) => (bytes) =>
    held() + bytes <= (options.waitingBytesMax ?? Number.POSITIVE_INFINITY);
  const userFunction = playedFunction((path, receiver) => {
    const stream: PlayedStream = { path, receiver, sent: [], state: "open", takes: next.takes, reached: true };
    streams.push(stream);
    return {
      get reached() {
        return stream.reached;
      },
      write(frame) {
        stream.sent.push(path.includes("value") ? spelledValue(frame.subarray(5)) : spelledEvent(frame.subarray(5)));
        return stream.takes;
      },
      end: () => void (stream.state = "half-closed"),
      cancel: () => void (stream.state = "reset"),
      pause: () => undefined,
      resume: () => undefined,
    };
  }, room);
  const parts = {
    userFunction,
    world,
    log: { ...silentLogger, warn: (_fields: object, text: string) => void warned.push(text) },
    telemetry,
    reportError: (text: string) => reports.push(text),
  };
  const cache = new StateCache({ bytesMax: options.cacheBytes ?? 1 << 20, term: options.term ?? (() => 1) }, telemetry);
  const passivationMs = options.passivationMs ?? 30_000;
  const completion = createCompletion({ ...parts, clock: world.clock }, { closeMs: 60_000, hurryMs: 1_000 });
  const serial = { ...parts, completion, cache, passivationMs, options: { giveUpMs: 120_000 } };
  const eventSourced = createEventSourcedKind({ ...serial, events: store.events });
  const host = createHost({
    ...parts,
    kinds: { value: createValueKind({ ...serial, values: store.values }), "event-sourced": eventSourced },
    options: {
      activeMax: 100,
      mailboxMax: 5,
      streamBufferMax: 2,
      pressureAfterMs: 200,
      drainMs: 10_000,
      relayTimeoutMs: 60_000,
      ...options.host,
    },
  });

  /** Sends a command; `got` says what its caller heard. */
  async function open(kind: "value" | "event-sourced", entityId = "e", service = "s.S") {
    const got: string[] = [];
    const elements: Element[] = [];
    const payload = { typeUrl: "t/In", value: Buffer.from(entityId) };
    const call = host.open(
      methodOf(kind, service),
      { service, method: "Do", metadata: [], payload, hops: 0 },
      {
        element: (element) => {
          elements.push(element);
          got.push(spelledElement(element));
        },
        end: () => got.push("end"),
        fail: ({ code, message }) => got.push(`${code}: ${message}`),
        drain: () => undefined,
      },
    );
    call.halfClose();
    await settled();
    return { call, got, elements };
  }

  return {
    time,
    store,
    behind,
    asked,
    script,
    streams,
    next,
    reports,
    counted,
    observed,
    warned,
    cache,
    host,
    eventSourced,
    open,
  };
}

export type Stage = ReturnType<typeof openStage>;

/** The function's words on a value entity's stream. */
export function valueFunction({ streams }: Pick<Stage, "streams">) {
  const say = async (message: ValueOut, stream = streams.at(-1)!) => {
    stream.receiver.message(toBinary(ValueEntityStreamOutSchema, create(ValueEntityStreamOutSchema, { message })));
    await settled();
  };
  const reply = (commandId: number, stateAction?: object, more: object = {}, stream = streams.at(-1)!) =>
    say(
      {
        case: "reply",
        value: { commandId: BigInt(commandId), ...replied, ...(stateAction && { stateAction }), ...more },
      },
      stream,
    );
  const update = (text: string) => ({ action: { case: "update", value: { value: any(text) } } });
  return { say, reply, update, remove: { action: { case: "delete", value: {} } } };
}

/** The function's words on an event-sourced entity's stream. */
export function eventFunction({ streams }: Pick<Stage, "streams">) {
  const say = async (message: EventOut, stream = streams.at(-1)!) => {
    stream.receiver.message(toBinary(EventSourcedStreamOutSchema, create(EventSourcedStreamOutSchema, { message })));
    await settled();
  };
  const reply = (commandId: number, events: readonly string[] = [], more: object = {}, stream = streams.at(-1)!) =>
    say(
      { case: "reply", value: { commandId: BigInt(commandId), ...replied, events: events.map(any), ...more } },
      stream,
    );
  const snapshot = (text: string) => ({ snapshot: any(text) });
  return { say, reply, snapshot };
}

const replied = { clientAction: { action: { case: "reply", value: { payload: { typeUrl: "t/Out" } } } } } as const;

/** In place of a reply: the function's own "no". */
export const refused = (description: string, restart = false) => ({
  clientAction: { action: { case: "failure", value: { commandId: 1n, description, restart } } },
});

const services = new Map<string, Service>();

/** The one method of a service of that kind; services whose names begin alike share their state. */
export function methodOf(entityType: EntityType, name: string): Method {
  const key = `${entityType} ${name}`;
  const service = services.get(key) ?? {
    name,
    entityType,
    persistenceId: name.startsWith("s.") ? "p" : name,
    methods: new Map<string, Method>(),
  };
  services.set(key, service);
  return {
    service,
    name: "Do",
    path: `/${name}/Do`,
    labels: { service: name, method: "Do" },
    inputType: "In",
    outputType: "Out",
    inputUrl: "t/In",
    outputUrl: "t/Out",
    streamedIn: false,
    streamedOut: false,
    key: (bytes) => {
      if (bytes.length === 0) throw new MassaError("invalid", "no key");
      return Buffer.from(bytes).toString();
    },
  };
}

function spelledElement({ action, effects }: Element): string {
  const said = action?.type === "failure" ? `failure ${action.description}` : (action?.type ?? "nothing");
  return effects.length === 0 ? said : `${said} + ${effects.map(({ commandName }) => commandName).join(" ")}`;
}

function spelledValue(bytes: Uint8Array): string {
  const { message } = fromBinary(ValueEntityStreamInSchema, bytes);
  switch (message.case) {
    case "init":
      return `init ${message.value.serviceName} ${message.value.entityId} ${message.value.state ? textOf(message.value.state.value) : "no state"}`;
    case "command":
      return `command ${message.value.id}`;
    case undefined:
      return "nothing";
  }
}

function spelledEvent(bytes: Uint8Array): string {
  const { message } = fromBinary(EventSourcedStreamInSchema, bytes);
  switch (message.case) {
    case "init": {
      const { snapshot } = message.value;
      return `init ${snapshot ? `${snapshot.snapshotSequence} ${textOf(snapshot.snapshot)}` : "-"}`;
    }
    case "event":
      return `event ${message.value.sequence} ${textOf(message.value.payload)}`;
    case "command":
      return `command ${message.value.id}`;
    case undefined:
      return "nothing";
  }
}
