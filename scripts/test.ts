// `npm test`: types, lint, format, generated code and docs, then every test. With arguments, only the tests of those files.
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const node = ["--conditions=massa-source", "--disable-warning=ExperimentalWarning"];
const named = process.argv.slice(2);
const files =
  named.length > 0 ? named : globSync(["test/**/*.test.ts", "property-tests/*.test.ts"], { cwd: root }).sort();
const judges = [
  ["check", "scripts/check.ts"],
  ["generated code", "scripts/generate.ts", "--check"],
  ["docs", "scripts/docs.ts", "--check"],
];
const tests = ["tests", "--test", "--test-concurrency=2", "--test-timeout=60000", ...files];

const failed: string[] = [];
for (const [name, ...command] of named.length > 0 ? [tests] : [...judges, tests]) {
  const { status, error } = spawnSync(process.execPath, [...node, ...command], { stdio: "inherit", cwd: root });
  if (error) throw error;
  if (status !== 0) failed.push(name!);
}
if (failed.length > 0) console.error(`test: failed: ${failed.join(", ")}`);
process.exit(failed.length === 0 ? 0 : 1);
