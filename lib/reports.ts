import type { Logger } from "./core/log.ts";
import { MassaError } from "./core/errors.ts";
import type { Telemetry } from "./core/telemetry.ts";
import type { DiscoveryClient } from "./discovery/discovery.ts";
import type { UserFunction } from "./user-function/user-function.ts";

/** Reports under way; more are left out and counted, so that a function in trouble is not buried under them (`reports`). */
const underWayMax = 100;

export interface ReporterParts {
  readonly client: Pick<DiscoveryClient, "reportError">;
  readonly userFunction: Pick<UserFunction, "isThere">;
  readonly log: Logger;
  readonly telemetry: Telemetry;
}

/** Tells the user function of its mistakes, best effort: the process that made them, and not the next one. */
export function createReporter({ client, userFunction, log, telemetry }: ReporterParts): (message: string) => void {
  let underWay = 0;
  return (message) => {
    if (!userFunction.isThere) return;
    if (underWay >= underWayMax) {
      telemetry.count("massa_limit_reached_total", { limit: "reports" });
      return;
    }
    underWay += 1;
    client
      .reportError(message)
      .catch((failure: unknown) => log.debug({ error: MassaError.from(failure).message }, "report not delivered"))
      .finally(() => {
        underWay -= 1;
      });
  };
}
