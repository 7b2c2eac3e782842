// `npm run bench`: what the built proxy costs, beside a bare relay and direct calls, in one run on one machine.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Figure, table } from "./figures.ts";
import { entityFigures } from "./entities.ts";
import { activationFigures, durableFigures, memoryFigures } from "./event-sourced.ts";
import { jsonFigures } from "./json.ts";
import { linkFigures } from "./link.ts";
import { spreadFigures, startFigures } from "./mesh.ts";
import { passivationFigures } from "./passivation.ts";
import { streamFigures } from "./streams.ts";

const usage = `usage: npm run bench -- [--only PREFIX] [--json FILE] [--seconds N] [--rounds N]

dist/ is built, and measured: the figures whose ids begin with PREFIX, or all. Each load lasts so many seconds (2) and is
repeated so often (3). --json writes the figures to a file, too.`;

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    json: { type: "string" },
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "3" },
    help: { type: "boolean" },
  },
});
if (flags.help) {
  console.log(usage);
  process.exit();
}
const effort = { seconds: Number(flags.seconds), rounds: Number(flags.rounds) };
const isAsked = (id: string) => id.startsWith(flags.only);
/** Figures with which others are compared come with them. */
const standsBeside = (id: string) => id.startsWith("relay.") || id.startsWith("es.disk_") || id === "passivate.per_s";
/** Each part with the ids that it measures, or their beginnings. */
const parts: readonly (readonly [ids: readonly string[], run: () => Promise<Figure[]>])[] = [
  [["action.", "relay.action_"], () => linkFigures("action", effort)],
  [["entity.", "relay.entity_"], () => linkFigures("entity", effort)],
  [["increments.", "visible3."], () => spreadFigures(effort.seconds)],
  [["start.ready_ms", "idle.rss_mb"], () => startFigures(isAsked)],
  [["stream."], streamFigures],
  [["es.durable_per_s", "es.disk_fdatasync_per_s", "es.single_per_s"], () => durableFigures(effort)],
  [["es.memory_cpu_us"], () => memoryFigures(effort)],
  [["es.activate_ms"], () => activationFigures(effort.rounds)],
  [["json."], () => jsonFigures(effort)],
  [["entities.kb"], entityFigures],
  [["passivate."], () => passivationFigures(effort.rounds)],
];
const chosen = parts.filter(([ids]) => ids.some((id) => isAsked(id) || flags.only.startsWith(id)));
if (chosen.length === 0) {
  console.error(
    `no figure's id begins with "${flags.only}"; the beginnings are ${parts.flatMap(([ids]) => ids).join(" ")}`,
  );
  process.exit(2);
}

const root = join(import.meta.dirname, "..");
// Always: what was built of other sources measures them.
const { status } = spawnSync(process.execPath, ["scripts/build.ts"], { cwd: root, stdio: "inherit" });
if (status !== 0) process.exit(1);
console.error(`${cpus().length} × ${cpus()[0]?.model ?? "unknown"}, Node ${process.version}`);
process.once("SIGINT", () => process.exit(130)); // so that what is cleared at the exit is
const figures: Figure[] = [];
for (const [ids, run] of chosen) {
  console.error(`measuring ${ids.join(", ")} …`);
  figures.push(...(await run()).filter(({ id }) => isAsked(id) || standsBeside(id)));
}
console.log(table(figures));
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(figures, undefined, 2)}\n`);
