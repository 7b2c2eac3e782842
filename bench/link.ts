import { type Figure, figure, median } from "./figures.ts";
import { load, type Load, startFunction, startProxy, startRelay } from "./stage.ts";

/** How long and how often each thing is measured; medians count. */
export interface Effort {
  readonly seconds: number;
  readonly rounds: number;
}

const paths = { action: "/bench.Action/Call", entity: "/bench.Counter/Touch" };
const direct = "/bench.Raw/unary";

/** Unary actions, or commands on open entity streams, through one proxy against direct calls, alternating, and through a bare relay. */
export async function linkFigures(kind: "action" | "entity", { seconds, rounds }: Effort): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const bench = await startFunction();
  stack.defer(() => bench.stop());
  const proxy = await startProxy(bench.port);
  stack.defer(() => proxy.stop());
  const relay = await startRelay(kind, bench.port);
  stack.defer(() => relay.stop());

  const both = async (options: Readonly<Record<string, number>>) => {
    const pairs: { readonly through: Load; readonly without: Load }[] = [];
    for (let round = 0; round < rounds; round++) {
      const through = await load(proxy.port, paths[kind], { seconds, pid: proxy.pid, ...options });
      pairs.push({ through, without: await load(bench.port, direct, { seconds, ...options }) });
    }
    return pairs;
  };
  const figures: Figure[] = [];
  for (const [suffix, bytes] of [
    ["", 100],
    ["_1k", 1_000],
  ] as const) {
    for (const concurrency of [1, 16, 64]) {
      const pairs = await both({ concurrency, bytes });
      const ratios = pairs.map(({ through, without }) => through.callsPerSecond / without.callsPerSecond);
      figures.push(figure(`${kind}.ratio_${concurrency}${suffix}`, median(ratios), "of direct"));
      if (concurrency < 64) continue;
      const micros = pairs.map(({ through }) => through.cpuMicrosPerCall!);
      figures.push(figure(`${kind}.cpu_us${suffix}`, median(micros), "µs"));
    }
  }
  const relayed: number[] = [];
  for (let round = 0; round < rounds; round++) {
    relayed.push((await load(relay.port, direct, { seconds, pid: relay.pid, concurrency: 64 })).cpuMicrosPerCall!);
  }
  figures.push(figure(`relay.${kind}_cpu_us`, median(relayed), "µs"));
  const paced = await both({ rate: 1_000 });
  for (const share of ["p50", "p90", "p99"] as const) {
    const added = paced.map(({ through, without }) => through[`${share}Ms`] - without[`${share}Ms`]);
    figures.push(figure(`${kind}.added_${share}_ms`, median(added), "ms"));
  }
  return figures;
}
