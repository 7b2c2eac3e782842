import type { Draft } from "./draft.ts";
import type { Path } from "./entry.ts";
import type { Touch } from "./touch.ts";
import type { Reading } from "./tree.ts";

/**
 * Each element gets a fresh dot in place of those seen, even if it was there: it was said again, and outlives a removal that did
 * not see that.
 */
export function addElements(draft: Draft, path: Path, added: readonly string[]): void {
  for (const element of added) {
    const place = [...path, element];
    draft.dropHere(place);
    draft.add(place, present);
  }
}

const present = { type: "element" } as const;

export interface SetDifference {
  readonly removed: readonly string[];
  readonly added: readonly string[];
}

/** Set against set. */
export function differenceOf(believed: ReadonlySet<string>, now: ReadonlySet<string>): SetDifference {
  return {
    removed: sorted([...believed].filter((element) => !now.has(element))),
    added: sorted([...now].filter((element) => !believed.has(element))),
  };
}

/** Set against table, for the touched elements alone. */
export function touchedDifference(
  believed: ReadonlySet<string>,
  reading: Reading,
  path: Path,
  touch: Touch,
): SetDifference {
  const removed: string[] = [];
  const added: string[] = [];
  for (const element of touch.steps()) {
    const lives = reading.count([...path, element]) > 0;
    if (lives !== believed.has(element)) (lives ? added : removed).push(element);
  }
  return { removed: sorted(removed), added: sorted(added) };
}

/** A fixed order, so that equal states are told in equal words. */
export function sorted(texts: Iterable<string>): string[] {
  return [...texts].sort();
}
