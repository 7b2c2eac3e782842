import assert from "node:assert/strict";

/**
 * A decoded message as a tree in which absent and empty differ: absent sub-messages have no key, empty ones an empty object.
 * Unknown fields stay in it. Elements of CRDT deltas are sorted, because their order is free.
 */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const { $typeName } = value as { $typeName?: string };
  const delta = $typeName?.startsWith("cloudstate.crdt.") && $typeName.endsWith("Delta");
  const tree: Record<string, unknown> = {};
  for (const [name, part] of Object.entries(value)) {
    if (part === undefined) continue;
    const branch = plain(part);
    tree[name] = delta && Array.isArray(branch) ? branch.sort(byText) : branch;
  }
  return tree;
}

/** Throws with both trees when they differ in anything. */
export function same(actual: unknown, wanted: unknown, what: string): void {
  assert.deepStrictEqual(plain(actual), plain(wanted), what);
}

function byText(left: unknown, right: unknown): number {
  return text(left) < text(right) ? -1 : 1;
}

function text(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? part.toString() : part));
}
