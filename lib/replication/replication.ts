import type { ReplicaId } from "../../crdt/index.ts";
import type { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, World } from "../core/world.ts";
import type { Mesh, MeshListener, Peer } from "../mesh/mesh.ts";
import { channels } from "../mesh/mesh.ts";
import type { Message } from "./frames.ts";
import { decodeMembers, decodeMessage, encodeMembers, encodeMessage } from "./frames.ts";
import { Group } from "./group.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { Joining } from "./joining.ts";
import type { Member } from "./members.ts";
import { Members, tableHash } from "./members.ts";
import type { ReplicationOptions } from "./options.ts";
import type { ReplicaGroup, Replication } from "./port.ts";
import { Presence } from "./presence.ts";
import type { Rules } from "./rules.ts";
import { rightRules } from "./rules.ts";

/** What replication runs on. */
export interface ReplicationParts {
  readonly mesh: Mesh;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly options: ReplicationOptions;
  /** Tests switch rules off. */
  readonly rules?: Rules;
}

/** What replication wants to hear of the mesh: requests are not among it, frames of its own channel only. */
export type ReplicationListener = Pick<MeshListener, "admitted" | "changed" | "lost" | "gossip"> & {
  frame(peer: Peer, body: Uint8Array): void;
};

/** Replication as a process owns it. Disposal leaves the cluster first (`mesh.leaveTimeout`), then stops. */
export interface OwnedReplication extends Replication, AsyncDisposable {
  /** To be told everything that the mesh tells, from before it starts. */
  readonly listener: ReplicationListener;
  /** Begins to send heartbeats; call it once the mesh has started. */
  start(): void;
  /** The members' table, for operators. */
  members(): readonly (Member & { readonly isSilent: boolean })[];
  /** Stays until others have all that is here, then says that this process is gone. */
  leave(): Promise<void>;
  /** Whether it has left. */
  readonly hasLeft: boolean;
}

const soonMs = 5;

/** Replicates the CRDT entities of this process over its mesh. The mesh's hello names the replica. */
export function createReplication(parts: ReplicationParts): OwnedReplication {
  return new Process(parts);
}

class Process implements OwnedReplication {
  readonly listener: ReplicationListener = {
    admitted: (peer) => this.#admitted(peer),
    changed: (peer) => this.#changed(peer),
    lost: (peer) => this.#lost(peer),
    frame: (peer, body) => this.#frame(peer, body),
    gossip: (topic, _from, body) => this.#gossip(topic, body),
  };
  readonly #mesh: Mesh;
  readonly #world: World;
  readonly #log: Logger;
  readonly #telemetry: Telemetry;
  readonly #options: ReplicationOptions;
  readonly #rules: Rules;
  readonly #replica: ReplicaId;
  readonly #members: Members;
  readonly #presence: Presence;
  readonly #joining: Joining;
  readonly #groups = new Map<string, Group>();
  readonly #linked = new Map<ReplicaId, Peer>();
  #beats = 0;
  #cancelBeat: Cancel | undefined;
  #cancelSoon: Cancel | undefined;
  #leaving: PromiseWithResolvers<undefined> | undefined;
  #isOver = false;

  constructor({ mesh, world, log, telemetry, options, rules = rightRules }: ReplicationParts) {
    this.#mesh = mesh;
    this.#world = world;
    this.#log = log;
    this.#telemetry = telemetry;
    this.#options = options;
    this.#rules = rules;
    this.#replica = mesh.hello.replica;
    this.#members = new Members(this.#replica, options.nodeName, rules);
    this.#presence = new Presence(options, rules);
    this.#joining = new Joining({
      timeoutMs: options.joinTimeoutMs,
      world,
      log,
      neededAlone: (group) => this.#members.needed(group, "majority", this.#expect(group)),
      peers: (group) => this.#peers(group),
      alive: (group) => this.#alive(group),
      opened: (group) => {
        this.#group(group).catchUp.isReady = true;
        this.#beatSoon();
      },
    });
    telemetry.gauge("massa_replication_members", () => this.#members.in().length);
    this.#announce();
    mesh.subscribe(this.#topic());
  }

  get notReady(): string | undefined {
    return this.#joining.notReady;
  }

  get hasLeft(): boolean {
    return this.#isOver;
  }

  onReady(ready: () => void): void {
    this.#joining.onReady(ready);
  }

  group(persistenceId: string): ReplicaGroup {
    return this.#group(persistenceId);
  }

  hosted(persistenceIds: readonly string[]): void {
    const before = this.#members.self.groups ?? [];
    if (this.#members.host(persistenceIds)) {
      this.#log.info({ persistenceIds }, "hosts groups");
      for (const name of before) if (!persistenceIds.includes(name)) this.#mesh.unsubscribe(this.#topic(name));
      for (const name of persistenceIds) {
        this.#mesh.subscribe(this.#topic(name));
        this.#group(name);
      }
      this.#announce();
      this.#membersChanged();
    }
    this.#joining.begin(persistenceIds);
  }

  members(): readonly (Member & { readonly isSilent: boolean })[] {
    const isSilent = (replica: ReplicaId) => replica !== this.#replica && this.#presence.isSilent(replica);
    return [...this.#members.all()].map((member) => ({ ...member, isSilent: isSilent(member.replica) }));
  }

  start(): void {
    this.#cancelBeat = this.#world.clock.every(this.#options.heartbeatMs, () => this.#tick());
    this.#beat();
  }

  leave(): Promise<void> {
    if (this.#leaving === undefined) {
      this.#leaving = Promise.withResolvers();
      this.#world.clock.after(this.#options.leaveTimeoutMs, () =>
        this.#depart("others did not have everything in time"),
      );
      this.#beat();
      this.#departIfCovered();
    }
    return this.#leaving.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }

  // What the mesh tells.

  #admitted(peer: Peer): void {
    this.#linked.set(peer.hello.replica, peer);
    this.#meet(peer);
    this.#send(peer.hello.replica, { type: "heartbeat", heartbeat: this.#nextBeat() });
  }

  #changed(peer: Peer): void {
    this.#linked.set(peer.hello.replica, peer);
    this.#meet(peer);
  }

  #lost(peer: Peer): void {
    const { replica } = peer.hello;
    if (this.#linked.get(replica)?.id !== peer.id) return;
    this.#linked.delete(replica);
    for (const group of this.#groups.values()) group.catchUp.lost(replica);
    this.#joining.lost(replica);
  }

  #meet(peer: Peer): void {
    const { replica, members } = peer.hello;
    const table = this.#read(() => decodeMembers(members), peer.id);
    if (table !== undefined) this.#join(table);
    this.#presence.learned(replica, this.#now());
    this.#askAll(false);
  }

  #frame(peer: Peer, body: Uint8Array): void {
    const message = this.#read(() => decodeMessage(body), peer.id);
    if (message === undefined || this.#isOver) return;
    const from = peer.hello.replica;
    if (message.type === "heartbeat") return this.#heard(message.heartbeat);
    if (message.type === "members") return this.#compareMembers(from, message.members, message.answer);
    const group = this.#groups.get(message.group);
    if (group !== undefined) return group.receive(from, message);
    if (message.type !== "ask") return;
    const nothing = { isReady: false, lacked: new Map<string, number>(), isBusy: false };
    this.#send(from, { type: "answered", group: message.group, id: message.id, ...nothing });
  }

  #gossip(topic: string, body: Uint8Array): void {
    const message = this.#read(() => decodeMessage(body), topic);
    if (this.#isOver) return;
    if (message?.type === "heartbeat") this.#heard(message.heartbeat);
    else if (message?.type === "batch")
      this.#groups.get(message.group)?.receiveBatch(message.batch, message.batch.origin);
  }

  // Members and heartbeats.

  #heard(beat: Heartbeat): void {
    const { replica } = beat;
    if (replica === this.#replica) return;
    const before = this.#presence.heard(beat, this.#now());
    if (before === "late") return;
    if (beat.isGone) {
      const { incarnation } = beat;
      this.#join([{ replica, incarnation, isOut: true, nodeName: "", groups: [] }]);
    } else if (beat.membersHash !== this.#members.hash) this.#sendMembers(replica, true);
    const isAnswer = !this.#rules.wantsFreshHeartbeats || beat.leavers.includes(this.#replica);
    for (const clock of beat.groups) this.#groups.get(clock.group)?.heard(replica, clock, isAnswer);
    if (beat.isReady && before?.isReady !== true) this.#askAll(true);
    if (beat.isLeaving && before?.isLeaving !== true) this.#beatSoon();
    this.#departIfCovered();
  }

  #compareMembers(from: ReplicaId, table: readonly Member[], wantsAnswer: boolean): void {
    this.#join(table);
    if (wantsAnswer && tableHash(table) !== this.#members.hash) this.#sendMembers(from, false);
  }

  #join(table: readonly Member[]): void {
    const own = this.#members.self;
    const changed = this.#members.join(table);
    if (changed.length === 0) return;
    if (this.#members.self !== own) this.#announce();
    this.#membersChanged(changed);
  }

  #membersChanged(changed: readonly Member[] = []): void {
    for (const { replica, isOut } of changed) {
      if (!isOut) this.#presence.learned(replica, this.#now());
      else if (replica !== this.#replica) this.#out(replica);
    }
    for (const group of this.#groups.values()) group.membersChanged();
    this.#joining.check();
  }

  #out(replica: ReplicaId): void {
    this.#presence.forget(replica);
    this.#log.info({ replica }, "member is out");
  }

  #tick(): void {
    const nowMs = this.#now();
    this.#presence.judge(nowMs);
    const successors = this.#members.endPredecessors((replica) => this.#presence.isSilent(replica));
    const forgotten = this.#presence.forgotten(this.#members, nowMs).filter((replica) => this.#members.end(replica));
    const gone = [...successors, ...forgotten].map((replica) => this.#members.get(replica)!);
    if (gone.length > 0) this.#membersChanged(gone);
    for (const group of this.#groups.values()) group.tick();
    this.#joining.check();
    this.#askAll(true);
    this.#beat();
    this.#departIfCovered();
  }

  #beatSoon(): void {
    if (this.#isOver) return;
    this.#cancelSoon ??= this.#world.clock.after(soonMs, () => {
      this.#cancelSoon = undefined;
      this.#beat();
    });
  }

  #beat(): void {
    if (!this.#isOver) this.#publish(this.#topic(), { type: "heartbeat", heartbeat: this.#nextBeat() });
  }

  #nextBeat(): Heartbeat {
    this.#beats += 1;
    const { incarnation, isOut, groups } = this.#members.self;
    return {
      replica: this.#replica,
      incarnation,
      number: this.#beats,
      isLeaving: this.#leaving !== undefined,
      isGone: isOut && this.#isOver,
      isReady: this.notReady === undefined,
      membersHash: this.#members.hash,
      silent: this.#presence.silent(this.#members, this.#now()),
      leavers: this.#presence.leavers(),
      groups: (groups ?? []).map((name) => this.#group(name).short()),
    };
  }

  // Leaving.

  #departIfCovered(): void {
    if (this.#leaving === undefined || this.#isOver) return;
    const isLeaving = (replica: ReplicaId) => this.#presence.isLeaving(replica);
    if ([...this.#groups.values()].every((group) => group.mayLeave(isLeaving))) this.#depart(undefined);
  }

  #depart(problem: string | undefined): void {
    if (this.#isOver) return;
    if (problem !== undefined) this.#log.warn({ timeoutMs: this.#options.leaveTimeoutMs }, problem);
    for (const group of this.#groups.values()) group.flush();
    this.#isOver = true;
    this.#members.leave();
    const heartbeat = { ...this.#nextBeat(), groups: [] };
    for (const replica of this.#linked.keys()) this.#send(replica, { type: "heartbeat", heartbeat });
    this.#publish(this.#topic(), { type: "heartbeat", heartbeat });
    this.#cancelBeat?.();
    this.#cancelSoon?.();
    this.#joining.stop();
    for (const group of this.#groups.values()) group.stop();
    this.#leaving?.resolve(undefined);
  }

  // Groups and the mesh.

  #group(name: string): Group {
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = new Group(
        name,
        {
          replica: this.#replica,
          members: this.#members,
          world: this.#world,
          log: this.#log,
          telemetry: this.#telemetry,
          options: this.#options,
          rules: this.#rules,
          peers: (of) => this.#peers(of),
          hasUnlinked: (of) => this.#alive(of).some((replica) => !this.#linked.has(replica)),
          send: (to, message) => this.#send(to, message),
          publish: (of, message) => this.#publish(this.#topic(of), message),
          expect: (of) => this.#expect(of),
          beatSoon: () => {
            if (this.#presence.leavers().length > 0 || this.notReady !== undefined) this.#beatSoon();
          },
        },
        (peer, isReady) => {
          this.#joining.level(name, peer, isReady);
          this.#askAll(false);
        },
      );
      this.#groups.set(name, group);
    }
    return group;
  }

  /** Asks for the state of groups that join. */
  #askAll(isRepeat: boolean): void {
    for (const [name, group] of this.#groups) {
      const peer = group.catchUp.isAsking ? undefined : this.#joining.next(name, isRepeat);
      if (peer !== undefined) group.catchUp.ask(peer);
    }
  }

  #peers(group: string): ReplicaId[] {
    return [...this.#linked].filter(([, { hello }]) => hello.groups.includes(group)).map(([replica]) => replica);
  }

  /** Members that host the group and are heard of, but for this process. */
  #alive(group: string): ReplicaId[] {
    const others = this.#members.hosts(group).map(({ replica }) => replica);
    return others.filter((replica) => replica !== this.#replica && !this.#presence.isSilent(replica));
  }

  #expect(group: string): number {
    const { expect, expectByGroup } = this.#options;
    return expectByGroup[group] ?? expect ?? this.#mesh.othersConfigured() + 1;
  }

  #announce(): void {
    const { incarnation, groups } = this.#members.self;
    this.#mesh.announce({ incarnation, groups: groups ?? [], members: encodeMembers(this.#members.all()) });
  }

  #sendMembers(to: ReplicaId, answer: boolean): void {
    this.#send(to, { type: "members", members: [...this.#members.all()], answer });
  }

  #send(to: ReplicaId, message: Message): boolean {
    const peer = this.#linked.get(to);
    return peer !== undefined && this.#mesh.send(peer.id, channels.replication, encodeMessage(message));
  }

  #publish(topic: string, message: Message): void {
    this.#mesh.publish(topic, encodeMessage(message));
  }

  #topic(group?: string): string {
    return group === undefined ? `massa/${this.#options.cluster}` : `massa/${this.#options.cluster}/${group}`;
  }

  /** What cannot be read is counted, logged and dropped. */
  #read<T>(decode: () => T, from: string): T | undefined {
    try {
      return decode();
    } catch (failure) {
      this.#telemetry.count("massa_replication_malformed_total");
      this.#log.warn({ from, reason: (failure as MassaError).message }, "message of another node could not be read");
      return undefined;
    }
  }

  #now(): number {
    return this.#world.clock.monotonic();
  }
}
