import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** Every metric of the proxy, by the name it is published under; units stand in the names. */
const counters = {
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

/** What a metric is, for those who list all. */
export interface MetricInfo {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
  readonly help: string;
}

/** Every metric, by name. */
export const metricInfos: readonly MetricInfo[] = [
  ...infosOf("counter", counters),
  ...infosOf("gauge", gauges),
  ...infosOf("histogram", histograms),
].sort((left, right) => (left.name < right.name ? -1 : 1));

export type CounterName = keyof typeof counters;
export type GaugeName = keyof typeof gauges;
export type HistogramName = keyof typeof histograms;
type Labels = Readonly<Record<string, string>>;

/** What rooms count with. Gauges are read at scrape time from a function, the last one given for its labels. */
export interface Telemetry {
  count(name: CounterName, labels?: Labels, by?: number): void;
  gauge(name: GaugeName, read: () => number, labels?: Labels): void;
  observe(name: HistogramName, seconds: number, labels?: Labels): void;
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
  const byName = new Map<string, Counter | Histogram>();
  /** By name, then by labels: who registers again takes the place of the one before, which is gone by then. */
  const readers = new Map<string, Map<string, { readonly read: () => number; readonly labels: Labels }>>();
  for (const [name, [help, labelNames]] of Object.entries(counters)) {
    byName.set(name, new Counter({ name, help, labelNames: [...labelNames], registers }));
  }
  for (const [name, [help, labelNames, buckets]] of Object.entries(histograms)) {
    byName.set(name, new Histogram({ name, help, labelNames: [...labelNames], buckets: [...buckets], registers }));
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
      observe: (name, seconds, labels = {}) => (byName.get(name) as Histogram).observe(labels, seconds),
    },
  };
}
