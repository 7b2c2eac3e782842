import type { CrdtDelta } from "../../wire/gen/cloudstate/crdt_pb.ts";
import { contentOf, Crdt, type CrdtType, deltaOf } from "./crdt.ts";

/** One yes or no of each node of the cluster. */
export class Vote extends Crdt {
  #selfVote = false;
  #selfVoteBefore = false;
  #votesFor = 0;
  #totalVoters = 1;

  /** What this node votes. */
  get selfVote(): boolean {
    return this.#selfVote;
  }

  /** Nodes that vote yes, this one included. */
  get votesFor(): number {
    return this.#votesFor;
  }

  /** Nodes that could vote, this one included. */
  get totalVoters(): number {
    return this.#totalVoters;
  }

  vote(selfVote: boolean): void {
    if (selfVote === this.#selfVote) return;
    this.#selfVote = selfVote;
    this.#votesFor += selfVote ? 1 : -1;
    this.touch();
  }

  override pending(): CrdtDelta | undefined {
    if (this.#selfVote === this.#selfVoteBefore) return undefined;
    return deltaOf({ case: "vote", value: { selfVote: this.#selfVote } });
  }

  override nothing(): CrdtDelta {
    return deltaOf({ case: "vote", value: {} });
  }

  override commit(): void {
    this.#selfVoteBefore = this.#selfVote;
  }

  override rollback(): void {
    this.vote(this.#selfVoteBefore);
  }

  override receive(change: CrdtDelta): void {
    const { selfVote, votesFor, totalVoters } = contentOf(change, "vote");
    this.#selfVote = selfVote;
    this.#selfVoteBefore = selfVote;
    this.#votesFor = votesFor;
    this.#totalVoters = totalVoters;
  }
}

/** The type of votes. */
export const vote: CrdtType<Vote> = { create: () => new Vote() };
