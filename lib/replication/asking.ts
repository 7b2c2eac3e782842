import type { Clock, ReplicaId } from "../../crdt/index.ts";
import { Gathering } from "./gathering.ts";
import type { Rules } from "./rules.ts";

/** What another replica is known to hold beyond this one. */
interface Claim {
  /** Origin → number, where it is ahead for certain. */
  readonly ahead: Map<ReplicaId, number>;
  /** It may be ahead in what heartbeats only say by a hash. */
  differs: boolean;
}

/** One question to one peer. */
interface Question {
  readonly id: number;
  readonly peer: ReplicaId;
  readonly gathering: Gathering;
  atMs: number;
  bytes: number;
}

/**
 * Whom to ask for what is lacking: what others have claimed to hold, and the one question that is out. Origins come first, then
 * anybody who has it, in turn, until the clock has come up to all claims.
 */
export class Asking {
  readonly #rules: Rules;
  readonly #claims = new Map<ReplicaId, Claim>();
  #question: Question | undefined;
  #id = 0;
  #turn = 0;

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  get question(): Question | undefined {
    return this.#question;
  }

  /** `holder` has all that `ahead` says; `differs` replaces what was known of its rest. */
  claim(holder: ReplicaId, ahead: Iterable<readonly [ReplicaId, number]>, differs?: boolean): void {
    const claim = this.#claims.get(holder) ?? { ahead: new Map<ReplicaId, number>(), differs: false };
    for (const [origin, number] of ahead) {
      claim.ahead.set(origin, Math.max(number, claim.ahead.get(origin) ?? 0));
    }
    if (differs !== undefined) claim.differs = differs;
    this.#claims.set(holder, claim);
  }

  /** Whether anybody claims to hold more than `clock`. Claims that have been met go. */
  isBehind(clock: Clock): boolean {
    for (const [holder, claim] of this.#claims) {
      for (const [origin, number] of claim.ahead) {
        if (number <= (clock.get(origin) ?? 0)) claim.ahead.delete(origin);
      }
      if (claim.ahead.size === 0 && !claim.differs) this.#claims.delete(holder);
    }
    return this.#claims.size > 0;
  }

  /** Whom to ask next of those with a link, while no question is out. */
  choose(clock: Clock, linked: readonly ReplicaId[]): ReplicaId | undefined {
    if (this.#question !== undefined || !this.isBehind(clock)) return undefined;
    const lacking = new Set<ReplicaId>();
    for (const { ahead } of this.#claims.values()) for (const origin of ahead.keys()) lacking.add(origin);
    const holders = linked.filter((replica) => this.#claims.has(replica));
    const origins = holders.filter((replica) => lacking.has(replica));
    const others = this.#rules.asksAnybody ? holders.filter((replica) => !lacking.has(replica)) : [];
    const order = [...origins, ...others];
    return order[this.#turn % order.length];
  }

  begin(peer: ReplicaId, nowMs: number): Question {
    this.#id += 1;
    return (this.#question = { id: this.#id, peer, gathering: new Gathering(this.#rules), atMs: nowMs, bytes: 0 });
  }

  /** Whether something from `peer` answers the question that is out. */
  answers(peer: ReplicaId, id: number): boolean {
    if (this.#question === undefined) return false;
    return !this.#rules.tellsReadings || (this.#question.id === id && this.#question.peer === peer);
  }

  /** The question is over; after a vain one somebody else is asked. */
  end(wasOfUse: boolean): void {
    this.#question = undefined;
    this.#turn = wasOfUse ? 0 : this.#turn + 1;
  }

  /** Nothing can be had from this replica any more. */
  forget(replica: ReplicaId): void {
    this.#claims.delete(replica);
  }
}
