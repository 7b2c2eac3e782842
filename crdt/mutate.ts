import { catalogue } from "./catalogue.ts";
import { Draft } from "./draft.ts";
import type { Change, Dot, Dots } from "./entry.ts";
import type { Operation } from "./operation.ts";
import { Refusal } from "./operation.ts";
import { incompatible } from "./ormap.ts";
import type { Reading } from "./tree.ts";
import { shownKind } from "./type.ts";

/** The drops and adds of one change, before it has an entity and a run of numbers. */
export type Effect = Pick<Change, "drops" | "adds">;

/**
 * Turns what a function did into drops and adds, judged against what it knew, which stays as it is. Each add takes a number from
 * `dots`, none if the operation is refused. `undefined` is a delta without content. Throws a `Refusal` with the protocol's text.
 */
export function mutate(operation: Operation | undefined, known: Reading, dots: Dots, nowMs: number): Effect {
  if (operation === undefined) throw new Refusal("Empty delta");
  const kind = shownKind(catalogue, known, []);
  if (kind !== undefined && kind !== operation.type) throw incompatible(catalogue, known, [], kind, operation);
  const draft = new Draft(known, dots, nowMs);
  catalogue.of(operation.type).mutate(draft, [operation.type], operation);
  return draft.finish();
}

/** Deletes the entity as the function knew it. What it had not seen makes the entity again. */
export function dropAll(known: Reading): Effect {
  const drops: Dot[] = [];
  for (const { dot } of known.under([])) drops.push(dot);
  return { drops, adds: [] };
}
