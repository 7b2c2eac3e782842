import type { ReplicaId } from "../../crdt/index.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, World } from "../core/world.ts";
import type { Mesh, MeshListener, Peer } from "../mesh/mesh.ts";
import { decodeMessage } from "./frames.ts";
import { Group } from "./group.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { Joining } from "./joining.ts";
import { Links } from "./links.ts";
import type { Member } from "./members.ts";
import { Membership } from "./membership.ts";
import type { ReplicationOptions } from "./options.ts";
import type { ReplicaGroup, Replication } from "./port.ts";
import { Pulse } from "./pulse.ts";
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
  /** Whether this replica is a member in that is heard of, or this process itself. */
  isInTouch(replica: ReplicaId): boolean;
  /** Takes a member's voice by an operator's word; false if it had none. A process that is alive answers, and has it again. */
  end(replica: ReplicaId): boolean;
  /** Stays until others have all that is here, then says that this process is gone. */
  leave(): Promise<void>;
  /** Whether it has left. */
  readonly hasLeft: boolean;
}

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
  readonly #parts: ReplicationParts;
  readonly #rules: Rules;
  readonly #replica: ReplicaId;
  readonly #links: Links;
  readonly #membership: Membership;
  readonly #joining: Joining;
  readonly #pulse: Pulse;
  readonly #groups = new Map<string, Group>();
  #leaving: PromiseWithResolvers<undefined> | undefined;
  #cancelLeave: Cancel | undefined;
  #isOver = false;

  constructor(parts: ReplicationParts) {
    const { mesh, world, log, telemetry, options, rules = rightRules } = parts;
    this.#parts = parts;
    this.#rules = rules;
    this.#replica = mesh.hello.replica;
    this.#links = new Links({ ...parts, ...options });
    this.#membership = new Membership({ ...parts, links: this.#links, rules, changed: () => this.#membersChanged() });
    this.#joining = new Joining({
      timeoutMs: options.joinTimeoutMs,
      world,
      log,
      neededAlone: (group) => this.#membership.members.needed(group, "majority", this.#expect(group)),
      peers: (group) => this.#links.peers(group),
      alive: (group) => this.#membership.alive(group),
      opened: (group) => this.#opened(group),
    });
    this.#pulse = new Pulse({
      periodMs: options.heartbeatMs,
      links: this.#links,
      world,
      telemetry,
      compose: () => this.#compose(),
      tick: () => this.#tick(),
    });
    telemetry.gauge("massa_replication_members", () => this.#membership.members.in().length);
    this.#links.subscribe();
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
    const before = this.#membership.members.self.groups ?? [];
    if (this.#membership.host(persistenceIds)) {
      this.#parts.log.info({ persistenceIds }, "hosts groups");
      for (const name of before) if (!persistenceIds.includes(name)) this.#links.unsubscribe(name);
      for (const name of persistenceIds) {
        this.#links.subscribe(name);
        this.#group(name);
      }
    }
    this.#joining.begin(persistenceIds);
    this.#askAll(false);
  }

  members(): readonly (Member & { readonly isSilent: boolean })[] {
    return [...this.#membership.members.all()].map((member) => ({
      ...member,
      isSilent: !this.isInTouch(member.replica),
    }));
  }

  isInTouch(replica: ReplicaId): boolean {
    if (replica === this.#replica) return !this.#isOver;
    return this.#membership.isHeardOf(replica);
  }

  end(replica: ReplicaId): boolean {
    return this.#membership.end(replica);
  }

  start(): void {
    this.#pulse.start();
  }

  leave(): Promise<void> {
    if (this.#leaving === undefined) {
      const { world, options } = this.#parts;
      this.#leaving = Promise.withResolvers();
      this.#cancelLeave = world.clock.after(options.leaveTimeoutMs, () => {
        this.#parts.log.warn({ timeoutMs: options.leaveTimeoutMs }, "left before others had everything");
        this.#depart();
      });
      this.#pulse.beat();
      this.#departIfCovered();
    }
    return this.#leaving.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }

  // What the mesh tells.

  #admitted(peer: Peer): void {
    this.#links.admitted(peer);
    this.#membership.meet(peer);
    this.#askAll(false);
    this.#links.send(peer.hello.replica, { type: "heartbeat", heartbeat: this.#pulse.next() });
  }

  #changed(peer: Peer): void {
    this.#links.admitted(peer);
    this.#membership.meet(peer);
    this.#askAll(false);
  }

  #lost(peer: Peer): void {
    const { replica } = peer.hello;
    if (!this.#links.lost(peer)) return;
    if (!this.#membership.members.isIn(replica)) this.#links.forget(replica);
    this.#membership.endPredecessors();
    for (const group of this.#groups.values()) group.catchUp.lost(replica);
    this.#joining.lost(replica);
  }

  #frame(peer: Peer, body: Uint8Array): void {
    const message = this.#links.read(() => decodeMessage(body), peer.id);
    if (message === undefined || this.#isOver) return;
    const from = peer.hello.replica;
    if (message.type === "heartbeat") {
      if (message.heartbeat.replica === from) this.#heard(message.heartbeat);
      return;
    }
    if (message.type === "members") return this.#membership.received(from, message.members, message.answer);
    const group = this.#groups.get(message.group);
    if (group !== undefined) return group.receive(from, message);
    if (message.type !== "ask") return;
    const nothing = { isReady: false, lacked: new Map<string, number>(), isBusy: false };
    this.#links.send(from, { type: "answered", group: message.group, id: message.id, ...nothing });
  }

  #gossip(topic: string, body: Uint8Array): void {
    const message = this.#links.read(() => decodeMessage(body), topic);
    if (this.#isOver || message === undefined) return;
    if (message.type === "heartbeat") this.#heard(message.heartbeat);
    else if (message.type === "batch")
      this.#groups.get(message.group)?.receiveBatch(message.batch, message.batch.origin);
  }

  // Members and heartbeats.

  #heard(beat: Heartbeat): void {
    const { replica } = beat;
    if (replica === this.#replica) return;
    const before = this.#membership.heard(beat);
    if (before === "late") return;
    const isAnswer = !this.#rules.wantsFreshHeartbeats || beat.leavers.includes(this.#replica);
    for (const clock of beat.groups) this.#groups.get(clock.group)?.heard(replica, clock, isAnswer);
    if (beat.isReady && before?.isReady !== true) this.#askAll(true);
    if (this.#isLeaving(replica) && before?.isLeaving !== true) this.#pulse.soon();
    this.#departIfCovered();
  }

  #membersChanged(): void {
    for (const group of this.#groups.values()) group.membersChanged();
    this.#joining.check();
  }

  #tick(): void {
    this.#membership.tick();
    for (const group of this.#groups.values()) group.tick();
    this.#joining.check();
    this.#askAll(true);
    this.#departIfCovered();
  }

  #compose(): Omit<Heartbeat, "number"> {
    const { incarnation, isOut, groups } = this.#membership.members.self;
    return {
      replica: this.#replica,
      incarnation,
      isLeaving: this.#leaving !== undefined,
      isGone: isOut && this.#isOver,
      isReady: this.notReady === undefined,
      membersHash: this.#membership.members.hash,
      silent: this.#membership.silent(),
      leavers: this.#membership.presence.leavers(),
      groups: (groups ?? []).map((name) => this.#group(name).short()),
    };
  }

  // Leaving.

  #departIfCovered(): void {
    if (this.#leaving === undefined || this.#isOver) return;
    const isLeaving = (replica: ReplicaId) => this.#isLeaving(replica);
    if ([...this.#groups.values()].every((group) => group.mayLeave(isLeaving))) this.#depart();
  }

  #isLeaving(replica: ReplicaId): boolean {
    return this.#membership.presence.isLeaving(replica);
  }

  #depart(): void {
    if (this.#isOver) return;
    for (const group of this.#groups.values()) group.flush();
    this.#isOver = true;
    this.#membership.members.leave();
    const heartbeat = this.#pulse.next();
    for (const replica of this.#links.replicas()) this.#links.send(replica, { type: "heartbeat", heartbeat });
    this.#links.publish({ type: "heartbeat", heartbeat });
    this.#cancelLeave?.();
    this.#pulse.stop();
    this.#joining.stop();
    for (const group of this.#groups.values()) group.stop();
    this.#leaving?.resolve(undefined);
  }

  // Groups.

  #group(name: string): Group {
    let group = this.#groups.get(name);
    if (group === undefined) {
      const { world, log, telemetry, options } = this.#parts;
      const around = {
        replica: this.#replica,
        members: this.#membership.members,
        links: this.#links,
        world,
        log,
        telemetry,
        options,
        rules: this.#rules,
        hasUnlinked: (of: string) => this.#membership.alive(of).some((replica) => !this.#links.has(replica)),
        expect: (of: string) => this.#expect(of),
        beatSoon: () => {
          if (this.#membership.presence.leavers().length > 0 || this.notReady !== undefined) this.#pulse.soon();
        },
      };
      group = new Group(name, around, (peer, isReady) => {
        this.#joining.level(name, peer, isReady);
        this.#askAll(false);
      });
      this.#groups.set(name, group);
    }
    return group;
  }

  #opened(group: string): void {
    this.#group(group).catchUp.isReady = true;
    this.#pulse.soon();
  }

  /** Asks for the state of groups that join. */
  #askAll(isRepeat: boolean): void {
    for (const [name, group] of this.#groups) {
      const peer = group.catchUp.isAsking ? undefined : this.#joining.next(name, isRepeat);
      if (peer !== undefined) group.catchUp.ask(peer);
    }
  }

  #expect(group: string): number {
    const { options, mesh } = this.#parts;
    return options.expectByGroup[group] ?? options.expect ?? mesh.othersConfigured() + 1;
  }
}
