// `npm run conformance`: one line for each case, beginning with its number; exit code 1 when one is red.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { type ArenaOptions, openFunctionArena, openProxyArena } from "./arena.ts";
import { discovered } from "./discovered.ts";
import { documented, documentPath, type Judgement } from "./document.ts";
import type { Case, ProxyStage, StartStage } from "./stage.ts";
import { cases, judge } from "./suite.ts";

const usage = `usage: npm run conformance -- [--function HOST:PORT] [--proxy HOST:PORT] [--recorder PORT] [--only NUMBER]… [--docs]

Without addresses our own model function and our own proxy are judged. Another proxy must be started with the
recorder as its function (USER_FUNCTION_PORT=8090, or what --recorder says); it is waited for. --docs writes
docs/conformance.md from the run.`;

const { values } = parseArgs({
  options: {
    function: { type: "string" },
    proxy: { type: "string" },
    recorder: { type: "string" },
    only: { type: "string", multiple: true },
    docs: { type: "boolean" },
    help: { type: "boolean" },
  },
});

if (values.help) {
  console.log(usage);
} else {
  const judgements = await run();
  const count = (wanted: Judgement["result"]) => judgements.filter(({ result }) => result === wanted).length;
  console.log(`${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`);
  if (values.docs) writeFileSync(documentPath, documented(judgements));
  process.exitCode = count("failed") === 0 ? 0 : 1;
}

async function run(): Promise<Judgement[]> {
  const options: ArenaOptions = {
    ...(values.function !== undefined && { function: values.function }),
    ...(values.proxy !== undefined && { proxy: values.proxy, recorderPort: Number(values.recorder ?? 8090) }),
  };
  const chosen = cases.filter(({ number }) => !values.only || values.only.includes(number));
  const half = (wanted: Case["half"]) => chosen.filter((one) => one.half === wanted);
  const [model, proxied, started] = [half("model"), half("proxy"), half("start")];
  const judgements: Judgement[] = [];
  if (model.length > 0) {
    await using arena = await openFunctionArena(options);
    judgements.push(...(await judgeAll(model, arena.stage)));
  }
  if (proxied.length > 0) {
    await using arena = await openProxyArena(options);
    judgements.push(...(await judgeAll(proxied, arena.stage)));
  }
  if (started.length > 0 && values.proxy !== undefined) {
    for (const one of started)
      judgements.push(said({ one, result: "skipped", why: "another proxy is not started here" }));
  } else if (started.length > 0) {
    await using arena = await openFunctionArena(options);
    judgements.push(...(await judgeAll(started, arena.stage)));
  }
  return judgements;
}

/** A case whose services the function does not offer is left out, and said to be. */
async function judgeAll(chosen: readonly Case[], stage: StartStage | ProxyStage): Promise<Judgement[]> {
  const { entities } = await discovered(stage.function);
  const offered = new Set(entities.map(({ serviceName }) => serviceName));
  const judgements: Judgement[] = [];
  for (const one of chosen) {
    const missing = one.needs.find((name) => !offered.has(name));
    if (missing === undefined) judgements.push(said(await judged(one, stage)));
    else judgements.push(said({ one, result: "skipped", why: `the function offers no ${missing}` }));
  }
  return judgements;
}

async function judged(one: Case, stage: StartStage | ProxyStage): Promise<Judgement> {
  try {
    await judge(one, stage);
    return { one, result: "passed" };
  } catch (failure) {
    return { one, result: "failed", why: String(failure) };
  }
}

function said(judgement: Judgement): Judgement {
  const { number, title } = judgement.one;
  switch (judgement.result) {
    case "passed":
      console.log(`${number} ok: ${title}`);
      break;
    case "failed":
      console.log(`${number} FAILED: ${title}\n${judgement.why}`);
      break;
    case "skipped":
      console.log(`${number} skipped: ${judgement.why}`);
      break;
  }
  return judgement;
}
