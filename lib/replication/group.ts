import type { Applied, Clock, ReplicaId, Seat, Table } from "../../crdt/index.ts";
import type { Cancel } from "../core/world.ts";
import type { Batch } from "./batch.ts";
import { CatchUp } from "./catch-up.ts";
import { Folds } from "./folds.ts";
import type { Message } from "./frames.ts";
import type { GroupClock } from "./heartbeat.ts";
import { compare, shortClock } from "./heartbeat.ts";
import { foldPathsMax, headBytesMax } from "./options.ts";
import type { Consistency, Made, ReplicaGroup, Watcher } from "./port.ts";
import { lacking } from "./reading.ts";
import { Replicator } from "./replicator.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Net } from "./tables.ts";
import { Writes } from "./writes.ts";

/** A frame that belongs to one group. */
export type GroupMessage = Extract<Message, { readonly group: string }>;

/** One replication group on this node: the replicator with its timers and watchers. */
export class Group implements ReplicaGroup {
  readonly name: string;
  readonly replicator: Replicator;
  readonly catchUp: CatchUp;
  readonly #around: Surroundings;
  readonly #folds: Folds;
  readonly #writes: Writes;
  /** Most entities have one watcher; a list is made for the second. */
  readonly #watchers = new Map<string, Watcher | readonly Watcher[]>();
  /** Since when something has waited behind a gap, by origin. */
  readonly #waitingSince = new Map<ReplicaId, number>();
  /** Who has all that is here, by a heartbeat that answers this process's wish to leave. */
  readonly #covered = new Set<ReplicaId>();
  readonly #leveled: (peer: ReplicaId, isReady: boolean) => void;
  #hosts: ReadonlySet<ReplicaId>;
  #cancelFlush: Cancel | undefined;
  #cancelFold: Cancel | undefined;
  #isOver = false;

  /** `leveled` hears whenever a peer has brought all that it had. */
  constructor(name: string, around: Surroundings, leveled: (peer: ReplicaId, isReady: boolean) => void) {
    const { options, rules, replica, telemetry } = around;
    this.name = name;
    this.#around = around;
    this.#leveled = leveled;
    this.#writes = new Writes(name, around);
    const { frameBytes, messageBytesMax } = options;
    const changeBytes = Math.max(messageBytesMax - headBytesMax, messageBytesMax / 2);
    this.replicator = new Replicator(replica, { ...options, batchBytes: frameBytes, changeBytes }, rules);
    this.catchUp = new CatchUp(name, this.replicator, around, {
      flush: () => this.flush(),
      applied: (net) => this.#tell(net),
      level: (peer, isReady, lacked) => this.#level(peer, isReady, lacked),
    });
    this.#folds = new Folds(options.foldAtOnce, foldPathsMax);
    this.#hosts = this.#hostsNow();
    telemetry.gauge("massa_replication_entities", () => this.replicator.tables.size, { group: name });
    telemetry.gauge("massa_replication_clock_entries", () => this.replicator.clock.size, { group: name });
    telemetry.gauge("massa_replication_ring_bytes", () => this.replicator.ring.bytes, { group: name });
    telemetry.gauge("massa_replication_waiting_bytes", () => this.replicator.waiting.bytes, { group: name });
    telemetry.gauge("massa_replication_kept_drops", () => this.replicator.keptCount, { group: name });
    telemetry.gauge("massa_replication_waits", () => this.#writes.waiting, { group: name });
  }

  // What entities call.

  get replica(): ReplicaId {
    return this.#around.replica;
  }

  seat(): Seat {
    return { self: this.replica, members: this.#hosts };
  }

  table(entity: string): Table {
    return this.replicator.tables.look(entity);
  }

  read(entity: string): Promise<Table> {
    return Promise.resolve(this.table(entity));
  }

  watch(entity: string, watcher: Watcher): void {
    const others = this.#watchersOf(entity);
    this.#watchers.set(entity, others.length === 0 ? watcher : [...others, watcher]);
    this.replicator.tables.hold(entity);
  }

  unwatch(entity: string, watcher: Watcher): void {
    const watchers = this.#watchersOf(entity);
    const place = watchers.indexOf(watcher);
    if (place < 0) return;
    const others = watchers.toSpliced(place, 1);
    if (others.length === 0) this.#watchers.delete(entity);
    else this.#watchers.set(entity, others.length === 1 ? others[0]! : others);
    this.replicator.tables.release(entity);
  }

  change(entity: string, make: Parameters<ReplicaGroup["change"]>[1], by?: Watcher): Made {
    const made = this.replicator.change(entity, make);
    const { gained, lost } = made.applied;
    if (gained.length + lost.length > 0) {
      for (const watcher of this.#watchersOf(entity)) if (watcher !== by) watcher.changed(made.applied);
    }
    const isTimeToFold = this.#folds.touch(entity, made.applied);
    this.#wake();
    if (isTimeToFold) this.#fold();
    else if (this.#folds.hasAny) this.#foldLater();
    return made;
  }

  confirm(number: number, consistency: Consistency, done: (isConfirmed: boolean) => void): () => void {
    return this.#writes.confirm(number, consistency, done);
  }

  // What the process around it calls.

  /** Sends what is unsent. */
  flush(): void {
    for (const batch of this.replicator.flush()) this.#spread(batch);
  }

  /** A message of a linked peer. */
  receive(from: ReplicaId, message: GroupMessage): void {
    switch (message.type) {
      case "batch":
        return this.#batchFrom(from, message.batch, message.ask);
      case "ack":
        return this.#acknowledged(from, message.number);
      case "ask":
        this.#acknowledged(from, message.clock.get(this.replica) ?? 0);
        return this.catchUp.answer(from, message);
      case "answered":
        return this.catchUp.answered(from, message);
      case "slice":
        return this.catchUp.slice(from, message);
      case "more":
        return this.catchUp.more(from, message);
    }
  }

  /** A batch by whatever way; its origin is who it says, or a member who repairs. */
  receiveBatch(batch: Batch, holder: ReplicaId): void {
    const { rules, telemetry } = this.#around;
    const receipt = this.replicator.receive(batch);
    telemetry.count("massa_replication_batches_total", { outcome: receipt.type });
    if (receipt.type === "applied") {
      this.#acknowledge(batch.origin, receipt.number);
      this.#tell(receipt.net);
      return;
    }
    if (receipt.type === "duplicate") return;
    if (!rules.acknowledgesApplied) this.#acknowledge(batch.origin, batch.to);
    if (receipt.type === "refused") telemetry.count("massa_limit_reached_total", { limit: receipt.limit });
    const needsReading = receipt.type === "refused" && receipt.limit === "replication.keptDrops";
    this.catchUp.gap(holder, batch.origin, batch.to, needsReading);
  }

  /** What a heartbeat says of this group's clock at another member; `isAnswer`: sent after it heard that this process leaves. */
  heard(from: ReplicaId, other: GroupClock, isAnswer: boolean): void {
    const { clock } = this.replicator;
    const { differs, isCovered } = compare(clock, other);
    this.#acknowledged(from, other.entries.get(this.replica) ?? 0);
    if (isCovered && isAnswer) this.#covered.add(from);
    else this.#covered.delete(from);
    const ahead = lacking(other.entries, clock);
    ahead.delete(this.replica);
    this.catchUp.claimed(from, ahead, differs);
  }

  /** The group's clock for a heartbeat; what is unsent has left. */
  short(): GroupClock {
    this.flush();
    const named = this.#around.members.in().map(({ replica }) => replica);
    return shortClock(this.name, this.replicator.clock, named);
  }

  /** The members' table has changed. */
  membersChanged(): void {
    const { members } = this.#around;
    const before = this.#hosts;
    for (const replica of before) if (!members.isIn(replica)) this.catchUp.forget(replica);
    this.#hosts = this.#hostsNow();
    this.#writes.membersChanged();
    if (before.symmetricDifference(this.#hosts).size === 0) return;
    for (const watchers of [...this.#watchers.values()]) for (const watcher of listOf(watchers)) watcher.members();
  }

  /** Whether this process may leave as far as this group goes. */
  mayLeave(isLeaving: (replica: ReplicaId) => boolean): boolean {
    if (this.replicator.clock.size === 0) return true;
    const { members, rules } = this.#around;
    const others = members.hosts(this.name).filter(({ replica }) => replica !== this.replica);
    const stayers = others.filter(({ replica }) => !rules.countsStayers || !isLeaving(replica));
    const have = stayers.filter(({ replica }) => this.#covered.has(replica));
    return have.length >= members.neededToLeave(this.name, stayers.length, this.#around.expect(this.name));
  }

  /** Gives up what has waited too long behind a gap of a replica that is out. */
  tick(): void {
    const { members, options, telemetry, log, world } = this.#around;
    const nowMs = world.clock.monotonic();
    const waiting = new Set(this.replicator.waiting.origins());
    for (const origin of this.#waitingSince.keys()) if (!waiting.has(origin)) this.#waitingSince.delete(origin);
    for (const origin of waiting) {
      const sinceMs = this.#waitingSince.get(origin) ?? nowMs;
      this.#waitingSince.set(origin, sinceMs);
      if (members.isIn(origin) || nowMs - sinceMs < options.abandonAfterMs) continue;
      const batches = this.replicator.abandon(origin);
      telemetry.count("massa_replication_abandoned_total", {}, batches);
      log.warn({ group: this.name, origin, batches }, "gave up changes behind a gap that nobody can fill");
    }
  }

  stop(): void {
    this.#isOver = true;
    this.#cancelFlush?.();
    this.#cancelFold?.();
    this.catchUp.stop();
    this.#writes.stop();
  }

  #watchersOf(entity: string): readonly Watcher[] {
    const watchers = this.#watchers.get(entity);
    return watchers === undefined ? [] : listOf(watchers);
  }

  #batchFrom(from: ReplicaId, batch: Batch, ask: number): void {
    const isAnswer = ask !== 0 && this.catchUp.isAnswer(from, ask);
    if (batch.origin === from || isAnswer) this.receiveBatch(batch, from);
    else this.#around.telemetry.count("massa_replication_batches_total", { outcome: "unasked" });
  }

  /** The first change after a quiet moment leaves at once; those that follow are gathered. */
  #wake(): void {
    if (this.#cancelFlush !== undefined || !this.replicator.hasUnsent || this.#isOver) return;
    this.flush();
    this.#cancelFlush = this.#around.world.clock.after(this.#around.options.flushMs, () => {
      this.#cancelFlush = undefined;
      this.#wake();
    });
  }

  #spread(batch: Batch): void {
    const { options } = this.#around;
    const peers = this.#around.links.peers(this.name);
    const message: Message = { type: "batch", group: this.name, batch, ask: 0 };
    const isWide = peers.length > options.directPeersMax || this.#around.hasUnlinked(this.name);
    const wantsGossip = options.spread === "gossip" || (options.spread === "auto" && isWide);
    if (wantsGossip && this.#around.links.publish(message, this.name)) return;
    for (const peer of peers) this.#around.links.send(peer, message);
  }

  #acknowledge(origin: ReplicaId, number: number): void {
    this.#around.links.send(origin, { type: "ack", group: this.name, number });
  }

  /** Nobody can have applied more than there is. */
  #acknowledged(by: ReplicaId, number: number): void {
    if (number <= this.replicator.last) this.#writes.acknowledged(by, number);
  }

  #hostsNow(): ReadonlySet<ReplicaId> {
    return new Set([...this.#around.members.hosts(this.name).map(({ replica }) => replica), this.replica]);
  }

  #foldLater(): void {
    this.#cancelFold ??= this.#around.world.clock.after(this.#around.options.foldEveryMs, () => this.#fold());
  }

  #fold(): void {
    this.#cancelFold?.();
    this.#cancelFold = undefined;
    this.flush();
    for (const [entity, paths] of this.#folds.take()) {
      const hasFolded = this.replicator.fold(entity, paths, this.#around.options.counterDots);
      if (hasFolded) this.#around.telemetry.count("massa_replication_folds_total");
    }
    this.#wake();
  }

  #level(peer: ReplicaId, isReady: boolean, lacked: Clock): void {
    this.#around.beatSoon();
    if (lacking(lacked, this.replicator.clock).size === 0) this.#leveled(peer, isReady);
  }

  #tell(net: Net): void {
    const told: [Watcher, Applied][] = [];
    for (const [entity, applied] of net.changes()) {
      for (const watcher of this.#watchersOf(entity)) told.push([watcher, applied]);
    }
    for (const [watcher, applied] of told) watcher.changed(applied);
  }
}

function listOf(watchers: Watcher | readonly Watcher[]): readonly Watcher[] {
  return "changed" in watchers ? [watchers] : watchers;
}
