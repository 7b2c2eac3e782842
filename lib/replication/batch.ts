import type { NumberedChange, ReplicaId } from "../../crdt/index.ts";
import { decodeChanges, encodeChanges } from "../../crdt/index.ts";

/** Changes of one origin in one piece: a run of numbers from `from` to `to`, without a hole. */
export interface Batch {
  readonly origin: ReplicaId;
  readonly from: number;
  readonly to: number;
  readonly changes: readonly NumberedChange[];
  /** The changes as they travel. */
  readonly bytes: Uint8Array;
}

/** Reads a batch; the bytes are copied. Throws `MalformedBytes`, or a `RangeError` for an empty one or one with a hole. */
export function decodeBatch(origin: ReplicaId, encoded: Uint8Array): Batch {
  const bytes = encoded.slice();
  const changes = decodeChanges(bytes);
  let next = changes[0]?.from;
  if (next === undefined) throw new RangeError("a batch without changes");
  const from = next;
  for (const change of changes) {
    if (change.from !== next) throw new RangeError(`a batch with a hole: ${change.from} after ${next - 1}`);
    for (const { dot } of change.adds) {
      if (!("replica" in dot) || dot.replica !== origin) throw new RangeError("a batch with an add of another origin");
    }
    next = change.to + 1;
  }
  return { origin, from, to: next - 1, changes, bytes };
}

/** Cuts changes into batches that encode to at most `bytesMax` each; one change that is larger goes alone. */
export function cutBatches(origin: ReplicaId, changes: readonly NumberedChange[], bytesMax: number): Batch[] {
  if (changes.length === 0) return [];
  const bytes = encodeChanges(changes);
  if (bytes.length <= bytesMax || changes.length === 1) {
    return [{ origin, from: changes[0]!.from, to: changes.at(-1)!.to, changes, bytes }];
  }
  const half = changes.length >> 1;
  return [
    ...cutBatches(origin, changes.slice(0, half), bytesMax),
    ...cutBatches(origin, changes.slice(half), bytesMax),
  ];
}
