import type { Dot, Entry, Path } from "./entry.ts";
import { compareDots } from "./entry.ts";
import type { OperationOf } from "./operation.ts";
import type { Reading } from "./tree.ts";
import { defineType } from "./type.ts";

interface Write {
  readonly entry: Entry;
  readonly dot: Dot;
  readonly stamp: bigint;
  readonly value: string;
}

/** One value; of concurrent writes the last one shows, all stay until a write has seen them. */
export const lwwregister = defineType({
  kind: "lwwregister",
  title: "LWWRegister",
  below: "nothing",
  admits: (content) => content.type === "value",
  /** Drops what it saw except a value that beats it, and always adds its own: a loser must be there when the winner is removed. */
  mutate(draft, path, operation) {
    const winner = winnerOf(draft, path);
    const stamp = stampOf(operation, winner?.stamp ?? 0n, draft.nowMs);
    const kept = winner !== undefined && beats(winner, { dot: draft.upcoming, stamp }) ? winner.entry : undefined;
    for (const entry of [...draft.here(path)]) if (entry !== kept) draft.drop(entry);
    draft.add(path, { type: "value", stamp, value: operation.value });
  },
  view: (reading, path) => ({ type: "lwwregister", value: winnerOf(reading, path)?.value ?? emptyValue }),
  initial: ({ value }) => ({ type: "lwwregister", value, clock: "default", customClock: 0n }),
  diff(believed, now) {
    if (now.value === believed.value) return undefined;
    return { type: "lwwregister", value: now.value, clock: "default", customClock: 0n };
  },
  believe: (_, { value }) => ({ type: "lwwregister", value }),
  copy: (value) => ({ ...value }),
  describe: ({ value }) => `LWWRegister(${value.length} characters)`,
});

/** `Any{"", empty}`, which stands for an absent value. */
const emptyValue = "0::";

function winnerOf(reading: Reading, path: Path): Write | undefined {
  let winner: Write | undefined;
  for (const entry of reading.here(path)) {
    if (entry.content.type !== "value") continue;
    const write = { entry, dot: entry.dot, stamp: entry.content.stamp, value: entry.content.value };
    if (winner === undefined || beats(write, winner)) winner = write;
  }
  return winner;
}

/** The later stamp, then the lower replica id, then the later number. */
function beats(left: Pick<Write, "dot" | "stamp">, right: Pick<Write, "dot" | "stamp">): boolean {
  if (left.stamp !== right.stamp) return left.stamp > right.stamp;
  const sameOrigin =
    "replica" in left.dot
      ? "replica" in right.dot && left.dot.replica === right.dot.replica
      : !("replica" in right.dot) && left.dot.source === right.dot.source;
  const order = compareDots(left.dot, right.dot);
  return sameOrigin ? order > 0 : order < 0;
}

function stampOf(operation: OperationOf<"lwwregister">, current: bigint, nowMs: number): bigint {
  const now = BigInt(Math.trunc(nowMs));
  switch (operation.clock) {
    case "default":
      return current + 1n > now ? current + 1n : now;
    case "reverse":
      return current - 1n < -now ? current - 1n : -now;
    case "custom":
      return operation.customClock;
    case "custom-auto-increment":
      return operation.customClock > current ? operation.customClock : current + 1n;
  }
}
