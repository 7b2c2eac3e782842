import type { Entry, Path, ReplicaId } from "./entry.ts";
import { compareDots } from "./entry.ts";
import type { Reading } from "./tree.ts";
import { defineType } from "./type.ts";

/** One row for each replica, written by its owner alone; the rows of members count. */
export const vote = defineType({
  kind: "vote",
  title: "Vote",
  below: "nothing",
  admits: (content) => content.type === "vote",
  mutate(draft, path, { selfVote }) {
    const own = draft.replica;
    for (const entry of [...draft.here(path)]) if (ownerOf(entry) === own) draft.drop(entry);
    draft.add(path, { type: "vote", vote: selfVote });
  },
  view(reading, path, seat) {
    const rows = rowsOf(reading, path);
    let votesFor = 0;
    for (const member of seat.members) if (voteIn(rows.get(member))) votesFor += 1;
    return { type: "vote", selfVote: voteIn(rows.get(seat.self)), votesFor, totalVoters: seat.members.size };
  },
  initial: ({ selfVote, votesFor, totalVoters }) => ({ type: "vote", selfVote, votesFor, totalVoters }),
  diff(believed, now) {
    const same =
      believed.selfVote === now.selfVote &&
      believed.votesFor === now.votesFor &&
      believed.totalVoters === now.totalVoters;
    return same ? undefined : { ...now };
  },
  /** A function's own vote moves its count by one; a function that was told nothing holds false, for 0, of 1. */
  believe(value, operation, by) {
    if (by === "proxy") return { ...operation };
    const { selfVote, votesFor, totalVoters } = value ?? { selfVote: false, votesFor: 0, totalVoters: 1 };
    const step = Number(operation.selfVote) - Number(selfVote);
    return { type: "vote", selfVote: operation.selfVote, votesFor: votesFor + step, totalVoters };
  },
  copy: (value) => ({ ...value }),
  describe: ({ selfVote, votesFor, totalVoters }) => `Vote(${selfVote}, ${votesFor} of ${totalVoters})`,
});

function rowsOf(reading: Reading, path: Path): Map<ReplicaId, Entry> {
  const rows = new Map<ReplicaId, Entry>();
  for (const entry of reading.here(path)) {
    const owner = ownerOf(entry);
    if (owner === undefined) continue;
    const held = rows.get(owner);
    if (held === undefined || compareDots(entry.dot, held.dot) > 0) rows.set(owner, entry);
  }
  return rows;
}

/** A row's owner is the replica that numbered it; a dot named after a message owns no row. */
function ownerOf({ dot, content }: Entry): ReplicaId | undefined {
  return content.type === "vote" && "replica" in dot ? dot.replica : undefined;
}

function voteIn(row: Entry | undefined): boolean {
  return row?.content.type === "vote" && row.content.vote;
}
