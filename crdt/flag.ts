import { Refusal } from "./operation.ts";
import type { Path } from "./entry.ts";
import type { Reading } from "./tree.ts";
import { defineType } from "./type.ts";

/** Off until somebody switches it on. */
export const flag = defineType({
  kind: "flag",
  title: "Flag",
  below: "nothing",
  admits: (content) => content.type === "flag",
  mutate(draft, path, { value }) {
    if (!value && isOn(draft, path)) throw new Refusal("Cannot switch off already enabled flag");
    if (value) {
      draft.dropHere(path);
      draft.add(path, { type: "flag" });
    }
    draft.settle(path);
  },
  view: (reading, path) => ({ type: "flag", value: isOn(reading, path) }),
  initial: ({ value }) => ({ type: "flag", value }),
  diff(believed, now) {
    if (believed.value && !now.value) return "restart";
    return believed.value === now.value ? undefined : { type: "flag", value: true };
  },
  believe: (value, operation) => ({ type: "flag", value: operation.value || (value?.value ?? false) }),
  copy: (value) => ({ ...value }),
  describe: ({ value }) => `Flag(${value})`,
});

function isOn(reading: Reading, path: Path): boolean {
  for (const { content } of reading.here(path)) if (content.type === "flag") return true;
  return false;
}
