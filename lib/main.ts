import { once } from "node:events";
import { setFlagsFromString } from "node:v8";
import { exitCodes, runCli } from "./cli/cli.ts";
import type { ParsedConfig } from "./core/config.ts";
import { createLogger } from "./core/pino.ts";
import { openProxy } from "./proxy.ts";
import { version } from "./version.ts";

// A young generation that may not grow costs an open stream half the memory, and no CPU that could be measured (docs/benchmarks.md).
setFlagsFromString("--semi-space-growth-factor=1");

process.exit(await runCli(process.argv.slice(2), { start }));

async function start({ config, notes }: ParsedConfig): Promise<number> {
  const log = createLogger(config.log.level, { node: config.node.name });
  log.info({ version, runtime: process.version }, "massa starts");
  for (const note of notes) log.info({ note }, "configuration note");
  const told = Promise.race(["SIGINT", "SIGTERM"].map((signal) => once(process, signal)));
  const proxy = await openProxy({ config, log });
  const failure = await Promise.race([proxy.failed, told.then(() => undefined)]);
  if (failure) log.error({ reason: failure.message }, "massa cannot go on");
  else log.info({}, "massa ends");
  await proxy[Symbol.asyncDispose]();
  return failure ? exitCodes.failed : exitCodes.done;
}
