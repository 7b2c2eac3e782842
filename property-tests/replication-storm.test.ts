import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { ReplicationOptions } from "../lib/replication/options.ts";
import type { Rules } from "../lib/replication/rules.ts";
import type { StormOptions } from "../lib/testing/storm.ts";
import { runStorm } from "../lib/testing/storm.ts";
import { BrokenInvariant } from "../lib/testing/simulated-world.ts";

/** Runs per kind of storm; more of them by `MASSA_STORMS=500`, from another seed on by `MASSA_STORM_SEED=1000`. */
const runs = Number(process.env["MASSA_STORMS"] ?? 5);
const firstSeed = Number(process.env["MASSA_STORM_SEED"] ?? 1);

const unfolded: Partial<ReplicationOptions> = { foldEveryMs: 1e9 };
/** So little room that hardly anything can be had but by readings of many slices. */
const narrow: Partial<ReplicationOptions> = { ...unfolded, ringBytes: 1_500, frameBytes: 400 };

const kinds: Readonly<Record<string, Omit<StormOptions, "seed">>> = {
  "three, over links": { places: 3, steps: 300, replication: { ...unfolded, spread: "direct", forgetAfterMs: 4_000 } },
  "three, by gossip": { places: 3, steps: 300, replication: { ...unfolded, spread: "gossip" } },
  "three, with readings": { places: 3, steps: 250, replication: { ...narrow, readingsMax: 1 } },
  "three, with sent amounts folded": {
    places: 3,
    steps: 300,
    countersOnly: true,
    replication: { foldEveryMs: 100, counterDots: 2, ringBytes: 1_500, frameBytes: 400 },
  },
  "three, with little to wait in": { places: 3, steps: 250, replication: { ...narrow, waitingBytes: 300, keptMax: 3 } },
  "five, as it comes": { places: 5, steps: 250, replication: { ...unfolded, directPeersMax: 3 } },
};

suite("replication in storms", () => {
  for (const [kind, options] of Object.entries(kinds)) {
    test(`${kind}: all are equal at rest, as the history says, and nothing confirmed is lost`, () => {
      let confirmed = 0;
      for (let seed = firstSeed; seed < firstSeed + runs; seed += 1)
        confirmed += runStorm({ seed, ...options }).confirmed.length;
      assert.ok(confirmed > runs, "writes were confirmed");
    });
  }

  test("the same seed gives the same run, another one another", () => {
    const hashes = [1, 1, 2].map((seed) => runStorm({ seed, places: 3, steps: 100 }).traceHash);
    assert.equal(hashes[0], hashes[1]);
    assert.notEqual(hashes[0], hashes[2]);
  });
});

suite("replication in storms: a wrong rule is noticed", () => {
  const mutants: readonly (Partial<Rules> & { readonly reusesReplicas?: boolean })[] = [
    { reusesReplicas: true },
    { inSequence: false },
    { numbersDrops: false },
    { keepsDrops: false },
    { readsKept: false },
    { gathers: false },
    { tellsReadings: false },
  ];
  for (const { reusesReplicas = false, ...rules } of mutants) {
    const name = Object.keys(rules)[0] ?? "reusesReplicas";
    test(`${name}, within 40 storms`, () => {
      const broken = (seed: number) => {
        try {
          runStorm({ seed, places: 3, steps: 300, rules, reusesReplicas, replication: narrow });
          return false;
        } catch (failure) {
          assert.ok(failure instanceof BrokenInvariant, String(failure));
          return true;
        }
      };
      assert.ok(Array.from({ length: 40 }, (_, run) => run + 1).some(broken));
    });
  }
});
