import type { CounterName, DistributionName, Telemetry } from "../core/telemetry.ts";
import type { AnyValue } from "../wire/protocol.ts";

/** What the instances of one kind that carry out one command at a time do, in numbers. */
export interface InstanceMeter {
  /** A stream is to be opened, anew after a restart as well. */
  started(): void;
  /** All that is stored was replayed. */
  recovered(tookMs: number): void;
  /** The stream is over, however it ended. */
  stopped(activeMs: number): void;
  /** Torn down because something went wrong. */
  failed(): void;
  received(): void;
  /** A command has to wait for the one before it. */
  queued(): void;
  unqueued(waitedMs: number): void;
  /** The function has replied to a command, `tookMs` after it was sent. */
  replied(tookMs: number): void;
  stored(tookMs: number): void;
  /** A command is answered, `tookMs` after it was received. */
  completed(tookMs: number, hasFailed: boolean): void;
  /** Another writer had changed what is stored. */
  conflicted(): void;
}

/** And what event-sourced entities read and store. */
export interface EventMeter extends InstanceMeter {
  eventsLoaded(events: readonly AnyValue[]): void;
  snapshotLoaded(snapshot: AnyValue): void;
  eventsStored(events: readonly AnyValue[]): void;
  snapshotStored(snapshot: AnyValue): void;
}

const silent = () => undefined;

export function createInstanceMeter(telemetry: Telemetry, kind: "value" | "event-sourced"): InstanceMeter {
  const labels = { kind };
  return {
    started: silent,
    recovered: silent,
    stopped: silent,
    received: silent,
    queued: silent,
    unqueued: silent,
    completed: silent,
    failed: () => telemetry.count("massa_entities_failed_total", labels),
    replied: (tookMs) => telemetry.observe("massa_entities_reply_seconds", tookMs / 1_000, labels),
    stored: (tookMs) => telemetry.observe("massa_entities_store_seconds", tookMs / 1_000, labels),
    conflicted: () => telemetry.count("massa_entities_conflicts_total", labels),
  };
}

/**
 * The meter of each persistence id. Beside the proxy's own metrics it keeps those of the Cloudstate proxy, under their names and
 * with its label `entity_name`, for whoever comes with dashboards and alerts that know them.
 */
export function createEventMeters(telemetry: Telemetry): (persistenceId: string) => EventMeter {
  const own = createInstanceMeter(telemetry, "event-sourced");
  const meters = new Map<string, EventMeter>();
  return (persistenceId) => {
    let meter = meters.get(persistenceId);
    if (!meter) meters.set(persistenceId, (meter = createEventMeter(telemetry, own, persistenceId)));
    return meter;
  };
}

function createEventMeter(telemetry: Telemetry, own: InstanceMeter, persistenceId: string): EventMeter {
  const labels = { entity_name: persistenceId };
  const count = (name: CounterName, by = 1) => telemetry.count(name, labels, by);
  const observe = (name: DistributionName, ms: number) => telemetry.observe(name, ms / 1_000, labels);
  return {
    started: () => count("cloudstate_eventsourced_activated_entities_total"),
    recovered: (tookMs) => observe("cloudstate_eventsourced_recovery_time_seconds", tookMs),
    stopped(activeMs) {
      count("cloudstate_eventsourced_passivated_entities_total");
      observe("cloudstate_eventsourced_entity_active_time_seconds", activeMs);
    },
    failed() {
      own.failed();
      count("cloudstate_eventsourced_failed_entities_total");
    },
    received: () => count("cloudstate_eventsourced_received_commands_total"),
    queued: () => count("cloudstate_eventsourced_stashed_commands_total"),
    unqueued(waitedMs) {
      count("cloudstate_eventsourced_unstashed_commands_total");
      observe("cloudstate_eventsourced_command_stash_time_seconds", waitedMs);
    },
    replied(tookMs) {
      own.replied(tookMs);
      observe("cloudstate_eventsourced_command_processing_time_seconds", tookMs);
    },
    stored(tookMs) {
      own.stored(tookMs);
      observe("cloudstate_eventsourced_persist_time_seconds", tookMs);
    },
    completed(tookMs, hasFailed) {
      if (hasFailed) count("cloudstate_eventsourced_failed_commands_total");
      count("cloudstate_eventsourced_completed_commands_total");
      observe("cloudstate_eventsourced_command_total_time_seconds", tookMs);
    },
    conflicted: () => own.conflicted(),
    eventsLoaded(events) {
      telemetry.count("massa_entities_events_loaded_total", {}, events.length);
      count("cloudstate_eventsourced_loaded_events_total", events.length);
      count("cloudstate_eventsourced_loaded_event_bytes_total", bytesOf(events));
    },
    snapshotLoaded(snapshot) {
      count("cloudstate_eventsourced_loaded_snapshots_total");
      count("cloudstate_eventsourced_loaded_snapshot_bytes_total", bytesOf([snapshot]));
    },
    eventsStored(events) {
      telemetry.count("massa_entities_events_stored_total", {}, events.length);
      count("cloudstate_eventsourced_persisted_events_total", events.length);
      count("cloudstate_eventsourced_persisted_event_bytes_total", bytesOf(events));
    },
    snapshotStored(snapshot) {
      count("cloudstate_eventsourced_persisted_snapshots_total");
      count("cloudstate_eventsourced_persisted_snapshot_bytes_total", bytesOf([snapshot]));
    },
  };
}

/** What they take as serialized `google.protobuf.Any`. */
function bytesOf(anys: readonly AnyValue[]): number {
  let bytes = 0;
  for (const { typeUrl, value } of anys) bytes += fieldBytes(Buffer.byteLength(typeUrl)) + fieldBytes(value.byteLength);
  return bytes;
}

/** A field of this length with its tag and the varint of its length; none when it is empty. */
function fieldBytes(length: number): number {
  if (length === 0) return 0;
  let bytes = 2 + length;
  for (let rest = length; rest >= 128; rest = Math.floor(rest / 128)) bytes += 1;
  return bytes;
}
