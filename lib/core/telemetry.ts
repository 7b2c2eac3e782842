import { Counter, Gauge, Histogram, Registry, Summary } from "prom-client";

/** Those of the Cloudstate proxy have the persistence id as their only label, and the buckets that Java's client has by default. */
const byEntity = ["entity_name"] as const;
const javaBuckets = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] as const;

/** Every metric of the proxy, by the name it is published under; units stand in the names. */
const counters = {
  cloudstate_eventsourced_activated_entities_total: ["Event-sourced entities started", byEntity],
  cloudstate_eventsourced_completed_commands_total: ["Commands answered", byEntity],
  cloudstate_eventsourced_failed_commands_total: ["Commands answered with a failure", byEntity],
  cloudstate_eventsourced_failed_entities_total: [
    "Event-sourced entities torn down because something went wrong",
    byEntity,
  ],
  cloudstate_eventsourced_loaded_event_bytes_total: [
    "Events read from the store for a replay, as serialized Any",
    byEntity,
  ],
  cloudstate_eventsourced_loaded_events_total: ["Events read from the store for a replay", byEntity],
  cloudstate_eventsourced_loaded_snapshot_bytes_total: ["Snapshots read from the store, as serialized Any", byEntity],
  cloudstate_eventsourced_loaded_snapshots_total: ["Snapshots read from the store", byEntity],
  cloudstate_eventsourced_passivated_entities_total: ["Event-sourced entities stopped, for whatever reason", byEntity],
  cloudstate_eventsourced_persisted_event_bytes_total: ["Events stored, as serialized Any", byEntity],
  cloudstate_eventsourced_persisted_events_total: ["Events stored", byEntity],
  cloudstate_eventsourced_persisted_snapshot_bytes_total: [
    "Snapshots handed to the store, as serialized Any",
    byEntity,
  ],
  cloudstate_eventsourced_persisted_snapshots_total: ["Snapshots handed to the store", byEntity],
  cloudstate_eventsourced_received_commands_total: ["Commands received", byEntity],
  cloudstate_eventsourced_stashed_commands_total: ["Commands that had to wait for the one before them", byEntity],
  cloudstate_eventsourced_unstashed_commands_total: ["Commands that had waited and were sent", byEntity],
  massa_commands_failed_total: ["Commands that ended with a failure, by code", ["code"]],
  massa_commands_total: ["Commands opened, by service and method", ["service", "method"]],
  massa_entities_activated_total: ["Entities started, restarts included, by kind", ["kind"]],
  massa_entities_cache_hits_total: ["Entities started from state that was still in memory, by kind", ["kind"]],
  massa_entities_cache_misses_total: ["Entities whose state was read from the store, by kind", ["kind"]],
  massa_entities_conflicts_total: ["Changes refused because another writer had changed the entity, by kind", ["kind"]],
  massa_entities_events_loaded_total: ["Events read from the store for a replay", []],
  massa_entities_events_stored_total: ["Events appended for event-sourced entities", []],
  massa_entities_failed_total: ["Entities torn down because something went wrong, by kind", ["kind"]],
  massa_entities_passivated_total: ["Entities passivated when idle or to make room, by kind", ["kind"]],
  massa_entities_snapshots_total: ["Snapshots of event-sourced entities, by what became of them", ["outcome"]],
  massa_eventing_dead_letters_lost_total: ["Dead letters given up for newer ones", ["topic", "group"]],
  massa_eventing_messages_total: ["Messages settled, by what became of them", ["topic", "group", "outcome"]],
  massa_eventing_retries_total: ["Attempts at a message that are to be repeated", ["topic", "group"]],
  massa_eventing_stalled_total: ["Feeds made anew because they no longer moved", ["topic", "group"]],
  massa_eventing_unconsumed_lost_total: [
    "Messages given up for newer ones in topics that no group consumes",
    ["topic"],
  ],
  massa_front_refused_total: ["Connections closed because of what the peer sent, by reason", ["reason"]],
  massa_limit_reached_total: ["How often a named limit was reached (docs/limits.md), by limit", ["limit"]],
  massa_mesh_links_lost_total: ["Links to other nodes that were lost", []],
  massa_mesh_refused_total: ["Nodes that were not admitted to the mesh, or did not admit this one", []],
  massa_replication_abandoned_total: ["Batches given up behind a gap that nobody can fill", []],
  massa_replication_batches_total: ["Batches received, by what became of them", ["outcome"]],
  massa_replication_folds_total: ["Entities in which sent amounts of this process were folded", []],
  massa_replication_malformed_total: ["Messages of other nodes that could not be read", []],
  massa_replication_repairs_total: ["Questions to peers for what was lacking, by outcome", ["outcome"]],
  massa_replication_unconfirmed_total: ["Changes not confirmed by MAJORITY or ALL in time", []],
  massa_store_writes_total: ["Writes of the store: written, refused as a conflict, or failed", ["outcome"]],
} as const satisfies Record<string, readonly [help: string, labels: readonly string[]]>;

const gauges = {
  massa_entities_active: ["Entities with a stream to the user function, by kind", ["kind"]],
  massa_entities_commands: ["Commands of entities that wait or are out, by kind", ["kind"]],
  massa_entities_cache_bytes: ["State kept in memory for the next start of its entity, by estimate", []],
  massa_entities_cache_entries: ["Entities whose state is kept in memory for their next start", []],
  massa_front_connections: ["Connections open on the front port and socket", []],
  massa_function_sessions: ["HTTP/2 sessions open to the user function", []],
  massa_function_streams: ["gRPC streams to the user function, those that wait included", []],
  massa_function_waiting: ["gRPC streams that wait for a session to the user function", []],
  massa_mesh_peers: ["Nodes with a link", []],
  massa_replication_clock_entries: ["Process starts in the clock of a group", ["group"]],
  massa_replication_entities: ["CRDT entities held, by group", ["group"]],
  massa_replication_kept_drops: ["Drops of what was not seen yet, by group", ["group"]],
  massa_replication_members: ["Members whose voice counts", []],
  massa_replication_ring_bytes: ["Recent batches held for those who lack them, by group", ["group"]],
  massa_replication_waiting_bytes: ["Batches that wait ahead of a gap, by group", ["group"]],
  massa_replication_waits: ["Changes that wait for MAJORITY or ALL, by group", ["group"]],
  massa_store_bytes: ["What the store takes: of memory, or on the disk", []],
  massa_store_waiting: ["Requests that the embedded store has not answered yet", []],
} as const satisfies Record<string, readonly [help: string, labels: readonly string[]]>;

const histograms = {
  cloudstate_eventsourced_command_processing_time_seconds: [
    "A command, from sending it to the function's reply",
    byEntity,
    javaBuckets,
  ],
  cloudstate_eventsourced_command_stash_time_seconds: [
    "A command, from its arrival until it was sent, if it had to wait",
    byEntity,
    javaBuckets,
  ],
  cloudstate_eventsourced_command_total_time_seconds: [
    "A command, from its arrival to its answer",
    byEntity,
    javaBuckets,
  ],
  cloudstate_eventsourced_persist_time_seconds: ["Storing the events of one reply", byEntity, javaBuckets],
  cloudstate_eventsourced_recovery_time_seconds: [
    "From the start of an entity until all is replayed",
    byEntity,
    javaBuckets,
  ],
  massa_entities_recovery_seconds: [
    "Reading an event-sourced entity from the store and replaying it to the function",
    [],
    [0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1, 5],
  ],
  massa_entities_reply_seconds: [
    "One command to a value or event-sourced entity, from sending it to the function's reply, by kind",
    ["kind"],
    [0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 0.5, 2, 10],
  ],
  massa_entities_store_seconds: [
    "Storing what one reply changed, by kind",
    ["kind"],
    [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 1],
  ],
  massa_publish_seconds: [
    "Publishing one message until the broker confirmed it",
    [],
    [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
  ],
  massa_store_commit_seconds: [
    "One commit of the embedded store, until it was on the disk",
    [],
    [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 1],
  ],
  massa_store_commit_writes: ["Writes gathered in one commit of the embedded store", [], [1, 2, 4, 8, 16, 64, 256]],
} as const satisfies Record<string, readonly [help: string, labels: readonly string[], buckets: readonly number[]]>;

/** Over the last minute. */
const summaries = {
  cloudstate_eventsourced_entity_active_time_seconds: ["Life of an instance", byEntity, [0.5, 0.95, 0.99, 1]],
} as const satisfies Record<string, readonly [help: string, labels: readonly string[], quantiles: readonly number[]]>;

/** What a metric is, for those who list all. */
export interface MetricInfo {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram" | "summary";
  readonly labels: readonly string[];
  readonly help: string;
}

/** Every metric, by name. */
export const metricInfos: readonly MetricInfo[] = [
  ...infosOf("counter", counters),
  ...infosOf("gauge", gauges),
  ...infosOf("histogram", histograms),
  ...infosOf("summary", summaries),
].sort((left, right) => (left.name < right.name ? -1 : 1));

export type CounterName = keyof typeof counters;
export type GaugeName = keyof typeof gauges;
/** Histograms and summaries: what is observed one by one. */
export type DistributionName = keyof typeof histograms | keyof typeof summaries;
type Labels = Readonly<Record<string, string>>;

/** What rooms count with. Gauges are read at scrape time from a function, the last one given for its labels. */
export interface Telemetry {
  count(name: CounterName, labels?: Labels, by?: number): void;
  gauge(name: GaugeName, read: () => number, labels?: Labels): void;
  observe(name: DistributionName, seconds: number, labels?: Labels): void;
}

/** Counts nothing; for tests and for parts used alone. */
export const silentTelemetry: Telemetry = { count: () => undefined, gauge: () => undefined, observe: () => undefined };

function infosOf(
  type: MetricInfo["type"],
  metrics: Readonly<Record<string, readonly [help: string, labels: readonly string[], ...unknown[]]>>,
): MetricInfo[] {
  return Object.entries(metrics).map(([name, [help, labels]]) => ({ name, type, labels, help }));
}

/** The Prometheus side: the same registry serves `/metrics`. */
export function createTelemetry(): { readonly telemetry: Telemetry; readonly registry: Registry } {
  const registry = new Registry();
  const registers = [registry];
  const byName = new Map<string, Counter | Histogram | Summary>();
  /** By name, then by labels: who registers again takes the place of the one before, which is gone by then. */
  const readers = new Map<string, Map<string, { readonly read: () => number; readonly labels: Labels }>>();
  for (const [name, [help, labelNames]] of Object.entries(counters)) {
    byName.set(name, new Counter({ name, help, labelNames: [...labelNames], registers }));
  }
  for (const [name, [help, labelNames, buckets]] of Object.entries(histograms)) {
    byName.set(name, new Histogram({ name, help, labelNames: [...labelNames], buckets: [...buckets], registers }));
  }
  for (const [name, [help, labelNames, quantiles]] of Object.entries(summaries)) {
    const percentiles = [...quantiles];
    const summary = {
      name,
      help,
      labelNames: [...labelNames],
      percentiles,
      maxAgeSeconds: 60,
      ageBuckets: 6,
      registers,
    };
    byName.set(name, new Summary(summary));
  }
  for (const [name, [help, labelNames]] of Object.entries(gauges)) {
    readers.set(name, new Map());
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers,
      collect: () => readers.get(name)!.forEach(({ read, labels }) => gauge.set(labels, read())),
    });
  }
  return {
    registry,
    telemetry: {
      count: (name, labels = {}, by = 1) => (byName.get(name) as Counter).inc(labels, by),
      gauge: (name, read, labels = {}) => void readers.get(name)!.set(JSON.stringify(labels), { read, labels }),
      observe: (name, seconds, labels = {}) => (byName.get(name) as Histogram | Summary).observe(labels, seconds),
    },
  };
}
