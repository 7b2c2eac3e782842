import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { metricInfos, type Telemetry } from "../core/telemetry.ts";
import { answer } from "./answer.ts";
import { type AdminHandler, createRouteTable, type RouteTable } from "./route.ts";

export interface AdminOptions {
  /** `admin.host` and `admin.port`; 0 takes a free one. */
  readonly host: string;
  readonly port: number;
  /** `admin.token`: lets others than loopback change state. */
  readonly token: string | undefined;
  /** `admin.connections` */
  readonly connectionsMax: number;
  /** `admin.requestTimeout`: until a request has come whole. */
  readonly requestTimeoutMs: number;
  /** `limits.message` and `limits.headers` */
  readonly bodyBytesMax: number;
  readonly headerBytesMax: number;
}

export interface AdminParts {
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly metrics: Metrics;
  /** Why the proxy is not ready; empty when it is. */
  readonly reasons: () => readonly string[];
}

/** The metrics in Prometheus' text form; the registry of prom-client is one. */
export interface Metrics {
  readonly contentType: string;
  /** All of them. */
  metrics(): Promise<string>;
  /** One of those in `metricInfos`. */
  getSingleMetricAsString(name: string): Promise<string>;
}

/** The operators' port: metrics, health, and what other rooms add. */
export interface AdminServer extends AsyncDisposable {
  /** The port that was bound; another than configured when that was 0. */
  readonly port: number;
  /** Serves one more method and path, such as `POST /topics/:name`. */
  readonly route: RouteTable["add"];
}

const checkEveryMs = 5_000;

/** Binds the admin port. Rejects with `unavailable` when it cannot, naming the variable that moves it. */
export async function openAdmin(parts: AdminParts, options: AdminOptions): Promise<AdminServer> {
  const { log, telemetry } = parts;
  const routes = createRouteTable();
  addOwnRoutes(routes, parts);
  const { requestTimeoutMs: requestTimeout } = options;
  const server = createServer(
    {
      maxHeaderSize: options.headerBytesMax,
      requestTimeout,
      headersTimeout: requestTimeout,
      connectionsCheckingInterval: Math.min(requestTimeout, checkEveryMs),
    },
    (request, response) => {
      answer(routes, options, log, request, response).catch((failure: unknown) => {
        log.error({ reason: MassaError.from(failure).message }, "admin request could not be answered");
        response.destroy();
      });
    },
  );
  const sockets = new Set<Socket>();
  server.maxConnections = options.connectionsMax;
  server.on("drop", () => telemetry.count("massa_limit_reached_total", { limit: "admin.connections" }));
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  try {
    server.listen({ host: options.host, port: options.port });
    await once(server, "listening");
  } catch (failure) {
    throw refused(`${options.host}:${options.port}`, failure);
  }
  server.on("error", (error) => log.error({ reason: error.message }, "admin port cannot accept a connection"));
  const { port } = server.address() as AddressInfo;
  log.info({ port }, "admin port open");
  return {
    port,
    route: (...route) => routes.add(...route),
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function addOwnRoutes(routes: RouteTable, { metrics, reasons }: AdminParts): void {
  const scrape: AdminHandler = async ({ query }) => {
    const names = query.getAll("name[]");
    const body = names.length === 0 ? await metrics.metrics() : await chosen(metrics, new Set(names));
    return { status: 200, body, contentType: metrics.contentType };
  };
  const live = async () => ({ status: 200, body: { live: true } });
  const ready = async () => {
    const why = reasons();
    return why.length === 0
      ? { status: 200, body: { ready: true } }
      : { status: 503, body: { ready: false, reasons: why } };
  };
  routes.add("GET", "/metrics", scrape, "open");
  for (const path of ["/healthz", "/alive"]) routes.add("GET", path, live, "open");
  for (const path of ["/readyz", "/ready"]) routes.add("GET", path, ready, "open");
}

/** The metrics of these names, without those that nobody knows. */
async function chosen(metrics: Metrics, names: ReadonlySet<string>): Promise<string> {
  const known = metricInfos.filter(({ name }) => names.has(name));
  const texts = await Promise.all(known.map(({ name }) => metrics.getSingleMetricAsString(name)));
  return texts.map((text) => `${text}\n`).join("\n");
}

function refused(where: string, failure: unknown): MassaError {
  const isTaken = failure instanceof Error && "code" in failure && failure.code === "EADDRINUSE";
  const reason = isTaken ? "it is taken" : MassaError.from(failure).message;
  const message = `the admin port cannot listen on ${where}: ${reason}; MASSA_ADMIN_PORT (or METRICS_PORT) chooses another`;
  return new MassaError("unavailable", message, { cause: failure });
}
