import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { EntityKey, EventStore } from "../store/store.ts";
import type { AnyValue } from "../wire/protocol.ts";

/** Saves snapshots that nobody waits for: one that fails is counted, and the next start replays more. */
export interface Snapshots {
  save(key: EntityKey, sequence: number, payload: AnyValue): void;
  /** Resolves when all are saved or have failed. */
  settled(): Promise<void>;
}

export interface SnapshotsParts {
  readonly events: Pick<EventStore, "saveSnapshot">;
  readonly log: Logger;
  readonly telemetry: Telemetry;
}

interface Saving {
  /** Came while an earlier one is being saved; only the newest is kept. */
  next: { readonly sequence: number; readonly payload: AnyValue } | undefined;
}

/** Of each entity at most one snapshot is being saved, and one waits. */
export function createSnapshots({ events, log, telemetry }: SnapshotsParts): Snapshots {
  const savings = new Map<string, Saving>();
  const waiting: (() => void)[] = [];

  async function saveAll(key: EntityKey, name: string, saving: Saving): Promise<void> {
    for (let next = saving.next; next; next = saving.next) {
      saving.next = undefined;
      try {
        await events.saveSnapshot(key, next.sequence, next.payload);
        telemetry.count("massa_entities_snapshots_total", { outcome: "saved" });
      } catch (failure) {
        const { persistenceId } = key;
        const reason = MassaError.from(failure).message;
        log.warn({ persistenceId, sequence: next.sequence, reason }, "a snapshot could not be saved");
        telemetry.count("massa_entities_snapshots_total", { outcome: "failed" });
      }
    }
    savings.delete(name);
    if (savings.size === 0) for (const resolve of waiting.splice(0)) resolve();
  }

  return {
    save({ persistenceId, entityId }, sequence, payload) {
      const name = `${persistenceId.length}:${persistenceId}${entityId}`;
      const under = savings.get(name);
      if (under) {
        under.next = { sequence, payload };
        return;
      }
      const saving: Saving = { next: { sequence, payload } };
      savings.set(name, saving);
      saveAll({ persistenceId, entityId }, name, saving).catch(unexpected);
    },
    async settled() {
      if (savings.size === 0) return;
      const { promise, resolve } = Promise.withResolvers<undefined>();
      waiting.push(() => resolve(undefined));
      await promise;
    },
  };

  function unexpected(failure: unknown): void {
    log.error({ reason: MassaError.from(failure).message }, "saving snapshots broke down");
  }
}
