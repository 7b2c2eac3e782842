/** One figure, under an id that stays. */
export interface Figure {
  readonly id: string;
  readonly value: number;
  readonly unit: string;
  /** Null where nothing was promised. */
  readonly goal: number | null;
  readonly reached: boolean | null;
}

/** What was promised: at most so much. */
const goals: Readonly<Record<string, number>> = {
  "action.cpu_us": 105,
  "action.added_p50_ms": 0.5,
  "action.added_p90_ms": 0.9,
  "action.added_p99_ms": 5,
  "entity.cpu_us": 50,
  "entity.added_p50_ms": 0.5,
  "entity.added_p90_ms": 0.9,
  "entity.added_p99_ms": 5,
  "idle.rss_mb": 130,
  "start.ready_ms": 1_000,
  "stream.failed": 0,
  "stream.kb": 15,
  "stream.slowest_ms": 5_000,
  "visible3.p50_ms": 8,
};

export function figure(id: string, value: number, unit: string): Figure {
  const goal = goals[id] ?? null;
  const rounded = Number(value.toFixed(value >= 100 ? 0 : 3));
  return { id, value: rounded, unit, goal, reached: goal === null ? null : value <= goal };
}

/** A Markdown table, as docs/benchmarks.md has it. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map(({ id, value, unit, goal, reached }) => [
    id,
    `${value}`,
    unit,
    goal === null ? "" : `≤ ${goal}`,
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
