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
  const paced: { readonly name: string; readonly through: Load; readonly without: Load }[] = [];
  for (let round = 0; round < rounds; round++) {
    const at = (port: number, path: string) => load(port, path, { seconds, rate: 1_000 });
    const without = await at(bench.port, direct);
    paced.push({ name: kind, through: await at(proxy.port, paths[kind]), without });
    paced.push({ name: `relay.${kind}`, through: await at(relay.port, direct), without });
  }
  for (const name of [kind, `relay.${kind}`]) {
    for (const share of ["p50Ms", "p90Ms", "p99Ms"] as const) {
      const added = paced.filter((each) => each.name === name).map((each) => each.through[share] - each.without[share]);
      figures.push(figure(`${name}${name === kind ? "." : "_"}added_${share.slice(0, 3)}_ms`, median(added), "ms"));
    }
  }
  return figures;
}
