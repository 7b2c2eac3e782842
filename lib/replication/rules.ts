/**
 * What keeps replicas right, each rule by the naive one it stands against (`false`). All are true in a proxy; tests switch one off
 * to see that the simulated world notices.
 */
export interface Rules {
  /** An origin's changes are applied strictly in order; else what arrives is applied, and the clock takes the highest number. */
  readonly inSequence: boolean;
  /** A change without adds takes a number; else it is known by nothing. */
  readonly numbersDrops: boolean;
  /** A drop of what was not seen yet is kept until the clock passes it; else it is forgotten. */
  readonly keepsDrops: boolean;
  /** A reading brings the kept drops of its side along. */
  readonly readsKept: boolean;
  /** What is unsent leaves before a reading is made; else one dot is read with one amount and sent with another. */
  readonly flushesFirst: boolean;
  /** All slices are joined at once; else each as it comes, with the clock of the whole. */
  readonly gathers: boolean;
  /** Slices of another reading, or for an earlier question, are refused. */
  readonly tellsReadings: boolean;
  /** A reading brings the clock of its moment; else that of the moment when its last slice is sent. */
  readonly clockOfReading: boolean;
  /** What is lacking is fetched from anybody who has it; else from its origin alone. */
  readonly asksAnybody: boolean;
  /** A peer acknowledges what it has applied; else what it has received. */
  readonly acknowledgesApplied: boolean;
  /** `mesh.expect` is the floor of every count; else only known members are counted. */
  readonly expects: boolean;
  /** A member that ended is out once a process at the same place is there and it is silent. */
  readonly knowsSuccessors: boolean;
  /** Silence alone puts nobody out: more than half of the members must report it. */
  readonly asksForSilence: boolean;
  /** Who is alive and finds itself out says so. */
  readonly refutes: boolean;
  /** A leaver counts heartbeats that answer its wish only. */
  readonly wantsFreshHeartbeats: boolean;
  /** A leaver counts only those who stay. */
  readonly countsStayers: boolean;
}

export const rightRules: Rules = {
  inSequence: true,
  numbersDrops: true,
  keepsDrops: true,
  readsKept: true,
  flushesFirst: true,
  gathers: true,
  tellsReadings: true,
  clockOfReading: true,
  asksAnybody: true,
  acknowledgesApplied: true,
  expects: true,
  knowsSuccessors: true,
  asksForSilence: true,
  refutes: true,
  wantsFreshHeartbeats: true,
  countsStayers: true,
};
