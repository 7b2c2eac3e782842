import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import type { ServiceTable } from "../discovery/service-table.ts";
import type { Router } from "../routing/command.ts";
import type { Http2Engine } from "../wire/http2.ts";
import type { CallParts, Route } from "./call.ts";
import type { CorsOptions } from "./cors.ts";
import { createGrpcFront } from "./grpc.ts";
import { createHealth } from "./health.ts";
import { createHttpFront } from "./http-front.ts";
import { createHttpRoutes } from "./http-routes.ts";
import { openListener, type ListenerOptions } from "./listener.ts";
import { OpenCalls } from "./open-calls.ts";
import { ownFiles } from "./own-files.ts";
import { createReflection } from "./reflection.ts";
import { indexSymbols } from "./symbols.ts";

export interface FrontParts {
  readonly router: Router;
  readonly table: ServiceTable;
  readonly engine: Http2Engine;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly options: FrontOptions;
}

/** Settings of the front port; the names are those of the configuration. */
export interface FrontOptions extends ListenerOptions {
  /** `limits.message` (12 MiB): one message, after inflating. */
  readonly messageBytesMax: number;
  /** `frontend.buffer` (256 MiB): bytes held for all calls together. */
  readonly bufferBytes: number;
  /** `frontend.cors`: pages of which origins may call; by default none. */
  readonly cors: CorsOptions;
}

/** The front port and socket with all that is served on them. */
export interface Front extends AsyncDisposable {
  /** The port that was bound; another than configured when that was 0. */
  readonly port: number;
  readonly calls: number;
  /** Swaps all routes at once. Calls of services that went end with UNAVAILABLE, all others go on. */
  setTable(table: ServiceTable): void;
  /** What `grpc.health.v1` says of the services from now on. */
  setServing(serving: boolean): void;
  /**
   * Takes no new connections and calls, and lets open ones finish. After `timeoutMs` the services are asked to end their streams
   * in good order, by `endStreams`, and those calls that are left after that are ended.
   */
  drain(timeoutMs: number, endStreams?: () => void): Promise<void>;
}

/** How long services have to end their streams after a drain's time, and clients then to take the answer. */
const lastWordMs = 500;

/** Binds the front port (and the Unix socket, if there is one) and serves from then on. Rejects when it cannot be bound. */
export async function openFront(parts: FrontParts): Promise<Front> {
  const { router, world, log, telemetry, options } = parts;
  const calls = new OpenCalls(options.bufferBytes);
  const callParts: CallParts = {
    world,
    log,
    telemetry,
    ...options,
    budget: calls.budget,
    closed: (call) => calls.delete(call),
  };
  const http = createHttpFront({ ...callParts, ...options, router, calls });
  const grpc = createGrpcFront({ ...callParts, calls, serveHttp: http.serve });
  const health = createHealth();
  let services = new Set<string>();

  const setTable = (table: ServiceTable) => {
    const routes = new Map<string, Route>();
    const add = (path: string, route: Route) => void routes.set(path, route);
    for (const service of table.services.values()) {
      for (const { path, name, inputUrl, streamedIn } of service.methods.values()) {
        add(path, { router, service: service.name, method: name, inputUrl, streamedIn });
      }
    }
    const reflection = createReflection(table.services.keys(), indexSymbols([...table.files, ...ownFiles]));
    for (const route of [...health.routes, ...reflection]) add(`/${route.service}/${route.method}`, route);
    grpc.setRoutes(routes);
    http.setRoutes(createHttpRoutes(table, log), routes);
    const before = services;
    services = new Set(table.services.keys());
    health.setServices(services);
    for (const name of before) {
      if (!services.has(name))
        calls.abort(new MassaError("unavailable", `service ${name} is not served here any more`), name);
    }
  };
  setTable(parts.table);
  const listener = await openListener(
    { ...parts, serve: (stream, headers, ended) => grpc.stream(stream, headers, ended), serveHttp: http.serve },
    options,
  );
  log.info({ port: listener.port, socket: options.socket }, "front port open");

  let drained: Promise<void> | undefined;
  return {
    port: listener.port,
    get calls() {
      return calls.size;
    },
    setTable,
    setServing: (serving) => health.setServing(serving),
    drain: (timeoutMs, endStreams) => (drained ??= drain(timeoutMs, endStreams)),
    async [Symbol.asyncDispose]() {
      await listener.close();
    },
  };

  async function drain(timeoutMs: number, endStreams?: () => void): Promise<void> {
    health.shutDown();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const abort = () => {
      log.warn({ calls: calls.size, timeoutMs }, "calls ended because draining took too long");
      calls.abort(new MassaError("unavailable", "the proxy is shutting down"));
      // A client that does not read its last word is not waited for.
      cancel = world.clock.after(lastWordMs, () => resolve(undefined));
    };
    let cancel = world.clock.after(timeoutMs, () => {
      if (!endStreams) return abort();
      endStreams();
      cancel = world.clock.after(lastWordMs, abort);
    });
    calls.refuse();
    listener.drain();
    calls.onIdle(() => resolve(undefined));
    await promise;
    cancel();
  }
}
