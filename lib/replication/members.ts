import { createHash } from "node:crypto";
import type { ReplicaId } from "../../crdt/index.ts";
import type { Consistency } from "./port.ts";
import type { Rules } from "./rules.ts";

/** What is known of one process start. */
export interface Member {
  readonly replica: ReplicaId;
  /** Raised by the process itself whenever it says something new. */
  readonly incarnation: number;
  /** Its voice does not count any more. Nothing else of it is touched. */
  readonly isOut: boolean;
  /** The place it runs at (`node.name`); empty once it is out. */
  readonly nodeName: string;
  /** When it started, by the clock of its place, in milliseconds: tells processes of one place apart; 0 once it is out. */
  readonly startedMs: number;
  /** The persistence ids it hosts; undefined until it has discovered them, empty once it is out. */
  readonly groups: readonly string[] | undefined;
}

/**
 * The members' table: every process start this node has heard of, in or out. Tables join: the greater incarnation wins, *out* wins a
 * tie. It only counts voices; data, replica ids and dots stay whatever it says.
 */
export class Members {
  readonly #members = new Map<ReplicaId, Member>();
  readonly #rules: Rules;
  #self: Member;
  #hash: string | undefined;
  #in: readonly Member[] | undefined;
  readonly #hosts = new Map<string, readonly Member[]>();

  constructor(self: Pick<Member, "replica" | "nodeName" | "startedMs">, rules: Rules) {
    this.#rules = rules;
    this.#self = { ...self, incarnation: 1, isOut: false, groups: undefined };
    this.#members.set(self.replica, this.#self);
  }

  get self(): Member {
    return this.#self;
  }

  all(): IterableIterator<Member> {
    return this.#members.values();
  }

  get(replica: ReplicaId): Member | undefined {
    return this.#members.get(replica);
  }

  isIn(replica: ReplicaId): boolean {
    return this.#members.get(replica)?.isOut === false;
  }

  /** Those whose voices count. */
  in(): readonly Member[] {
    return (this.#in ??= [...this.#members.values()].filter(({ isOut }) => !isOut));
  }

  /** Those in that host the group. */
  hosts(group: string): readonly Member[] {
    let hosts = this.#hosts.get(group);
    if (hosts === undefined) {
      hosts = this.in().filter(({ groups }) => groups?.includes(group) === true);
      this.#hosts.set(group, hosts);
    }
    return hosts;
  }

  /** One value for equal tables, whatever way they came about. */
  get hash(): string {
    return (this.#hash ??= tableHash(this.#members.values()));
  }

  /** Joins another table; what has changed. Whoever finds itself out here and is not leaving says that it is in. */
  join(table: Iterable<Member>): readonly Member[] {
    const changed: Member[] = [];
    for (const member of table) {
      const held = this.#members.get(member.replica);
      if (held !== undefined && !beats(member, held)) continue;
      if (member.replica === this.#self.replica) changed.push(this.#answer(member));
      else changed.push(this.#put(member));
    }
    return changed;
  }

  /** This process hosts these groups from now on: a new incarnation, if they differ. */
  host(groups: readonly string[]): boolean {
    const sorted = [...new Set(groups)].sort();
    if (JSON.stringify(sorted) === JSON.stringify(this.#self.groups)) return false;
    this.#say({ incarnation: this.#self.incarnation + 1, groups: sorted });
    return true;
  }

  /** This process goes, by its own word. */
  leave(): void {
    if (!this.#self.isOut) this.#say(out(this.#self));
  }

  /** Takes another's voice; true if it had one. Should it be alive, it answers by a new incarnation. */
  end(replica: ReplicaId): boolean {
    const member = this.#members.get(replica);
    if (member === undefined || member.isOut || replica === this.#self.replica) return false;
    this.#put(out(member));
    return true;
  }

  /**
   * Takes the voice of those who are gone while another process runs at their place, or was started there after them; who that
   * was. One place runs one process at a time.
   */
  endPredecessors(isGone: (replica: ReplicaId) => boolean): ReplicaId[] {
    if (!this.#rules.knowsSuccessors) return [];
    const members = this.in();
    const isHere = ({ replica }: Member) => replica === this.#self.replica || !isGone(replica);
    const follows = (next: Member, member: Member) =>
      next !== member && next.nodeName === member.nodeName && (next.startedMs > member.startedMs || isHere(next));
    const ended = members.filter((member) => !isHere(member) && members.some((next) => follows(next, member)));
    return ended.map(({ replica }) => replica).filter((replica) => this.end(replica));
  }

  /**
   * How many members, the asking one included, must have applied a change. `expect` is `mesh.expect`: of so many processes those
   * count that are not known to host other groups only.
   */
  needed(group: string, consistency: Consistency, expect: number): number {
    if (consistency === "local") return 1;
    const count = Math.max(this.hosts(group).length, this.#floor(group, expect));
    return consistency === "all" ? count : Math.floor(count / 2) + 1;
  }

  /** Of how many others a leaver waits to hear that they have all that it has; `stayers` host the group and do not leave. */
  neededToLeave(group: string, stayers: number, expect: number): number {
    const count = Math.max(stayers, this.#floor(group, expect) - 1);
    return count === 0 ? 0 : Math.floor(count / 2) + 1;
  }

  #floor(group: string, expect: number): number {
    if (!this.#rules.expects) return 0;
    const elsewhere = this.in().filter(({ groups }) => groups !== undefined && !groups.includes(group));
    return expect - elsewhere.length;
  }

  #answer(said: Member): Member {
    if (this.#self.isOut || (said.isOut && !this.#rules.refutes)) this.#say(said);
    else this.#say({ incarnation: said.incarnation + 1 });
    return this.#self;
  }

  #say(news: Partial<Member>): void {
    this.#self = { ...this.#self, ...news };
    this.#put(this.#self);
  }

  #put(member: Member): Member {
    const held = member.isOut ? out(member) : member;
    this.#members.set(member.replica, held);
    this.#hash = undefined;
    this.#in = undefined;
    this.#hosts.clear();
    return held;
  }
}

/** One value for equal tables. */
export function tableHash(table: Iterable<Member>): string {
  const lines = [...table].map((member) => JSON.stringify(plain(member))).sort();
  return createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 32);
}

function out({ replica, incarnation }: Member): Member {
  return { replica, incarnation, isOut: true, nodeName: "", startedMs: 0, groups: [] };
}

/** A total order among what may be said of one process, so that tables join to the same whatever the way. */
function beats(left: Member, right: Member): boolean {
  if (left.incarnation !== right.incarnation) return left.incarnation > right.incarnation;
  if (left.isOut !== right.isOut) return left.isOut;
  return !left.isOut && JSON.stringify(plain(left)) > JSON.stringify(plain(right));
}

function plain({ replica, incarnation, isOut, nodeName, startedMs, groups }: Member): readonly unknown[] {
  return isOut ? [replica, incarnation, true] : [replica, incarnation, false, nodeName, startedMs, groups ?? null];
}
