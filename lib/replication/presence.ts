import type { ReplicaId } from "../../crdt/index.ts";
import { FailureDetector } from "../mesh/failure-detector.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Members } from "./members.ts";
import type { Rules } from "./rules.ts";

/** When silence means what. */
export interface PresenceTimes {
  /** No heartbeat for so long is silence (`mesh.silentAfter`). */
  readonly silentAfterMs: number;
  /** Silence of this length, reported by more than half, takes a member's voice (`mesh.forgetAfter`). */
  readonly forgetAfterMs: number;
}

/** Who is heard of, who leaves, and what others report of that. */
export class Presence {
  readonly #times: PresenceTimes;
  readonly #rules: Rules;
  readonly #detector: FailureDetector;
  readonly #latest = new Map<ReplicaId, Heartbeat>();

  constructor(times: PresenceTimes, rules: Rules) {
    this.#times = times;
    this.#rules = rules;
    this.#detector = new FailureDetector({
      suspectAfterMs: times.silentAfterMs / 2,
      silentAfterMs: times.silentAfterMs,
    });
  }

  /** A member was heard of for the first time: its silence begins now. */
  learned(replica: ReplicaId, nowMs: number): void {
    if (this.#detector.silenceMs(replica, nowMs) === Infinity) this.#detector.heard(replica, nowMs);
  }

  /** A heartbeat; the one before it, `"late"` if it is older than that. */
  heard(beat: Heartbeat, nowMs: number): Heartbeat | "late" | undefined {
    const before = this.#latest.get(beat.replica);
    if (before !== undefined && before.number >= beat.number) return "late";
    this.#latest.set(beat.replica, beat);
    this.#detector.heard(beat.replica, nowMs);
    return before;
  }

  judge(nowMs: number): void {
    this.#detector.judge(nowMs);
  }

  isSilent(replica: ReplicaId): boolean {
    return this.#detector.health(replica) === "silent";
  }

  /** Those known to be leaving that are heard of. */
  leavers(): ReplicaId[] {
    return [...this.#latest.values()]
      .filter(({ isLeaving, replica }) => isLeaving && !this.isSilent(replica))
      .map(({ replica }) => replica);
  }

  isLeaving(replica: ReplicaId): boolean {
    return this.#latest.get(replica)?.isLeaving === true;
  }

  /** Members that this process has not heard of for `forgetAfter`: its report. */
  silent(members: Members, nowMs: number): ReplicaId[] {
    const others = members.in().filter(({ replica }) => replica !== members.self.replica);
    return others
      .map(({ replica }) => replica)
      .filter((replica) => this.#detector.silenceMs(replica, nowMs) >= this.#times.forgetAfterMs);
  }

  /** Those whose voice ends: reported by more than half of all that are in, the silent ones counted, who are in touch. */
  forgotten(members: Members, nowMs: number): ReplicaId[] {
    const all = members.in();
    const others = all.filter(({ replica }) => replica !== members.self.replica);
    const inTouch = others.filter(({ replica }) => !this.isSilent(replica));
    return this.silent(members, nowMs).filter((silent) => {
      const reports = inTouch.filter(({ replica }) => this.#latest.get(replica)?.silent.includes(silent) === true);
      return !this.#rules.asksForSilence || 2 * (reports.length + 1) > all.length;
    });
  }

  /** Nothing is expected of this one any more. */
  forget(replica: ReplicaId): void {
    this.#detector.forget(replica);
    this.#latest.delete(replica);
  }
}
