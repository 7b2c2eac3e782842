import { addElements, differenceOf, sorted, touchedDifference } from "./elements.ts";
import type { SetDifference } from "./elements.ts";
import type { OperationOf } from "./operation.ts";
import { defineType } from "./type.ts";

/** A set that only grows. */
export const gset = defineType({
  kind: "gset",
  title: "GSet",
  below: "elements",
  admits: (content) => content.type === "element",
  mutate(draft, path, { added }) {
    addElements(draft, path, added);
    draft.settle(path);
  },
  view: (reading, path) => ({ type: "gset", elements: new Set(reading.steps(path)) }),
  initial: ({ elements }) => ({ type: "gset", added: sorted(elements) }),
  diff: (believed, now) => told(differenceOf(believed.elements, now.elements)),
  catchUp: (believed, reading, path, _, touch) => told(touchedDifference(believed.elements, reading, path, touch)),
  believe(value = { type: "gset", elements: new Set() }, { added }) {
    for (const element of added) value.elements.add(element);
    return value;
  },
  copy: ({ elements }) => ({ type: "gset", elements: new Set(elements) }),
  describe: ({ elements }) => `GSet(${elements.size} elements)`,
});

function told({ removed, added }: SetDifference): OperationOf<"gset"> | "restart" | undefined {
  if (removed.length > 0) return "restart";
  return added.length === 0 ? undefined : { type: "gset", added };
}
