/** How replication behaves; names in the doc comments are those of the settings. */
export interface ReplicationOptions {
  readonly cluster: string;
  /** The place this process runs at, the same after a restart (`node.name`). */
  readonly nodeName: string;
  /** Processes expected in all (`mesh.expect`); undefined: the configured addresses of others, plus one. */
  readonly expect: number | undefined;
  /** The same for single persistence ids (`mesh.expectByGroup`). */
  readonly expectByGroup: Readonly<Record<string, number>>;
  /** `mesh.heartbeat` */
  readonly heartbeatMs: number;
  /** `mesh.silentAfter` */
  readonly silentAfterMs: number;
  /** `mesh.forgetAfter` */
  readonly forgetAfterMs: number;
  /** How long a new process waits for a peer's state (`mesh.joinTimeout`). */
  readonly joinTimeoutMs: number;
  /** How long a leaving one waits for others to have its state (`mesh.leaveTimeout`). */
  readonly leaveTimeoutMs: number;
  /** How batches travel (`replication.spread`). */
  readonly spread: "auto" | "gossip" | "direct";
  /** Peers above which `auto` gossips (`replication.directPeers`). */
  readonly directPeersMax: number;
  /** Longest message of a link (`limits.message`): a change that comes near it is refused. */
  readonly messageBytesMax: number;
  /** Longest gossip message (`mesh.gossipBytes`): longer batches go over links. */
  readonly gossipBytesMax: number;
  /** How long changes are gathered after one has left (`replication.flush`). */
  readonly flushMs: number;
  /** Bytes of recent batches held per group (`replication.ring`). */
  readonly ringBytes: number;
  /** Bytes of batches ahead of a gap per group (`replication.waiting`). */
  readonly waitingBytes: number;
  /** Drops of unseen dots per group (`replication.keptDrops`). */
  readonly keptMax: number;
  /** Encoded bytes of a batch and of a slice (`replication.frame`). */
  readonly frameBytes: number;
  /** Bytes of batches that answer one question (`replication.fetch`). */
  readonly fetchBytes: number;
  /** Bytes of a reading on its way in (`replication.gather`). */
  readonly gatherBytes: number;
  /** Readings on their way out per group (`replication.readings`). */
  readonly readingsMax: number;
  /** How long a question waits for the next piece of its answer (`replication.askTimeout`). */
  readonly askTimeoutMs: number;
  /** How long what waits behind a gap is kept for a replica that is out (`replication.abandonAfter`). */
  readonly abandonAfterMs: number;
  /** How long a change waits for MAJORITY or ALL (`crdt.writeTimeout`). */
  readonly writeTimeoutMs: number;
  /** Own amounts of one path that are left as they are (`crdt.counterDots`). */
  readonly counterDots: number;
  /** `crdt.foldEvery` */
  readonly foldEveryMs: number;
  /** Own amounts of one path that are folded at once (`crdt.foldAtOnce`). */
  readonly foldAtOnce: number;
  /** Changes that may wait for their confirmation per group (`crdt.waits`); beyond, the next one fails at once. */
  readonly waitsMax: number;
}

export const defaultReplicationOptions: Omit<ReplicationOptions, "cluster" | "nodeName"> = {
  expect: undefined,
  expectByGroup: {},
  heartbeatMs: 500,
  silentAfterMs: 3_000,
  forgetAfterMs: 600_000,
  joinTimeoutMs: 10_000,
  leaveTimeoutMs: 10_000,
  spread: "auto",
  directPeersMax: 16,
  messageBytesMax: 12 * 1024 * 1024,
  gossipBytesMax: 1024 * 1024,
  flushMs: 5,
  ringBytes: 16 * 1024 * 1024,
  waitingBytes: 8 * 1024 * 1024,
  keptMax: 100_000,
  frameBytes: 60_000,
  fetchBytes: 1024 * 1024,
  gatherBytes: 512 * 1024 * 1024,
  readingsMax: 4,
  askTimeoutMs: 2_000,
  abandonAfterMs: 30_000,
  writeTimeoutMs: 5_000,
  counterDots: 8,
  foldEveryMs: 10_000,
  foldAtOnce: 1_024,
  waitsMax: 10_000,
};

/** Slices of a reading sent ahead of those that have arrived. */
export const windowSlices = 16;
/** How long a reading is held for an asker that says nothing. */
export const readingSilentMs = 10_000;
/** Paths with new amounts that wait for the next fold, per group. */
export const foldPathsMax = 10_000;
/** What a message may hold beside one change: a clock, kept drops, names. */
export const headBytesMax = 1024 * 1024;
