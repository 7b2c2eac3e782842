/** One figure, under an id that stays. */
export interface Figure {
  readonly id: string;
  readonly value: number;
  readonly unit: string;
  /** Null where nothing was promised. */
  readonly goal: number | null;
  readonly reached: boolean | null;
}

/** What was promised: at most so much, or at least. */
interface Goal {
  readonly sign: "≤" | "≥";
  readonly value: number;
}

const atMost = (value: number): Goal => ({ sign: "≤", value });
const atLeast = (value: number): Goal => ({ sign: "≥", value });

const goals: Readonly<Record<string, Goal>> = {
  "action.cpu_us": atMost(105),
  "action.added_p50_ms": atMost(0.5),
  "action.added_p90_ms": atMost(0.9),
  "action.added_p99_ms": atMost(5),
  "entity.cpu_us": atMost(50),
  "entity.added_p50_ms": atMost(0.5),
  "entity.added_p90_ms": atMost(0.9),
  "entity.added_p99_ms": atMost(5),
  "entities.kb": atMost(12),
  "es.activate_ms": atMost(3),
  "es.durable_per_s": atLeast(5_000),
  "es.memory_cpu_us": atMost(65),
  "es.single_per_s": atLeast(1_000),
  "idle.rss_mb": atMost(130),
  "json.cpu_ratio": atMost(1.6),
  "json.http1_cpu_ratio": atMost(1.6),
  "passivate.p99_ratio": atMost(2),
  "start.ready_ms": atMost(1_000),
  "stream.failed": atMost(0),
  "stream.kb": atMost(15),
  "stream.slowest_ms": atMost(5_000),
  "visible3.p50_ms": atMost(8),
};

export function figure(id: string, value: number, unit: string): Figure {
  const goal = goals[id];
  const rounded = Number(value.toFixed(value >= 100 ? 0 : 3));
  return { id, value: rounded, unit, goal: goal?.value ?? null, reached: goal ? isReached(goal, value) : null };
}

function isReached({ sign, value: bound }: Goal, value: number): boolean {
  return sign === "≤" ? value <= bound : value >= bound;
}

/** A Markdown table, as docs/benchmarks.md has it. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map(({ id, value, unit, goal, reached }) => [
    id,
    `${value}`,
    unit,
    goal === null ? "" : `${goals[id]?.sign ?? ""} ${goal}`,
    reached === null ? "" : reached ? "yes" : "no",
  ]);
  const all = [["id", "value", "unit", "goal", "reached"], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(3, ...all.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  const [header, ...body] = all.map(line);
  return [header, line(widths.map((width) => "-".repeat(width))), ...body].join("\n");
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}
