import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type CrdtDelta, CrdtDeltaSchema } from "../../wire/gen/cloudstate/crdt_pb.ts";

/** What one case of a delta holds. */
type DeltaCase = NonNullable<CrdtDelta["delta"]["case"]>;
type DeltaOf<Case extends DeltaCase> = Extract<CrdtDelta["delta"], { case: Case }>["value"];
type DeltaInit = NonNullable<MessageInitShape<typeof CrdtDeltaSchema>["delta"]>;

/**
 * A CRDT as a user function sees it: a plain value that also keeps the net change of the command at hand.
 * A function reads and changes it; all but the reading and changing methods are for the one who runs the entity.
 */
export abstract class Crdt {
  #touched: (() => void) | undefined;

  /** The net change since the last commit, as the protocol says it; undefined when there is none. */
  abstract pending(): CrdtDelta | undefined;
  /** The change that makes an empty one of this type. */
  abstract nothing(): CrdtDelta;
  /** What was pending is told: from here on it belongs to the state. */
  abstract commit(): void;
  /** What was pending is undone. */
  abstract rollback(): void;
  /** A change that was made elsewhere. Throws a TypeError when it is one of another type. */
  abstract receive(delta: CrdtDelta): void;

  /** Calls `listener` at every change made here. A map listens to its values. */
  onTouch(listener: () => void): void {
    this.#touched = listener;
  }

  protected touch(): void {
    this.#touched?.();
  }
}

/** A type of CRDT, from which an entity or a map makes its values. */
export interface CrdtType<View extends Crdt> {
  create(): View;
}

/** Makes a delta message. */
export function deltaOf(delta: DeltaInit): CrdtDelta {
  return create(CrdtDeltaSchema, { delta });
}

/** The content of a delta that must be of one type. */
export function contentOf<Case extends DeltaCase>(delta: CrdtDelta, wanted: Case): DeltaOf<Case> {
  if (delta.delta.case !== wanted) {
    throw new TypeError(`a ${delta.delta.case ?? "delta without content"} came for a ${wanted}`);
  }
  return delta.delta.value as DeltaOf<Case>;
}
