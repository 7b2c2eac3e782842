import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Cluster } from "./cluster.ts";

/** Waits for a condition that others bring about; the test's own timeout bounds it. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((tick) => setTimeout(tick, 20));
}

suite("three proxies in a mesh", () => {
  test("show each other's writes, and lose nothing that was shown or written at MAJORITY when one is killed five times", async () => {
    await using cluster = await Cluster.open();
    const [a, b, c] = [cluster.node(0), cluster.node(1), cluster.node(2)];
    const shown = async (sum: bigint) => {
      for (const node of [a, b, c]) await until(async () => (await node.read("PNCounter-1")) === sum);
    };
    await a.add("PNCounter-1", 1n);
    await b.add("PNCounter-1", 10n);
    await c.add("PNCounter-1", 100n);
    await shown(111n);
    let sum = 111n;
    for (let round = 1; round <= 5; round++) {
      await a.add("PNCounter-1", 1n, "majority");
      await a.kill();
      await b.add("PNCounter-1", 1n, "majority");
      await c.add("PNCounter-1", 1n, "majority");
      sum += 3n;
      await a.start();
      await shown(sum);
    }
  });

  test("answer at MAJORITY with one of them stopped, at ALL with none, and at neither with two", async () => {
    await using cluster = await Cluster.open();
    const [a, b, c] = [cluster.node(0), cluster.node(1), cluster.node(2)];
    const text = /Failed to update CRDT at requested write consistency/;
    await a.add("PNCounter-2", 1n, "all");
    c.signal("SIGSTOP");
    assert.equal(await a.add("PNCounter-2", 1n, "majority"), 2n);
    await assert.rejects(a.add("PNCounter-2", 1n, "all"), text);
    b.signal("SIGSTOP");
    await assert.rejects(a.add("PNCounter-2", 1n, "majority"), text);
    b.signal("SIGCONT");
    c.signal("SIGCONT");
    // What was not confirmed stays, and spreads.
    await until(async () => (await c.read("PNCounter-2")) === 4n);
    await until(async () => (await a.add("PNCounter-2", 0n, "all").catch(() => 0n)) === 4n);
  });
});
