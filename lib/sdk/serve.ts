import { Server, ServerCredentials } from "@grpc/grpc-js";
import { realWorld } from "../core/world.ts";
import type { ActionService } from "./action.ts";
import { actionProtocol } from "./action-protocol.ts";
import type { CrdtService } from "./crdt-entity.ts";
import { discoveryProtocol } from "./discovery.ts";
import { crdtProtocol, eventSourcedProtocol, valueProtocol } from "./entity-protocol.ts";
import type { EventSourcedService } from "./event-sourced-entity.ts";
import type { Report } from "./protocol.ts";
import type { ValueService } from "./value-entity.ts";

export interface ServeOptions {
  readonly services: readonly (ActionService | CrdtService | EventSourcedService | ValueService)[];
  /** 8080 by default; 0 takes a free one. */
  readonly port?: number;
  /** 127.0.0.1 by default: the proxy is a sidecar. */
  readonly host?: string;
  /** A Unix socket instead of host and port. */
  readonly socket?: string;
  /** Free text for the proxy's logs. */
  readonly name?: string;
  readonly version?: string;
  /** The longest message that is taken, 12 MiB by default. */
  readonly messageBytesMax?: number;
  /** Hears of errors that no handler answers for, and of the proxy's complaints; by default they go to stderr. */
  readonly onError?: Report;
}

/** A user function that listens. */
export interface RunningFunction extends AsyncDisposable {
  /** The port that was taken, 0 on a Unix socket. */
  readonly port: number;
  /** Takes no new streams and waits for those that are open, `graceMs` (10 s) at most. */
  stop(graceMs?: number): Promise<void>;
}

const messageBytesMaxDefault = 12 * 1024 * 1024;

/** Serves `services` to a Cloudstate proxy until it is stopped; rejects when the address cannot be taken. */
export async function serve(options: ServeOptions): Promise<RunningFunction> {
  const { services, host = "127.0.0.1", port = 8080, socket, name = "massa function", version = "" } = options;
  const report = options.onError ?? ((error: unknown) => console.error(error));
  const messageBytesMax = options.messageBytesMax ?? messageBytesMaxDefault;
  const server = new Server({
    "grpc.max_receive_message_length": messageBytesMax,
    "grpc.max_send_message_length": messageBytesMax,
  });
  const protocols = [
    discoveryProtocol(services, { name, version }, (message) => report(new Error(`the proxy reports: ${message}`))),
    actionProtocol(
      services.filter((service) => service.entityType === "cloudstate.action.ActionProtocol"),
      report,
    ),
    crdtProtocol(
      services.filter((service) => service.entityType === "cloudstate.crdt.Crdt"),
      report,
    ),
    eventSourcedProtocol(
      services.filter((service) => service.entityType === "cloudstate.eventsourced.EventSourced"),
      report,
    ),
    valueProtocol(
      services.filter((service) => service.entityType === "cloudstate.valueentity.ValueEntity"),
      report,
    ),
  ];
  for (const { definition, implementation } of protocols) server.addService(definition, implementation);
  const bound = await bind(server, socket === undefined ? `${host}:${port}` : `unix:${socket}`);
  const stop = (graceMs = 10_000) => shutdown(server, graceMs);
  return { port: bound, stop, [Symbol.asyncDispose]: () => stop() };
}

function bind(server: Server, address: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
    if (error) reject(new Error(`cannot listen on ${address}: ${error.message}`, { cause: error }));
    else resolve(address.startsWith("unix:") ? 0 : port);
  });
  return promise;
}

async function shutdown(server: Server, graceMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const cancel = realWorld.clock.after(graceMs, () => server.forceShutdown());
  server.tryShutdown(() => resolve(undefined));
  await promise;
  cancel();
}
