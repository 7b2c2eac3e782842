import { setTimeout as sleep } from "node:timers/promises";
import { openClient } from "./client.ts";
import { type Figure, figure } from "./figures.ts";
import { residentBytesOf } from "./load-cpu.ts";
import { passivatedOf } from "./passivation.ts";
import { startFunction, startProxy } from "./stage.ts";

const entities = 100_000;
const warm = 1_000;
const atOnce = 128;
const settleMs = 5_000;
const settings = {
  MASSA_ENTITIES_MAX_ACTIVE: `${2 * entities}`,
  MASSA_EVENT_SOURCED_PASSIVATION_TIMEOUT: "10m",
  MASSA_VALUE_PASSIVATION_TIMEOUT: "10m",
  // On a busy machine the function may be late, which is no reason here to end others for it.
  MASSA_ENTITIES_PRESSURE_AFTER: "1m",
};

/** A hundred thousand active entities, half of them event-sourced and half values, each with an event or a value in memory. */
export async function entityFigures(): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const bench = await startFunction();
  stack.defer(() => bench.stop());
  const proxy = await startProxy(bench.port, { settings });
  stack.defer(() => proxy.stop());
  const client = openClient(proxy.port);
  stack.defer(() => client.close());
  const open = async (from: number, to: number) => {
    let next = from;
    const worker = async () => {
      while (next < to) {
        const index = next++;
        const status = await client.call(index % 2 === 0 ? "Account/Deposit" : "Item/Put", `entity-${index}`).ended;
        if (status !== "0") throw new Error(`the command on entity ${index} failed with status ${status}`);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    await sleep(settleMs);
    return residentBytesOf(proxy.pid);
  };
  const before = await open(0, warm);
  const after = await open(warm, entities);
  const passivated = await passivatedOf(bench.port);
  if (passivated > 0) throw new Error(`${passivated} of ${entities} entities are active no more`);
  return [figure("entities.kb", (after - before) / 1_000 / (entities - warm), "kB")];
}
