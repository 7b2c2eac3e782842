import { connect, type Socket } from "node:net";
import { MassaError } from "../core/errors.ts";
import type { World } from "../core/world.ts";
import type { ClientSession, Http2Engine, SessionLimits } from "../wire/http2.ts";

/** Where the user function listens: a Unix socket if there is one, else host and port. */
export interface FunctionAddress {
  readonly host: string;
  readonly port: number;
  readonly socket?: string | undefined;
}

/** One session from its first packet on. `ready` or `failed` comes once; `changed`, then `closed`, only after `ready`. */
export interface SessionEvents {
  ready(session: ClientSession): void;
  failed(error: MassaError): void;
  /** A stream closed, the peer's settings changed, or it takes no new streams. */
  changed(session: ClientSession): void;
  closed(session: ClientSession, error: Error | undefined): void;
}

export interface ConnectorOptions {
  readonly address: FunctionAddress;
  readonly connectTimeoutMs: number;
  readonly limits: SessionLimits;
}

/** The address as it stands in messages and logs. */
export function spelled(address: FunctionAddress): string {
  return address.socket ?? `${address.host}:${address.port}`;
}

/** Opens one session; a peer that accepts and sends no HTTP/2 settings in time has failed. Returns how to give up. */
export function connectSession(
  engine: Http2Engine,
  world: World,
  options: ConnectorOptions,
  events: SessionEvents,
): () => void {
  const { address, connectTimeoutMs, limits } = options;
  const where = spelled(address);
  const socket = openSocket(address);
  let session: ClientSession | undefined;
  let state: "connecting" | "ready" | "failed" = "connecting";
  let connected = false;

  const fail = (message: string, cause?: unknown) => {
    if (state !== "connecting") return;
    state = "failed";
    cancelTimer();
    session?.destroy();
    socket.destroy();
    events.failed(new MassaError("unavailable", message, { cause }));
  };
  const cancelTimer = world.clock.after(connectTimeoutMs, () =>
    fail(
      connected
        ? `${where} accepted the connection but sent no HTTP/2 settings within ${connectTimeoutMs} ms: does a gRPC server listen there?`
        : `${where} did not accept the connection within ${connectTimeoutMs} ms`,
    ),
  );
  socket.once("error", (error) => fail(`cannot connect to ${where}: ${error.message}`, error));
  socket.once("connect", () => {
    if (state !== "connecting") return;
    connected = true;
    session = engine.connect(socket, limits, {
      settings() {
        if (state === "connecting") {
          state = "ready";
          cancelTimer();
          events.ready(session!);
        } else if (state === "ready") events.changed(session!);
      },
      freed: () => events.changed(session!),
      goaway: () => {
        if (state === "ready") events.changed(session!);
      },
      closed(error) {
        fail(
          `${where} closed the connection before it sent HTTP/2 settings${error ? `: ${error.message}` : ""}`,
          error,
        );
        if (state === "ready") events.closed(session!, error);
      },
    });
  });
  return () => fail("given up");
}

function openSocket(address: FunctionAddress): Socket {
  const common = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };
  if (address.socket !== undefined) return connect({ ...common, path: address.socket });
  return connect({ ...common, host: address.host, port: address.port });
}
