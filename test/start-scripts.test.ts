import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { temporaryFolder } from "./store-harness.ts";

/** How long a test waits for the end of a process. */
const withinMs = 10_000;
const scripts = join(import.meta.dirname, "../scripts");
/** Says its pid, and what it is ended by. */
const program = `
  process.once("SIGTERM", () => { console.log("SIGTERM"); process.exit(); });
  setInterval(() => undefined, 1_000);
  console.log(process.pid);
`;
/** What npm does: it runs a shell, and dies of SIGTERM without telling it. */
const npm = `
  const { spawn } = require("node:child_process");
  spawn("sh", ["-c", process.argv[1]], { stdio: "inherit", env: { ...process.env, npm_lifecycle_event: "npx" } });
`;

suite("the scripts that npm runs", { skip: !existsSync("/proc/self/stat") && "needs /proc" }, () => {
  test("node24.cjs ends what it runs when npm is killed", async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, "program.mjs");
    writeFileSync(file, program);
    await endsWithNpm(`"${process.execPath}" "${join(scripts, "node24.cjs")}" "${file}"; exit`);
  });

  test("massa.cjs ends when npx is killed", async () => {
    using folder = temporaryFolder();
    const massa = packageIn(folder.path);
    await endsWithNpm(`"${process.execPath}" "${massa}"; exit`);
    await endsWithNpm(`exec "${process.execPath}" "${massa}"`);
  });

  test("massa.cjs says on an old Node how it is run by a newer one", () => {
    using folder = temporaryFolder();
    const massa = packageIn(folder.path);
    const old = `data:text/javascript,Object.defineProperty(process,"versions",{value:{node:"20.1.0"}})`;
    const { status, stderr } = spawnSync(process.execPath, ["--import", old, massa, "call", "here:1"]);
    assert.equal(status, 1);
    assert.match(stderr.toString(), /^massa: Node 24 or newer is needed \(this is v[\d.]+\); type: (.+)\n$/);
    assert.ok(stderr.toString().endsWith(`type: npx -p node@24 node ${massa} call here:1\n`), stderr.toString());
  });
});

/** The command of a package whose program is that of this test; gives its path. */
function packageIn(folder: string): string {
  mkdirSync(join(folder, "dist"));
  writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);
  writeFileSync(join(folder, "dist/main.js"), program);
  cpSync(scripts, join(folder, "scripts"), { recursive: true });
  return join(folder, "scripts/massa.cjs");
}

async function endsWithNpm(command: string): Promise<void> {
  const parent = spawn(process.execPath, ["-e", npm, command], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface(parent.stdout)[Symbol.asyncIterator]();
  const pid = Number((await lines.next()).value);
  try {
    const gone = once(parent, "exit");
    parent.kill("SIGTERM");
    await gone;
    const late = sleep(withinMs, { value: "it runs on" }, { ref: false });
    assert.equal((await Promise.race([lines.next(), late])).value, "SIGTERM");
  } finally {
    if (existsSync(`/proc/${pid}`)) process.kill(pid, "SIGKILL");
  }
}
