/**
 * Writes the tables of docs/ that come from the schema of the configuration and the list of metrics, between their markers. With `--check` nothing is
 * written; it fails when a table is not current.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Setting, settings } from "../lib/core/config.ts";
import { metricInfos } from "../lib/core/telemetry.ts";

const root = join(import.meta.dirname, "..");
const tables = [
  { file: "docs/configuration.md", lines: configurationTable() },
  { file: "docs/limits.md", lines: limitsTable() },
  { file: "docs/metrics.md", lines: metricsTable() },
];
const stale = tables.filter(({ file, lines }) => {
  const text = readFileSync(join(root, file), "utf8");
  const current = withTable(file, text, lines);
  if (current !== text && !process.argv.includes("--check")) writeFileSync(join(root, file), current);
  return current !== text;
});
if (process.argv.includes("--check") && stale.length > 0) {
  for (const { file } of stale) console.error(`docs: the table in ${file} is not current`);
  console.error("docs: run `node scripts/node24.cjs scripts/docs.ts`");
  process.exit(1);
}

function withTable(file: string, text: string, lines: readonly string[]): string {
  const [begin, end] = ["<!-- table: begin -->", "<!-- table: end -->"];
  const parts = text.split(new RegExp(`${begin}[^]*${end}`));
  if (parts.length !== 2) throw new Error(`${file} needs the lines ${begin} and ${end} once`);
  return [parts[0], begin, "\n", lines.join("\n"), "\n", end, parts[1]].join("");
}

function configurationTable(): string[] {
  const rows = settings.map((setting) => [
    code(setting.key),
    setting.variables.map(code).join(", "),
    fallbackOf(setting),
    `${setting.doc}${setting.secret === true ? " (secret)" : ""}`,
  ]);
  return table([["Setting", "Variables", "Default", "Meaning"], ...rows]);
}

function limitsTable(): string[] {
  const rows = settings
    .filter(({ effect }) => effect !== undefined)
    .map((setting) => [code(setting.key), fallbackOf(setting), setting.doc, setting.effect!]);
  return table([["Limit", "Default", "What it bounds", "What happens at it"], ...rows]);
}

function metricsTable(): string[] {
  const rows = metricInfos.map(({ name, type, labels, help }) => [code(name), type, labels.map(code).join(", "), help]);
  return table([["Metric", "Type", "Labels", "What it counts or measures"], ...rows]);
}

function fallbackOf({ fallback }: Setting): string {
  if (fallback === "" || fallback === "none") return fallback || "empty";
  return /^[\w./:-]+$/.test(fallback) ? code(fallback) : fallback;
}

function code(text: string): string {
  return `\`${text}\``;
}

function table([header = [], ...rows]: readonly (readonly string[])[]): string[] {
  const row = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [row(header), row(header.map(() => "---")), ...rows.map(row)];
}
