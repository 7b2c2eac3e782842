import type { Clock, ReplicaId } from "../../crdt/index.ts";
import type { Cancel } from "../core/world.ts";
import { Asking } from "./asking.ts";
import type { Answered, Ask, More, Slice } from "./frames.ts";
import { readingSilentMs, windowSlices } from "./options.ts";
import { lacking } from "./reading.ts";
import type { Replicator } from "./replicator.ts";
import { Serving } from "./serving.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Net } from "./tables.ts";

/** What the group around it is told. */
interface CatchUpEvents {
  /** Sends what is unsent. */
  flush(): void;
  applied(net: Net): void;
  /** A peer has brought all that it had; `lacked` says what it still holds beyond that. */
  level(peer: ReplicaId, isReady: boolean, lacked: Clock): void;
}

/** How long a gap may close by itself: what fills it may be on its way. */
const graceMs = 50;
const soonMs = 10;
const retryMs = 200;
/** Slices that arrive before the sender is told. */
const moreEvery = windowSlices / 4;

/** One group's questions to others for what is lacking here, and its answers to theirs. */
export class CatchUp {
  readonly #group: string;
  readonly #replicator: Replicator;
  readonly #around: Surroundings;
  readonly #events: CatchUpEvents;
  readonly #asking: Asking;
  readonly #serving: Serving;
  readonly #answered = new Map<ReplicaId, number>();
  /** Whether the group is open: told to those who ask. */
  isReady = false;
  #check: { readonly atMs: number; readonly cancel: Cancel } | undefined;
  #cancelTimeout: Cancel | undefined;
  #needsReading = false;

  constructor(group: string, replicator: Replicator, around: Surroundings, events: CatchUpEvents) {
    this.#group = group;
    this.#replicator = replicator;
    this.#around = around;
    this.#events = events;
    const { readingsMax, frameBytes } = around.options;
    this.#asking = new Asking(around.rules);
    this.#serving = new Serving(
      { readingsMax, sliceBytes: frameBytes, windowSlices, silentMs: readingSilentMs },
      around.rules,
    );
  }

  get isAsking(): boolean {
    return this.#asking.question !== undefined;
  }

  get isBehind(): boolean {
    return this.#asking.isBehind(this.#replicator.clock);
  }

  /** A batch came ahead of a gap, or found no room: `holder` has what is missing, of which batches may be of no use. */
  gap(holder: ReplicaId, origin: ReplicaId, number: number, needsReading: boolean): void {
    this.#needsReading ||= needsReading;
    this.#asking.claim(holder, [[origin, number]]);
    this.#checkIn(soonMs);
  }

  /** What a heartbeat of `holder` says. */
  claimed(holder: ReplicaId, ahead: Iterable<readonly [ReplicaId, number]>, differs: boolean): void {
    this.#asking.claim(holder, ahead, differs);
    if (this.isBehind) this.#checkIn(graceMs);
  }

  /** Asks a peer now, whatever is known of it; not while a question is out. */
  ask(peer: ReplicaId): void {
    const { id } = this.#asking.begin(peer, this.#now());
    const { clock } = this.#replicator;
    const wantsReading = this.#needsReading;
    const wasSent = this.#around.links.send(peer, { type: "ask", group: this.#group, id, clock, wantsReading });
    if (wasSent) this.#watch();
    else this.#end(false, retryMs);
  }

  /** A batch that answers a question; false if nobody asked for it. */
  isAnswer(peer: ReplicaId, ask: number): boolean {
    if (!this.#asking.answers(peer, ask)) return false;
    this.#asking.question!.atMs = this.#now();
    return true;
  }

  answered(peer: ReplicaId, { id, isReady, lacked, isBusy }: Answered): void {
    if (!this.#asking.answers(peer, id)) return;
    if (isBusy) return this.#end(false, retryMs);
    this.#count("batches");
    this.#asking.claim(peer, lacked, false);
    const isLevel = lacking(lacked, this.#replicator.clock).size === 0;
    this.#end(true, isLevel ? 0 : soonMs);
    this.#events.level(peer, isReady, lacked);
  }

  slice(peer: ReplicaId, slice: Slice): void {
    const { question } = this.#asking;
    if (question === undefined || !this.#asking.answers(peer, slice.id)) return this.#count("stale");
    if (!this.#around.rules.gathers) return this.#joinAlone(slice);
    question.bytes += sizeOf(slice);
    if (question.bytes > this.#around.options.gatherBytes) return this.#overflow(peer);
    const { gathering } = question;
    if (!gathering.take(slice)) return this.#count("stale");
    question.atMs = this.#now();
    if (gathering.isComplete) return this.#join(peer, slice.isReady);
    if (gathering.taken % moreEvery === 0) {
      const { reading, taken } = gathering;
      this.#around.links.send(peer, { type: "more", group: this.#group, id: question.id, reading, taken });
    }
  }

  /** Somebody asks for what it lacks. */
  answer(asker: ReplicaId, ask: Ask): void {
    if (this.#around.rules.tellsReadings && ask.id <= (this.#answered.get(asker) ?? 0)) return;
    if (this.#around.rules.flushesFirst) this.#events.flush();
    const { clock } = this.#replicator;
    const beyond = lacking(ask.clock, clock);
    beyond.delete(this.#around.replica);
    if (beyond.size > 0) this.claimed(asker, beyond, true);
    const lacked = lacking(clock, ask.clock);
    const batches = this.#replicator.batchesFor(ask.clock, this.#around.options.fetchBytes);
    if (batches === undefined || (ask.wantsReading && lacked.size > 0)) return this.#read(asker, ask);
    this.#answered.set(asker, ask.id);
    for (const batch of batches) {
      if (!this.#around.links.send(asker, { type: "batch", group: this.#group, batch, ask: ask.id })) break;
    }
    this.#conclude(asker, ask.id, lacked, false);
  }

  /** A peer has taken slices: more may follow. */
  more(asker: ReplicaId, more: More): void {
    if (this.#serving.more(asker, more, this.#now())) this.#pump(asker);
  }

  /** A peer has no link any more. */
  lost(peer: ReplicaId): void {
    this.#serving.drop(peer);
    this.#answered.delete(peer);
    this.#asking.forget(peer);
    if (this.#asking.question?.peer === peer) this.#end(false, 0);
  }

  /** A member is out: what it claimed to hold cannot be had from it. */
  forget(replica: ReplicaId): void {
    this.#asking.forget(replica);
  }

  stop(): void {
    this.#check?.cancel();
    this.#cancelTimeout?.();
  }

  #read(asker: ReplicaId, ask: Ask): void {
    if (!this.#serving.hasRoom(asker, this.#now())) {
      this.#around.telemetry.count("massa_limit_reached_total", { limit: "replication.readings" });
      return this.#conclude(asker, ask.id, new Map(), true);
    }
    this.#answered.set(asker, ask.id);
    this.#serving.begin(asker, ask, this.#replicator.read(ask.clock), this.#now());
    this.#pump(asker);
  }

  #pump(asker: ReplicaId): void {
    for (;;) {
      const slice = this.#serving.peek(asker, this.#group, this.isReady, this.#replicator.clock);
      if (slice === undefined || !this.#around.links.send(asker, slice)) return;
      this.#serving.sent(asker);
    }
  }

  #conclude(asker: ReplicaId, id: number, lacked: Clock, isBusy: boolean): void {
    const { isReady } = this;
    this.#around.links.send(asker, { type: "answered", group: this.#group, id, isReady, lacked, isBusy });
  }

  #joinAlone(slice: Slice): void {
    const repairs = new Map(slice.parts.map(({ entity, repair }) => [entity, repair]));
    this.#events.applied(this.#replicator.join({ clock: slice.clock, kept: slice.kept, repairs }));
    if (slice.isLast) this.#end(true, 0);
  }

  #join(peer: ReplicaId, isReady: boolean): void {
    const reading = this.#asking.question!.gathering.finish();
    this.#events.applied(this.#replicator.join(reading));
    this.#needsReading = false;
    this.#count("reading");
    this.#asking.claim(peer, [], false);
    this.#end(true, 0);
    this.#events.level(peer, isReady, reading.clock);
  }

  #overflow(peer: ReplicaId): void {
    const { gatherBytes } = this.#around.options;
    this.#around.telemetry.count("massa_limit_reached_total", { limit: "replication.gather" });
    this.#around.log.error(
      { group: this.#group, peer, gatherBytes },
      "state of a peer is larger than replication.gather",
    );
    this.#end(false, this.#around.options.askTimeoutMs);
  }

  #end(wasOfUse: boolean, nextMs: number): void {
    this.#cancelTimeout?.();
    this.#cancelTimeout = undefined;
    this.#asking.end(wasOfUse);
    this.#checkIn(nextMs);
  }

  #checkIn(delayMs: number): void {
    const atMs = this.#now() + delayMs;
    if (this.#check !== undefined && this.#check.atMs <= atMs) return;
    this.#check?.cancel();
    const cancel = this.#around.world.clock.after(delayMs, () => {
      this.#check = undefined;
      const peer = this.#asking.choose(this.#replicator.clock, this.#around.links.peers(this.#group));
      if (peer !== undefined) this.ask(peer);
    });
    this.#check = { atMs, cancel };
  }

  /** Gives a question up that gets no answer. */
  #watch(): void {
    const { askTimeoutMs } = this.#around.options;
    const leftMs = this.#asking.question!.atMs + askTimeoutMs - this.#now();
    this.#cancelTimeout = this.#around.world.clock.after(Math.max(1, leftMs), () => {
      if (this.#asking.question!.atMs + askTimeoutMs > this.#now()) return this.#watch();
      this.#count("timeout");
      this.#end(false, 0);
    });
  }

  #count(outcome: string): void {
    this.#around.telemetry.count("massa_replication_repairs_total", { outcome });
  }

  #now(): number {
    return this.#around.world.clock.monotonic();
  }
}

/** What a slice holds in memory, roughly. */
function sizeOf({ parts }: Slice): number {
  let bytes = 0;
  for (const { repair } of parts) {
    bytes += 64 * repair.kept.length;
    for (const { content } of repair.entries) bytes += 256 + (content.type === "value" ? content.value.length : 0);
  }
  return bytes;
}
