import { actionModelCases } from "./cases/action-model.ts";
import { actionProxyCases } from "./cases/action-proxy.ts";
import { crdtActionCases, crdtDiscoveryCases, crdtStreamCases } from "./cases/crdt-commands.ts";
import { gcounterCases, pncounterCases } from "./cases/crdt-counters.ts";
import { mapCases } from "./cases/crdt-map.ts";
import { crdtProxyCases } from "./cases/crdt-proxy.ts";
import { flagCases, registerCases } from "./cases/crdt-registers.ts";
import { gsetCases, orsetCases } from "./cases/crdt-sets.ts";
import { voteCases } from "./cases/crdt-vote.ts";
import { reflectionCases } from "./cases/reflection-proxy.ts";
import type { Case, ProxyStage, Stage } from "./stage.ts";

/** All cases, in the order of their numbers. */
export const cases: readonly Case[] = [
  ...reflectionCases,
  ...actionModelCases,
  ...actionProxyCases,
  ...crdtDiscoveryCases,
  ...gcounterCases,
  ...pncounterCases,
  ...gsetCases,
  ...orsetCases,
  ...registerCases,
  ...flagCases,
  ...mapCases,
  ...voteCases,
  ...crdtActionCases,
  ...crdtStreamCases,
  ...crdtProxyCases,
];

/** Runs one case; rejects when it is red. A case of a proxy leaves nothing behind, and no surplus call may have been made. */
export async function judge(one: Case, stage: Stage | ProxyStage): Promise<void> {
  if (one.half === "model") return one.run(stage);
  if (!("recorder" in stage)) throw new Error(`${one.number} needs a proxy`);
  try {
    await one.run(stage);
    await stage.recorder.nothingMore();
  } finally {
    stage.recorder.forgetAll();
  }
}
