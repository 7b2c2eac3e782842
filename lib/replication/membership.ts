import type { ReplicaId } from "../../crdt/index.ts";
import type { Logger } from "../core/log.ts";
import type { World } from "../core/world.ts";
import type { Mesh, Peer } from "../mesh/mesh.ts";
import { decodeMembers, encodeMembers } from "./frames.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Links } from "./links.ts";
import type { Member } from "./members.ts";
import { Members, tableHash } from "./members.ts";
import type { ReplicationOptions } from "./options.ts";
import { Presence } from "./presence.ts";
import type { Rules } from "./rules.ts";

/** What a process's membership needs. */
interface MembershipParts {
  readonly mesh: Mesh;
  readonly links: Links;
  readonly world: World;
  readonly log: Logger;
  readonly options: ReplicationOptions;
  readonly rules: Rules;
  /** The members' table has changed. */
  changed(): void;
}

/** The members' table of a process in exchange with those of others, and who is heard of. */
export class Membership {
  readonly members: Members;
  readonly presence: Presence;
  readonly #parts: MembershipParts;

  constructor(parts: MembershipParts) {
    const { mesh, world, options, rules } = parts;
    this.#parts = parts;
    const self = { replica: mesh.hello.replica, nodeName: options.nodeName, startedMs: world.clock.now() };
    this.members = new Members(self, rules);
    this.presence = new Presence(options, rules);
    this.#announce();
  }

  /** This process hosts these groups from now on; false if that is nothing new. */
  host(groups: readonly string[]): boolean {
    if (!this.members.host(groups)) return false;
    this.#announce();
    this.#parts.changed();
    return true;
  }

  /** A peer is linked, or says something new of itself. */
  meet({ id, hello }: Peer): void {
    const table = this.#parts.links.read(() => decodeMembers(hello.members), id);
    if (table !== undefined) this.#join(table);
    this.presence.learned(hello.replica, this.#now());
    this.endPredecessors();
  }

  /** A heartbeat; the one before it, `"late"` if it is older than that. */
  heard(beat: Heartbeat): Heartbeat | "late" | undefined {
    const before = this.#note(beat);
    if (before === "late") return "late";
    const { replica, incarnation } = beat;
    if (beat.isGone) this.#join([{ replica, incarnation, isOut: true, nodeName: "", startedMs: 0, groups: [] }]);
    else if (beat.membersHash !== this.members.hash) this.#send(replica, true);
    return before;
  }

  /** A peer's table. */
  received(from: ReplicaId, table: readonly Member[], wantsAnswer: boolean): void {
    this.#join(table);
    if (wantsAnswer && tableHash(table) !== this.members.hash) this.#send(from, false);
  }

  /** Judges who is silent, and takes the voice of those who are gone for good. */
  tick(): void {
    const nowMs = this.#now();
    this.presence.judge(nowMs);
    this.endPredecessors();
    this.#ended(this.presence.forgotten(this.members, nowMs).filter((replica) => this.members.end(replica)));
  }

  /** Takes the voice of those at whose place another process was started. */
  endPredecessors(): void {
    const { links } = this.#parts;
    const isGone = (replica: ReplicaId) => links.hasLost(replica) || this.presence.isSilent(replica);
    this.#ended(this.members.endPredecessors(isGone));
  }

  /** Takes a member's voice; false if it had none. */
  end(replica: ReplicaId): boolean {
    const hasEnded = this.members.end(replica);
    this.#ended(hasEnded ? [replica] : []);
    return hasEnded;
  }

  /** Whether a replica is a member in that is heard of. */
  isHeardOf(replica: ReplicaId): boolean {
    return this.members.isIn(replica) && !this.presence.isSilent(replica);
  }

  /** Members that host the group and are heard of, but for this process. */
  alive(group: string): ReplicaId[] {
    const others = this.members.hosts(group).map(({ replica }) => replica);
    return others.filter((replica) => replica !== this.members.self.replica && !this.presence.isSilent(replica));
  }

  /** Members that this process has not heard of for `mesh.forgetAfter`. */
  silent(): ReplicaId[] {
    return this.presence.silent(this.members, this.#now());
  }

  /** What is heard of one that is out says nothing of its presence: it comes late, or its process will say that it is in. */
  #note(beat: Heartbeat): Heartbeat | "late" | undefined {
    const member = this.members.get(beat.replica);
    if (member?.isOut === true && member.incarnation >= beat.incarnation) return undefined;
    return this.presence.heard(beat, this.#now());
  }

  #join(table: readonly Member[]): void {
    const own = this.members.self;
    const changed = this.members.join(table);
    if (changed.length === 0) return;
    if (this.members.self !== own) this.#announce();
    this.#noteChanged(changed);
  }

  #ended(gone: readonly ReplicaId[]): void {
    if (gone.length > 0) this.#noteChanged(gone.map((replica) => this.members.get(replica)!));
  }

  #noteChanged(changed: readonly Member[]): void {
    for (const { replica, isOut } of changed) {
      if (!isOut) this.presence.learned(replica, this.#now());
      else if (replica !== this.members.self.replica) this.#out(replica);
    }
    this.#parts.changed();
  }

  #out(replica: ReplicaId): void {
    this.presence.forget(replica);
    this.#parts.links.forget(replica);
    this.#parts.log.info({ replica }, "member is out");
  }

  /** The hello names those in; the rest of the table is settled over the link. */
  #announce(): void {
    const { incarnation, groups } = this.members.self;
    this.#parts.mesh.announce({ incarnation, groups: groups ?? [], members: encodeMembers(this.members.in()) });
  }

  #send(to: ReplicaId, answer: boolean): void {
    this.#parts.links.send(to, { type: "members", members: [...this.members.all()], answer });
  }

  #now(): number {
    return this.#parts.world.clock.monotonic();
  }
}
