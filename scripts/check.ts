// Types, lint and format: what `npm run check` runs, one after the other, stopping at none.
import { spawnSync } from "node:child_process";

const steps = [
  ["types", "node_modules/typescript/bin/tsc", "--noEmit"],
  [
    "lint",
    "node_modules/eslint/bin/eslint.js",
    ".",
    "--max-warnings=0",
    "--cache",
    "--cache-location",
    ".cache/eslint",
  ],
  ["format", "node_modules/prettier/bin/prettier.cjs", "--check", "--log-level=warn", "."],
] as const;

let failed = 0;
for (const [name, ...command] of steps) {
  const { status } = spawnSync(process.execPath, ["--max-old-space-size=4096", ...command], { stdio: "inherit" });
  if (status !== 0) {
    failed += 1;
    console.error(`check: ${name} failed`);
  }
}
process.exit(failed === 0 ? 0 : 1);
