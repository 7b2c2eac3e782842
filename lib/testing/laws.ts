import assert from "node:assert/strict";

/** A type whose states are joined, and told apart. */
export interface Joined<State> {
  /** The least state that knows all that both know. Must leave its arguments as they are. */
  readonly join: (left: State, right: State) => State;
  /** Throws when two states differ; deep equality unless it is given. */
  readonly same?: (left: State, right: State) => void;
}

/** A law does not hold; `cause` says how the two sides differ. */
export class BrokenLaw extends Error {
  override readonly name = "BrokenLaw";
}

/**
 * Checks the laws that make replicas converge (Shapiro et al., *Conflict-free replicated data types*, 2011) on each three of the
 * states: join is commutative, associative and idempotent. Throws `BrokenLaw` for the first that does not hold. Best fed by
 * a property test that makes the states.
 */
export function checkLaws<State>(
  { join, same = (left, right) => assert.deepEqual(left, right) }: Joined<State>,
  states: readonly State[],
): void {
  const law = (title: string, left: State, right: State) => {
    try {
      same(left, right);
    } catch (difference) {
      throw new BrokenLaw(`join is not ${title}`, { cause: difference });
    }
  };
  for (const x of states) {
    law("idempotent", join(x, x), x);
    for (const y of states) {
      law("commutative", join(x, y), join(y, x));
      for (const z of states) law("associative", join(x, join(y, z)), join(join(x, y), z));
    }
  }
}
