import type { Change, Clock, Dot, NumberedChange, Path, Repair, ReplicaId, Seen } from "../../crdt/index.ts";
import { dotKey, encodeChanges, foldSent, foldUnsent, Refusal, since } from "../../crdt/index.ts";
import type { Batch } from "./batch.ts";
import { cutBatches } from "./batch.ts";
import { KeptDrops } from "./kept-drops.ts";
import type { ChangeDots, Made } from "./port.ts";
import type { Reading } from "./reading.ts";
import { lacking, weigh } from "./reading.ts";
import { Ring } from "./ring.ts";
import type { Rules } from "./rules.ts";
import { Net, Tables } from "./tables.ts";
import { Waiting } from "./waiting.ts";

/** The bounds of one group's replicator. */
export interface ReplicatorLimits {
  /** Bytes of recent batches held for those who lack them (`replication.ring`). */
  readonly ringBytes: number;
  /** Bytes of batches that wait ahead of a gap (`replication.waiting`). */
  readonly waitingBytes: number;
  /** Drops of unseen dots; above it no batch is applied that brings more, and a reading must help (`replication.keptDrops`). */
  readonly keptMax: number;
  /** Encoded bytes of one batch, unless one change alone is larger. */
  readonly batchBytes: number;
  /** Encoded bytes of one change; a larger one is refused. */
  readonly changeBytes: number;
}

/** What became of a batch. `number` is the origin's now; `ahead` waits for what is missing; `refused` found a limit reached. */
export type Receipt =
  | { readonly type: "applied"; readonly net: Net; readonly number: number }
  | { readonly type: "duplicate"; readonly number: number }
  | { readonly type: "ahead" }
  | { readonly type: "refused"; readonly limit: "replication.waiting" | "replication.keptDrops" };

/**
 * One group's replicated state here: tables under one clock, the numbering of what is made here, what is not sent yet, rings and
 * what waits. Without time, mesh and randomness; what must be sent or told is returned.
 */
export class Replicator {
  readonly replica: ReplicaId;
  readonly tables = new Tables();
  readonly ring: Ring;
  readonly waiting: Waiting;
  readonly #clock = new Map<ReplicaId, number>();
  readonly #kept = new KeptDrops();
  readonly #limits: ReplicatorLimits;
  readonly #rules: Rules;
  #unsent: NumberedChange[] = [];

  constructor(replica: ReplicaId, limits: ReplicatorLimits, rules: Rules) {
    this.replica = replica;
    this.ring = new Ring(limits.ringBytes);
    this.waiting = new Waiting(limits.waitingBytes);
    this.#limits = limits;
    this.#rules = rules;
  }

  /** Replica → last number applied with none missing before it; of this replica the last number taken, sent or not. */
  get clock(): Clock {
    return this.#clock;
  }

  get keptCount(): number {
    return this.#kept.size;
  }

  get hasUnsent(): boolean {
    return this.#unsent.length > 0;
  }

  /** The last number taken here. */
  get last(): number {
    return this.#clock.get(this.replica) ?? 0;
  }

  /** Makes a change here: numbers it, applies it, and keeps it for the next flush. Throws a `Refusal` if it is too large to travel. */
  change(entity: string, make: (dots: ChangeDots) => Pick<Change, "drops" | "adds">): Made {
    const from = this.last + 1;
    let next = from;
    const effect = make({ replica: this.replica, next: () => next++ });
    if (effect.adds.length + effect.drops.length === 0) return { number: this.last, applied: { gained: [], lost: [] } };
    if (next === from && this.#rules.numbersDrops) next += 1;
    this.#refuseTooLarge({ entity, from, to: Math.max(from, next - 1), ...effect });
    const applied = this.tables.at(entity).apply(effect);
    this.tables.settle(entity);
    this.#clock.set(this.replica, next - 1);
    if (next > from) this.#unsent.push({ entity, from, to: next - 1, ...effect });
    return { number: next - 1, applied };
  }

  /** Replaces own amounts of the paths by their sum where there are more than `limit`; what is unsent must have left before. */
  fold(entity: string, paths: Iterable<Path>, limit: number): boolean {
    const table = this.tables.get(entity);
    if (table === undefined) return false;
    const before = this.last;
    this.change(entity, (dots) => foldSent(table, this.replica, limit, dots, paths) ?? { drops: [], adds: [] });
    return this.last > before;
  }

  /** What is unsent, made small, in the pieces in which it leaves. */
  flush(): readonly Batch[] {
    if (this.#unsent.length === 0) return [];
    const { changes, folds } = foldUnsent(this.#unsent);
    this.#unsent = [];
    for (const fold of folds) this.tables.at(fold.entity).fold(fold);
    const batches = cutBatches(this.replica, changes, this.#limits.batchBytes);
    for (const batch of batches) this.ring.add(batch);
    return batches;
  }

  /** Takes a batch in by whatever way it came. */
  receive(batch: Batch): Receipt {
    const at = this.#clock.get(batch.origin) ?? 0;
    if (batch.to <= at || batch.origin === this.replica) return { type: "duplicate", number: at };
    if (this.#rules.inSequence && batch.from > at + 1) {
      return this.waiting.add(batch) ? { type: "ahead" } : { type: "refused", limit: "replication.waiting" };
    }
    const net = new Net();
    if (!this.#apply(batch, net)) return { type: "refused", limit: "replication.keptDrops" };
    this.#drain(batch.origin, net);
    return { type: "applied", net, number: this.#clock.get(batch.origin)! };
  }

  /** Drops what waits of `origin`; how many batches that were. */
  abandon(origin: ReplicaId): number {
    return this.waiting.drop(origin);
  }

  /** Batches that bring an asker to this side's clock, `bytesMax` or a little more; undefined if the rings lack some. */
  batchesFor(asker: Clock, bytesMax: number): readonly Batch[] | undefined {
    const found: Batch[] = [];
    let bytes = 0;
    for (const [origin, number] of lacking(this.#clock, asker)) {
      const batches = this.ring.from(origin, asker.get(origin) ?? 0, number);
      if (batches === undefined) return undefined;
      for (const batch of batches) {
        if (bytes >= bytesMax) return found;
        bytes += batch.bytes.length;
        found.push(batch);
      }
    }
    return found;
  }

  /** Reads the group for an asker who stands at `asker`, as of now; what is unsent must have left before. */
  read(asker: Clock): Reading {
    const seen: Seen = { covers: (dot) => isBelow(asker, dot) };
    const repairs = new Map<string, Repair>();
    for (const entity of this.tables.names()) {
      const table = this.tables.get(entity)!;
      if (table.size > 0) repairs.set(entity, since(table, seen));
    }
    const kept = this.#rules.readsKept ? this.#kept.byEntity() : new Map<string, Dot[]>();
    return { clock: new Map(this.#clock), kept, repairs };
  }

  /** Joins a reading of another replica, whole, and what now is in sequence behind it. */
  join(reading: Reading): Net {
    const net = new Net();
    const there = new Set<string>();
    for (const dots of reading.kept.values()) for (const dot of dots) there.add(dotKey(dot));
    const seen: Seen = { covers: (dot) => isBelow(this.#clock, dot) || this.#kept.covers(dot) };
    const otherSeen: Seen = { covers: (dot) => isBelow(reading.clock, dot) || there.has(dotKey(dot)) };
    const nothing: Repair = { entries: [], kept: [] };
    for (const entity of new Set([...this.tables.names(), ...reading.repairs.keys()])) {
      const repair = reading.repairs.get(entity) ?? nothing;
      net.add(entity, this.tables.at(entity).joinInto(seen, repair, otherSeen));
      this.tables.settle(entity);
    }
    for (const [entity, dots] of reading.kept) {
      for (const dot of dots) if (!isBelow(this.#clock, dot)) this.#kept.add(dot, entity);
    }
    for (const [replica, number] of reading.clock) this.#raise(replica, number);
    for (const origin of [...this.waiting.origins()]) this.#drain(origin, net);
    return net;
  }

  #refuseTooLarge(change: NumberedChange): void {
    const { changeBytes } = this.#limits;
    if (weigh({ entries: change.adds, kept: change.drops }) <= changeBytes) return;
    const { length } = encodeChanges([change]);
    if (length > changeBytes)
      throw new Refusal(`A change of ${length} bytes is too large to replicate; at most ${changeBytes} are taken`);
  }

  #drain(origin: ReplicaId, net: Net): void {
    for (;;) {
      const batch = this.waiting.take(origin, this.#clock.get(origin) ?? 0);
      if (batch === undefined || !this.#apply(batch, net)) return;
    }
  }

  /** False: it drops more of what was never seen than there is room for. */
  #apply(batch: Batch, net: Net): boolean {
    if (this.#kept.size >= this.#limits.keptMax && this.#unseenDrops(batch)) return false;
    for (const change of batch.changes) {
      if (change.to > (this.#clock.get(batch.origin) ?? 0)) this.#applyChange(batch.origin, change, net);
    }
    this.ring.add(batch);
    return true;
  }

  #unseenDrops({ changes }: Batch): boolean {
    return changes.some(({ drops }) => drops.some((dot) => !isBelow(this.#clock, dot)));
  }

  #applyChange(origin: ReplicaId, change: NumberedChange, net: Net): void {
    if (this.#rules.keepsDrops) {
      for (const dot of change.drops) if (!isBelow(this.#clock, dot)) this.#kept.add(dot, change.entity);
    }
    const adds = change.adds.filter(({ dot }) => !this.#kept.covers(dot));
    net.add(change.entity, this.tables.at(change.entity).apply({ drops: change.drops, adds }));
    this.tables.settle(change.entity);
    this.#raise(origin, change.to);
  }

  #raise(replica: ReplicaId, number: number): void {
    const at = this.#clock.get(replica) ?? 0;
    if (number <= at) return;
    this.#clock.set(replica, number);
    this.#kept.passed(replica, at + 1, number);
  }
}

function isBelow(clock: Clock, dot: Dot): boolean {
  return "replica" in dot && dot.number <= (clock.get(dot.replica) ?? 0);
}
