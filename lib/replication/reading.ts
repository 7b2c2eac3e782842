import type { Clock, Dot, Repair, ReplicaId } from "../../crdt/index.ts";
import { gather, slices } from "../../crdt/index.ts";

/** One reading of a whole group for one asker: what it lacks, and the names of what it has and still lives. */
export interface Reading {
  readonly clock: Clock;
  /** Drops of dots that the reading's clock has not passed, by entity. */
  readonly kept: ReadonlyMap<string, readonly Dot[]>;
  /** By entity; one that is absent does not exist here. */
  readonly repairs: ReadonlyMap<string, Repair>;
}

/** A part of what a slice brings: some of one entity's repair. */
export interface Part {
  readonly entity: string;
  readonly repair: Repair;
}

/** What a slice weighs beside its repairs, per entity. */
const partBytes = 16;
const dotBytes = 40;
const stepBytes = 8;

/** Cuts a reading's repairs into slices of about `bytesMax`, each made only when it is wanted; at least one. */
export function* cutReading(reading: Reading, bytesMax: number): Generator<readonly Part[], void> {
  let parts: Part[] = [];
  let bytes = 0;
  for (const [entity, repair] of reading.repairs) {
    const all = weigh(repair) <= bytesMax ? [repair] : slices(repair, bytesMax);
    for (const slice of all) {
      const weight = weigh(slice) + partBytes + 2 * entity.length;
      if (bytes + weight > bytesMax && parts.length > 0) {
        yield parts;
        parts = [];
        bytes = 0;
      }
      parts.push({ entity, repair: slice });
      bytes += weight;
    }
  }
  yield parts;
}

/** What a repair takes when it is encoded, reckoned from above. */
export function weigh({ entries, kept }: Repair): number {
  let bytes = dotBytes * (kept.length + entries.length);
  for (const { path, content } of entries) {
    for (const step of path) bytes += stepBytes + 2 * step.length;
    if (content.type === "value") bytes += dotBytes + 2 * content.value.length;
    else if (content.type === "amount") bytes += dotBytes;
  }
  return bytes;
}

/** Puts a reading together again from the parts of all its slices. */
export function gatherReading(clock: Clock, kept: ReadonlyMap<string, readonly Dot[]>, parts: Iterable<Part>): Reading {
  const byEntity = new Map<string, Repair[]>();
  for (const { entity, repair } of parts) {
    const held = byEntity.get(entity);
    if (held === undefined) byEntity.set(entity, [repair]);
    else held.push(repair);
  }
  const repairs = new Map<string, Repair>();
  for (const [entity, pieces] of byEntity) repairs.set(entity, pieces.length === 1 ? pieces[0]! : gather(pieces));
  return { clock, kept, repairs };
}

/** The entries of `clock` that `asker` has not reached. */
export function lacking(clock: Clock, asker: Clock): Map<ReplicaId, number> {
  const lacked = new Map<ReplicaId, number>();
  for (const [replica, number] of clock) if (number > (asker.get(replica) ?? 0)) lacked.set(replica, number);
  return lacked;
}
