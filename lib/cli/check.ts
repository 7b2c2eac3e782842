import { MassaError } from "../core/errors.ts";
import type { Config } from "../core/config.ts";
import { silentLogger } from "../core/log.ts";
import { silentTelemetry } from "../core/telemetry.ts";
import { realWorld } from "../core/world.ts";
import { createDiscoveryClient } from "../discovery/client.ts";
import { createDiscovery } from "../discovery/discovery.ts";
import type { Eventing, Service } from "../discovery/service-table.ts";
import { discoveryOptions, discoveryTimeoutMs, userFunctionOptions } from "../settings.ts";
import { openUserFunction } from "../user-function/grpc.ts";
import { nodeHttp2 } from "../wire/http2-node.ts";

/** Until the link has told why it could not reach the function. */
const graceMs = 500;

/**
 * Asks the user function what it serves, for as long as `userFunction.wait`, and judges the answer as a start would.
 * The lines say what would be served. Throws `unavailable` when the function cannot be asked, `failed` when it is rejected.
 */
export async function check(config: Config): Promise<readonly string[]> {
  const link = { engine: nodeHttp2, world: realWorld, log: silentLogger, telemetry: silentTelemetry };
  await using userFunction = openUserFunction(link, userFunctionOptions(config));
  const { address } = userFunction;
  const client = createDiscoveryClient(userFunction, realWorld.clock, discoveryTimeoutMs);
  const discovery = createDiscovery({ client, world: realWorld, log: silentLogger }, discoveryOptions(config, address));
  const discovered = await discovery
    .ask(AbortSignal.timeout(config.userFunction.wait + graceMs))
    .catch((cause: unknown) => {
      throw new MassaError("unavailable", discovery.reason ?? `the user function at ${address} did not answer`, {
        cause,
      });
    });
  if (discovered.type === "rejected")
    throw new MassaError("failed", `the user function at ${address} is rejected: ${discovered.message}`);
  return [`the user function at ${address} serves`, ...[...discovered.table.services.values()].flatMap(describe)];
}

function describe({ name, entityType, persistenceId, methods }: Service): readonly string[] {
  const kept = persistenceId === "" ? "" : `, kept as ${persistenceId}`;
  const lines = [...methods.values()].map((method) => {
    const input = `${method.streamedIn ? "stream " : ""}${method.inputType}`;
    const output = `${method.streamedOut ? "stream " : ""}${method.outputType}`;
    return `    ${method.name} (${input}) returns (${output})${topics(method.eventing)}`;
  });
  return [`  ${name} (${entityType}${kept})`, ...lines];
}

function topics({ in: source, out }: Eventing = {}): string {
  const from = source && ("topic" in source ? `topic ${source.topic}` : `event log ${source.eventLog}`);
  const into = out && `topic ${out.topic}`;
  return `${source && from ? `, from ${from} as ${source.consumerGroup}` : ""}${into ? `, to ${into}` : ""}`;
}
