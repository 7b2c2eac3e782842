import { addElements, differenceOf, sorted, touchedDifference } from "./elements.ts";
import type { SetDifference } from "./elements.ts";
import type { OperationOf } from "./operation.ts";
import { defineType } from "./type.ts";

/** A set whose elements can be removed; an element that is added while another replica removes it stays. */
export const orset = defineType({
  kind: "orset",
  title: "ORSet",
  below: "elements",
  admits: (content) => content.type === "element",
  mutate(draft, path, { cleared, removed, added }) {
    if (cleared) draft.dropUnder(path);
    for (const element of removed) draft.dropHere([...path, element]);
    addElements(draft, path, added);
    draft.settle(path);
  },
  view: (reading, path) => ({ type: "orset", elements: new Set(reading.steps(path)) }),
  initial: ({ elements }) => ({ type: "orset", cleared: false, removed: [], added: sorted(elements) }),
  diff: (believed, now) => told(differenceOf(believed.elements, now.elements), now.elements.size, () => now.elements),
  catchUp: (believed, reading, path, _, touch) =>
    told(touchedDifference(believed.elements, reading, path, touch), reading.stepCount(path), () =>
      reading.steps(path),
    ),
  believe(value = { type: "orset", elements: new Set() }, { cleared, removed, added }) {
    if (cleared) value.elements.clear();
    for (const element of removed) value.elements.delete(element);
    for (const element of added) value.elements.add(element);
    return value;
  },
  copy: ({ elements }) => ({ type: "orset", elements: new Set(elements) }),
  describe: ({ elements }) => `ORSet(${elements.size} elements)`,
});

function told(
  { removed, added }: SetDifference,
  size: number,
  all: () => Iterable<string>,
): OperationOf<"orset"> | undefined {
  if (removed.length + added.length === 0) return undefined;
  if (removed.length + added.length > size) return { type: "orset", cleared: true, removed: [], added: sorted(all()) };
  return { type: "orset", cleared: false, removed, added };
}
