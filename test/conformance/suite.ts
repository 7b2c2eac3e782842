import { actionModelCases } from "./cases/action-model.ts";
import { actionProxyCases } from "./cases/action-proxy.ts";
import { crdtActionCases, crdtDiscoveryCases, crdtStreamCases } from "./cases/crdt-commands.ts";
import { gcounterCases, pncounterCases } from "./cases/crdt-counters.ts";
import { mapCases } from "./cases/crdt-map.ts";
import { crdtProxyCases } from "./cases/crdt-proxy.ts";
import { discoveryCases } from "./cases/discovery-proxy.ts";
import { eventLogCases } from "./cases/event-log-proxy.ts";
import { eventSourcedModelCases } from "./cases/event-sourced-model.ts";
import { eventSourcedProxyCases } from "./cases/event-sourced-proxy.ts";
import { extraCrdtCases } from "./cases/extra-crdt.ts";
import { extraEventingCases } from "./cases/extra-eventing.ts";
import { extraHttpCases } from "./cases/extra-http.ts";
import { extraRoutingCases } from "./cases/extra-routing.ts";
import { extraStartCases } from "./cases/extra-start.ts";
import { extraStoredCases } from "./cases/extra-stored.ts";
import { flagCases, registerCases } from "./cases/crdt-registers.ts";
import { gsetCases, orsetCases } from "./cases/crdt-sets.ts";
import { voteCases } from "./cases/crdt-vote.ts";
import { reflectionCases } from "./cases/reflection-proxy.ts";
import { valueModelCases } from "./cases/value-model.ts";
import { valueProxyCases } from "./cases/value-proxy.ts";
import type { Case, ProxyStage, Stage, StartStage } from "./stage.ts";

/** All cases, in the order of their numbers. */
export const cases: readonly Case[] = [
  ...discoveryCases,
  ...reflectionCases,
  ...actionModelCases,
  ...actionProxyCases,
  ...valueModelCases,
  ...valueProxyCases,
  ...eventSourcedModelCases,
  ...eventSourcedProxyCases,
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
  ...eventLogCases,
  ...extraStoredCases,
  ...extraCrdtCases,
  ...extraRoutingCases,
  ...extraHttpCases,
  ...extraEventingCases,
  ...extraStartCases,
];

/** Runs one case; rejects when it is red. A case of a proxy leaves nothing behind, and no surplus call may have been made. */
export async function judge(one: Case, stage: Stage | ProxyStage | StartStage): Promise<void> {
  if (one.half === "model") return one.run(stage);
  if (one.half === "start") {
    if (!("launch" in stage)) throw new Error(`${one.number} needs a proxy that can be started`);
    return one.run(stage);
  }
  if (!("recorder" in stage)) throw new Error(`${one.number} needs a proxy`);
  try {
    await one.run(stage);
    await stage.recorder.nothingMore();
  } catch (failure) {
    await stage.recorder.quiet();
    throw failure;
  } finally {
    stage.recorder.forgetAll();
  }
}
