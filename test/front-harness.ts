import { createRegistry } from "@bufbuild/protobuf";
import { Client, credentials, type ClientOptions } from "@grpc/grpc-js";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry, type Telemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import type { Method, Service, ServiceTable } from "../lib/discovery/service-table.ts";
import { openFront, type Front, type FrontOptions } from "../lib/frontend/front.ts";
import type { Call, Caller, Command, Router } from "../lib/routing/command.ts";
import { nodeHttp2 } from "../lib/wire/http2-node.ts";

export const frontOptions: FrontOptions = {
  host: "127.0.0.1",
  port: 0,
  connectionsMax: 100,
  streamsMax: 1_000,
  windowBytes: 64 * 1024,
  headerBytesMax: 16 * 1024,
  greetingTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  headersTimeoutMs: 10_000,
  keepAliveMs: 10_000,
  bodyTimeoutMs: 10_000,
  pipelineMax: 16,
  cors: { origins: [], headers: [], exposed: [], maxAgeMs: 600_000 },
  messageBytesMax: 1024 * 1024,
  bufferBytes: 64 * 1024 * 1024,
};

/** A table of services by name, methods written as "Name", "Name<" (streams in), "Name>" (streams out) or both. */
export function tableOf(
  services: Readonly<Record<string, readonly string[]>>,
  files: ServiceTable["files"] = [],
): ServiceTable {
  const table = new Map<string, Service>();
  for (const [name, methods] of Object.entries(services)) {
    const byName = new Map<string, Method>();
    const service: Service = { name, entityType: "action", persistenceId: "", methods: byName };
    for (const spec of methods) {
      const method = spec.replace(/[<>]/g, "");
      byName.set(method, {
        service,
        name: method,
        path: `/${name}/${method}`,
        labels: { service: name, method },
        inputType: "t.In",
        outputType: "t.Out",
        inputUrl: "type.googleapis.com/t.In",
        outputUrl: "type.googleapis.com/t.Out",
        streamedIn: spec.includes("<"),
        streamedOut: spec.includes(">"),
        key: () => "",
      });
    }
    table.set(name, service);
  }
  return { services: table, files, registry: createRegistry() };
}

/** A call that reached the router, with what the front did to it. */
export class Opened implements Call {
  readonly sent: string[] = [];
  readonly events: string[] = [];
  takes = true;
  readonly command: Command;
  readonly caller: Caller;
  #changed = Promise.withResolvers<undefined>();

  constructor(command: Command, caller: Caller) {
    this.command = command;
    this.caller = caller;
  }

  reply(text: string | Uint8Array, metadata: Command["metadata"] = []): void {
    this.caller.reply({ typeUrl: "type.googleapis.com/t.Out", value: Buffer.from(text) }, metadata);
  }

  send(payload: { readonly value: Uint8Array }): boolean {
    this.sent.push(Buffer.from(payload.value).toString());
    this.#note("send");
    return this.takes;
  }

  halfClose = () => this.#note("halfClose");
  cancel = () => this.#note("cancel");
  pause = () => this.#note("pause");
  resume = () => this.#note("resume");

  /** Resolves when `holds` does; asked after everything that the front does to the call. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await this.#changed.promise;
  }

  #note(event: string): void {
    this.events.push(event);
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<undefined>();
    resolve(undefined);
  }
}

export interface Harness extends AsyncDisposable {
  readonly front: Front;
  readonly client: Client;
  readonly counted: string[];
  /** The next call that the router gets and nobody took yet. */
  opened(): Promise<Opened>;
}

/** A front over a router whose calls the test answers by hand, or `answer` does at once. */
export async function openHarness(
  options: {
    readonly table?: ServiceTable;
    readonly front?: Partial<FrontOptions>;
    readonly client?: ClientOptions;
    readonly answer?: (call: Opened) => void;
  } = {},
): Promise<Harness> {
  const arrived: Opened[] = [];
  const waiting: ((call: Opened) => void)[] = [];
  const counted: string[] = [];
  const telemetry: Telemetry = {
    ...silentTelemetry,
    count: (name, labels = {}) => void counted.push([name, ...Object.values(labels)].join(" ")),
  };
  const router: Router = {
    open(command, caller) {
      const call = new Opened(command, caller);
      const taker = waiting.shift();
      if (options.answer) options.answer(call);
      else if (taker) taker(call);
      else arrived.push(call);
      return call;
    },
  };
  const front = await openFront({
    router,
    table: options.table ?? tableOf({ "t.S": ["Unary", "In<", "Out>", "Both<>"] }),
    engine: nodeHttp2,
    world: realWorld,
    log: silentLogger,
    telemetry,
    options: { ...frontOptions, ...options.front },
  });
  const client = new Client(`127.0.0.1:${front.port}`, credentials.createInsecure(), options.client);
  return {
    front,
    client,
    counted,
    opened() {
      const call = arrived.shift();
      if (call) return Promise.resolve(call);
      const { promise, resolve } = Promise.withResolvers<Opened>();
      waiting.push(resolve);
      return promise;
    },
    async [Symbol.asyncDispose]() {
      client.close();
      await front[Symbol.asyncDispose]();
    },
  };
}
