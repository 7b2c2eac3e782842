import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "./fuzz/run.ts";
import { weaponNames } from "./fuzz/weapon.ts";

// `npm run fuzz` does it for longer, with another seed each time.
test("random and spoilt input hurts nobody else: a slice of eight seconds", async () => {
  const said: string[] = [];
  const { findings, shots, rounds } = await fuzz({ seconds: 8, seed: 10, say: (line) => said.push(line) });
  assert.equal(findings.length, 0, [...findings, ...said].join("\n"));
  for (const weapon of weaponNames) assert.ok(shots[weapon]! > 0, `${weapon} fired nothing`);
  assert.ok(rounds > 0, "no right call was made");
});
