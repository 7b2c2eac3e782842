// `npm run conformance`: one line for each case of spec/tck, beginning with its number; exit code 1 when one is red.
import { parseArgs } from "node:util";
import { type ArenaOptions, openFunctionArena, openProxyArena } from "./arena.ts";
import { discovered } from "./discovered.ts";
import type { Case, ProxyStage, Stage } from "./stage.ts";
import { cases, judge } from "./suite.ts";

const usage = `usage: npm run conformance -- [--function HOST:PORT] [--proxy HOST:PORT] [--recorder PORT] [--only NUMBER]…

Without addresses our own model function and our own proxy are judged. Another proxy must be started with the
recorder as its function (USER_FUNCTION_PORT=8090, or what --recorder says); it is waited for.`;

const { values } = parseArgs({
  options: {
    function: { type: "string" },
    proxy: { type: "string" },
    recorder: { type: "string" },
    only: { type: "string", multiple: true },
    help: { type: "boolean" },
  },
});

if (values.help) {
  console.log(usage);
} else {
  const failed = await run();
  process.exitCode = failed === 0 ? 0 : 1;
}

async function run(): Promise<number> {
  const options: ArenaOptions = {
    ...(values.function !== undefined && { function: values.function }),
    ...(values.proxy !== undefined && { proxy: values.proxy, recorderPort: Number(values.recorder ?? 8090) }),
  };
  const chosen = cases.filter(({ number }) => !values.only || values.only.includes(number));
  const model = chosen.filter(({ half }) => half === "model");
  const proxied = chosen.filter(({ half }) => half === "proxy");
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  if (model.length > 0) {
    await using arena = await openFunctionArena(options);
    await judgeAll(model, arena.stage, tally);
  }
  if (proxied.length > 0) {
    await using arena = await openProxyArena(options);
    await judgeAll(proxied, arena.stage, tally);
  }
  console.log(`${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
  return tally.failed;
}

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/** A case whose services the function does not offer is left out, and said to be. */
async function judgeAll(chosen: readonly Case[], stage: Stage | ProxyStage, tally: Tally): Promise<void> {
  const { entities } = await discovered(stage.function);
  const offers = (type: string) =>
    entities.some(({ serviceName }) => serviceName.startsWith(`cloudstate.tck.model.${type}.`));
  for (const one of chosen) {
    const needed = one.number.startsWith("A") ? "action" : "crdt";
    if (one.number !== "P2" && !offers(needed)) {
      console.log(`${one.number} skipped: the function offers no service of cloudstate.tck.model.${needed}`);
      tally.skipped += 1;
      continue;
    }
    try {
      await judge(one, stage);
      tally.passed += 1;
      console.log(`${one.number} ok: ${one.title}`);
    } catch (failure) {
      tally.failed += 1;
      console.log(`${one.number} FAILED: ${one.title}\n${String(failure)}`);
    }
  }
}
