import type { ReplicaId } from "../../crdt/index.ts";
import type { Wait } from "./confirmations.ts";
import { Confirmations } from "./confirmations.ts";
import type { Consistency } from "./port.ts";
import type { Surroundings } from "./surroundings.ts";

interface Write extends Wait {
  readonly settle: (isConfirmed: boolean) => void;
}

/** The writes of one group that wait for others, with their time. */
export class Writes {
  readonly #group: string;
  readonly #around: Surroundings;
  readonly #confirmations = new Confirmations<Write>();
  #isOver = false;

  constructor(group: string, around: Surroundings) {
    this.#group = group;
    this.#around = around;
  }

  get waiting(): number {
    return this.#confirmations.size;
  }

  /** See `ReplicaGroup.confirm`. */
  confirm(number: number, consistency: Consistency, done: (isConfirmed: boolean) => void): () => void {
    const { options, telemetry, world } = this.#around;
    const isConfirmed = consistency === "local" || number <= this.#confirmedUpTo(consistency);
    const isFull = this.#confirmations.size >= options.waitsMax;
    if (!isConfirmed && isFull) telemetry.count("massa_limit_reached_total", { limit: "crdt.waits" });
    if (isConfirmed || isFull || this.#isOver) {
      done(isConfirmed);
      return () => undefined;
    }
    const cancelTimeout = world.clock.after(options.writeTimeoutMs, () => {
      this.#confirmations.remove(write);
      telemetry.count("massa_replication_unconfirmed_total");
      done(false);
    });
    const settle = (is: boolean) => {
      cancelTimeout();
      done(is);
    };
    const write: Write = { number, consistency, settle };
    this.#confirmations.add(write);
    return () => {
      cancelTimeout();
      this.#confirmations.remove(write);
    };
  }

  /** `by` has applied everything made here up to `number`. */
  acknowledged(by: ReplicaId, number: number): void {
    if (this.#confirmations.applied(by, number)) this.#settle();
  }

  /** Other voices count. */
  membersChanged(): void {
    this.#confirmations.retain((replica) => this.#around.members.isIn(replica));
    this.#settle();
  }

  stop(): void {
    this.#isOver = true;
    for (const { settle } of this.#confirmations.clear()) settle(false);
  }

  #settle(): void {
    if (this.#confirmations.size === 0) return;
    for (const consistency of ["majority", "all"] as const) {
      const upTo = this.#confirmedUpTo(consistency);
      for (const { settle } of this.#confirmations.take(consistency, upTo)) settle(true);
    }
  }

  #confirmedUpTo(consistency: Wait["consistency"]): number {
    const { members, replica } = this.#around;
    const others = members.hosts(this.#group).map((member) => member.replica);
    const needed = members.needed(this.#group, consistency, this.#around.expect(this.#group));
    return this.#confirmations.upTo(
      others.filter((other) => other !== replica),
      needed,
    );
  }
}
