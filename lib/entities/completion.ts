import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, Clock } from "../core/world.ts";
import type { Service } from "../discovery/service-table.ts";

export interface CompletionOptions {
  /** How long a function may take to complete a stream that was half-closed (`relay.timeout`). */
  readonly closeMs: number;
  /** And how long when somebody waits for that (`entities.completeTimeout`). */
  readonly hurryMs: number;
}

/**
 * How long entities wait until the function has completed a stream that they half-closed. Nothing is out on it any more, so that
 * one that is reset instead loses nothing; some SDKs never complete one (Cloudstate's for Node, with CRDT entities).
 */
export interface Completion {
  /** Calls `overdue` unless it is cancelled first; at once if somebody waits, and the last stream of the service was not completed. */
  await(service: Service, isWanted: boolean, overdue: () => void): Cancel;
  /** The function has completed one. */
  completed(service: Service): void;
}

const limit = "entities.completeTimeout";

export function createCompletion(
  { clock, log, telemetry }: { readonly clock: Clock; readonly log: Logger; readonly telemetry: Telemetry },
  { closeMs, hurryMs }: CompletionOptions,
): Completion {
  /** Services whose last half-closed stream was not completed. */
  const neglected = new WeakSet<Service>();
  return {
    await(service, isWanted, overdue) {
      const limitMs = isWanted ? hurryMs : closeMs;
      return clock.after(isWanted && neglected.has(service) ? 0 : limitMs, () => {
        telemetry.count("massa_limit_reached_total", { limit });
        const level = neglected.has(service) ? "debug" : "warn";
        neglected.add(service);
        log[level]({ service: service.name }, "the function did not complete a half-closed stream, which was reset");
        overdue();
      });
    },
    completed: (service) => void neglected.delete(service),
  };
}
