import { create } from "@bufbuild/protobuf";
import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { World } from "../core/world.ts";
import { type EntitySpec, type ProxyInfo, ProxyInfoSchema } from "../wire/gen/cloudstate/entity_pb.ts";
import { buildServiceTable, isCompatible, type Support, type TableOrRefusal, versionIn } from "./build-table.ts";
import type { ServiceTable } from "./service-table.ts";

/** The two calls of discovery, to one user function. */
export interface DiscoveryClient {
  /** Rejects when the function cannot be reached or its answer is no EntitySpec. */
  discover(proxy: ProxyInfo, signal: AbortSignal): Promise<EntitySpec>;
  /** Best effort: what comes of it is only logged. */
  reportError(message: string): Promise<void>;
}

export interface DiscoveryParts {
  readonly client: DiscoveryClient;
  readonly world: World;
  readonly log: Logger;
}

export interface DiscoveryOptions extends Support {
  /** Where the function is asked, for the log. */
  readonly address: string;
  readonly proxyName: string;
  readonly proxyVersion: string;
  /** Waits between attempts: the first, the longest; each doubles, plus up to `jitter` of itself. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  readonly jitter: number;
}

/** How asking ended: with a table, or with a "no" that holds until the function is another one. */
export type Discovered =
  { readonly type: "table"; readonly table: ServiceTable } | { readonly type: "rejected"; readonly message: string };

/** The handshake with the user function. */
export interface Discovery {
  /** Why there is no table to serve by, for `/readyz`; undefined when there is one. */
  readonly reason: string | undefined;
  /**
   * Asks the function what it serves, again and again with backoff while it cannot be reached; one that answers is asked once.
   * A rejection is reported to it and ends the asking. Rejects only with the signal's reason. A call takes over from an earlier one, which must have been aborted.
   */
  ask(signal: AbortSignal): Promise<Discovered>;
}

/** Discovery as the Cloudstate protocol wants it. */
export function createDiscovery({ client, world, log }: DiscoveryParts, options: DiscoveryOptions): Discovery {
  const { address } = options;
  let reason: string | undefined = "the user function was not asked yet";

  async function ask(signal: AbortSignal): Promise<Discovered> {
    reason = `the user function at ${address} has not answered yet`;
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await askOnce(signal);
      signal.throwIfAborted();
      switch (outcome.type) {
        case "table":
          reason = undefined;
          log.info({ address, services: [...outcome.table.services.keys()] }, "user function discovered");
          return outcome;
        case "rejected":
          reason = `the user function at ${address} was rejected: ${outcome.message}`;
          log.error({ address, reason: outcome.message }, "user function rejected");
          await report(outcome.message);
          return { type: "rejected", message: outcome.message };
        case "crash": {
          const delayMs = backoff(attempt);
          reason = `the user function at ${address} is not discovered after attempt ${attempt}: ${outcome.message}`;
          log.warn({ address, attempt, error: outcome.message, delayMs }, "user function not discovered yet");
          await world.clock.sleep(delayMs, signal);
        }
      }
    }
  }

  async function askOnce(signal: AbortSignal): Promise<TableOrRefusal> {
    try {
      const spec = await client.discover(greeting(options), signal);
      const outcome = buildServiceTable(spec, options);
      if (!isCompatible(spec)) {
        const version = versionIn(spec);
        if (outcome.type === "table") log.warn({ address, version }, "user function speaks another protocol version");
        else
          log.info(
            { address, version },
            "protocol.compatibilityCheck: false takes functions of other versions as well",
          );
      }
      return outcome;
    } catch (failure) {
      return { type: "crash", message: MassaError.from(failure).message };
    }
  }

  async function report(message: string): Promise<void> {
    try {
      await client.reportError(message);
    } catch (failure) {
      log.warn({ address, error: MassaError.from(failure).message }, "rejection could not be reported");
    }
  }

  function backoff(attempt: number): number {
    const doubled = Math.min(options.backoffMaxMs, options.backoffMinMs * 2 ** Math.min(attempt - 1, 30));
    return Math.round(doubled * (1 + (options.jitter * world.random.int(1001)) / 1000));
  }

  return {
    get reason() {
      return reason;
    },
    ask,
  };
}

/** What the proxy says of itself to the function that it asks. */
function greeting(proxy: Pick<DiscoveryOptions, "proxyName" | "proxyVersion" | "supportedTypes">): ProxyInfo {
  return create(ProxyInfoSchema, {
    protocolMajorVersion: 0,
    protocolMinorVersion: 2,
    proxyName: proxy.proxyName,
    proxyVersion: proxy.proxyVersion,
    supportedEntityTypes: [...proxy.supportedTypes],
  });
}
