import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Operation } from "../crdt/index.ts";
import type { Slice } from "../lib/replication/frames.ts";
import { Group } from "../lib/replication/group.ts";
import type { ReplicationOptions } from "../lib/replication/options.ts";
import type { Rules } from "../lib/replication/rules.ts";
import type { SimulatedNode } from "../lib/testing/simulated-node.ts";
import { BrokenInvariant, SimulatedWorld } from "../lib/testing/simulated-world.ts";

/** Histories that break the obvious design. Each holds, and breaks as soon as the naive rule is put in. */
type Naive = Partial<Rules> & { readonly reusesReplicas?: boolean; readonly inherits?: boolean };

function world(naive: Naive, replication: Partial<ReplicationOptions> = {}): SimulatedWorld {
  const { reusesReplicas = false, inherits, ...rules } = naive;
  assert.ok(inherits === undefined || Object.keys(rules).length === 0);
  return new SimulatedWorld({
    seed: 7,
    rules,
    reusesReplicas,
    replication: { expect: 3, spread: "direct", ...replication },
    network: { latencyMinMs: 2, latencyMaxMs: 2 },
  });
}

function hazard(name: string, naive: Naive, story: (naive: Naive) => void): void {
  test(name, () => story({}));
  test(`${name}; is seen under the naive rule`, () => {
    assert.throws(
      () => story(naive),
      (failure) => failure instanceof BrokenInvariant || failure instanceof assert.AssertionError,
    );
  });
}

const element = (name: string) => `1:t:${name}`;
const set = (added: readonly string[], removed: readonly string[] = []): Operation => ({
  type: "orset",
  cleared: false,
  added: added.map(element),
  removed: removed.map(element),
});

function groupOf(node: SimulatedNode): Group {
  assert.ok(node.group instanceof Group);
  return node.group;
}

const at = (node: SimulatedNode, of: SimulatedNode) => groupOf(node).replicator.clock.get(of.replica) ?? 0;

/** Many small entities, so that a reading has many slices. */
function fill(node: SimulatedNode, count: number): void {
  for (let place = 0; place < count; place += 1) node.increment(`many${place}`, 1);
}

suite("replication: a replica that keeps its id after a crash (H1)", () => {
  hazard("numbers of a process that is gone are never used again", { reusesReplicas: true }, (naive) => {
    const sim = world(naive);
    const [a, b, c] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode, SimulatedNode];
    a.increment("sum", 5);
    sim.until(() => b.plain("sum") === "sum 5" && c.plain("sum") === "sum 5", "the first sum");
    sim.part(["C"], ["A", "B"]);
    const written = a.write("sum", 2, "majority");
    sim.until(() => written.isConfirmed !== undefined, "an answer");
    assert.equal(written.isConfirmed, true);
    a.crash();
    sim.part(["A", "C"], ["B"]);
    const again = sim.start("A");
    sim.run(12_000);
    again.increment("sum", 1);
    sim.rest();
    sim.checkAtRest();
    assert.equal(again.plain("sum"), "sum 8");
  });
});

suite("replication: both sides of a partition reach the timeout (H2)", () => {
  const parted = (naive: Naive) => {
    const sim = world(naive, { forgetAfterMs: 5_000 });
    const [a, b, c] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode, SimulatedNode];
    a.increment("sum", 7);
    b.increment("sum", 5);
    sim.until(() => [a, b, c].every((node) => node.plain("sum") === "sum 12"), "the sum");
    sim.part(["A", "C"], ["B"]);
    sim.run(12_000);
    return { sim, a, b, c };
  };
  const isOut = (node: SimulatedNode, other: SimulatedNode) =>
    node.replication.members().some(({ replica, isOut: gone }) => replica === other.replica && gone);

  hazard("being out costs a voice and no data", { inherits: true }, (naive) => {
    const { sim, a, b, c } = parted(naive);
    assert.deepEqual([isOut(a, b), isOut(c, b), isOut(b, a), isOut(b, c)], [true, true, false, false]);
    if (naive.inherits === true)
      for (const [heir, of] of [
        [a, b],
        [c, b],
        [b, a],
      ] as const)
        inherit(heir, of);
    sim.rest();
    sim.run(3_000);
    for (const node of [a, b, c]) assert.equal(node.plain("sum"), "sum 12");
    assert.ok(!isOut(a, b) && !isOut(c, b), "the one that was out is in again");
  });

  hazard(
    "a minority confirms nothing to itself, however long it is alone",
    { asksForSilence: false, expects: false },
    (naive) => {
      const { sim, b, a } = parted(naive);
      const alone = b.write("sum", 1, "majority");
      const together = a.write("sum", 1, "majority");
      sim.until(() => alone.isConfirmed !== undefined && together.isConfirmed !== undefined, "answers");
      b.crash();
      sim.rest();
      sim.checkAtRest();
      assert.equal(together.isConfirmed, true);
    },
  );
});

/** What nobody may do: takes another's amounts over. */
function inherit(heir: SimulatedNode, of: SimulatedNode): void {
  const theirs = [...heir.group.table("sum").entries()].filter(
    ({ dot }) => "replica" in dot && dot.replica === of.replica,
  );
  heir.group.change("sum", (dots) => ({
    drops: theirs.map(({ dot }) => dot),
    adds: theirs.map((entry) => ({ ...entry, dot: { replica: dots.replica, number: dots.next() } })),
  }));
}

suite("replication: equal clocks, different states (H4)", () => {
  hazard(
    "a removal whose batch is lost and whose ring has overflown is made up for",
    { numbersDrops: false },
    (naive) => {
      const sim = world(naive, { ringBytes: 1 });
      const [a, b] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode];
      a.does("set", set(["x", "y"]));
      sim.until(() => b.plain("set").includes("x"), "the element");
      sim.losing(() => a.does("set", "delete"));
      a.does("set", set(["z"]));
      sim.rest();
      sim.checkAtRest();
      assert.equal(b.plain("set"), `${element("z")}=0`);
    },
  );
});

suite("replication: something is raised before all that it covers was applied (H5)", () => {
  const behind = (naive: Naive, options: Partial<ReplicationOptions> = {}) => {
    const sim = world(naive, { ringBytes: 1, frameBytes: 300, askTimeoutMs: 500, ...options });
    const [a, b] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode];
    for (const value of [1, 2, 2]) a.increment("grows", value);
    a.increment("other", 3);
    sim.until(() => b.plain("grows") === "sum 5" && b.plain("other") === "sum 3", "the first state");
    return { sim, a, b };
  };

  hazard("a: parts of a reading say nothing alone", { gathers: false }, (naive) => {
    const { sim, a, b } = behind(naive);
    sim.losing(() => {
      fill(a, 40);
      a.increment("grows", 15);
      sim.run(10);
    });
    sim.rest();
    sim.checkAtRest();
    assert.equal(b.plain("grows"), "sum 20");
  });

  hazard("c: a write during a reading is not covered by it", { clockOfReading: false }, (naive) => {
    const { sim, a, b } = behind(naive);
    sim.losing(() => {
      fill(a, 200);
      sim.run(10);
    });
    let hasWritten = false;
    sim.intercept = (to, _from, message) => {
      if (to === b && message.type === "slice" && message.index === 8 && !hasWritten) {
        hasWritten = true;
        sim.losing(() => a.increment("many0", 1));
      }
      return true;
    };
    sim.until(() => hasWritten, "the middle of a reading");
    sim.rest();
    sim.checkAtRest();
    assert.equal(b.plain("many0"), "sum 2");
  });

  hazard("d: whoever has a batch repairs it, though its origin cannot be reached", { asksAnybody: false }, (naive) => {
    const sim = world(naive);
    const [a, b, c] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode, SimulatedNode];
    sim.part(["A"], ["C"]);
    a.increment("sum", 1);
    sim.until(() => c.plain("sum") === "sum 1", "A's write on C by way of B", 10_000);
    assert.equal(at(b, a), 1);
  });

  hazard("e: a slice of an earlier reading is not taken for one of now", { tellsReadings: false }, (naive) => {
    const { sim, a, b } = behind(naive);
    sim.losing(() => {
      fill(a, 6);
      sim.run(10);
    });
    let stale: Slice | undefined;
    let question = 0;
    sim.intercept = (to, from, message) => {
      if (to !== b || message.type !== "slice" || from !== a.replica) return true;
      if (question === 0) question = message.id;
      if (message.id !== question) {
        if (message.index === 0 && stale) {
          to.deliver(from, { ...stale, id: question });
        }
        return true;
      }
      if (message.isLast) stale = message;
      return false;
    };
    sim.until(() => stale !== undefined, "a slice on its way");
    const lastOnes = stale!.parts.map(({ entity }) => entity);
    sim.losing(() => {
      for (const entity of lastOnes) a.increment(entity, 10);
      sim.run(10);
    });
    sim.rest();
    sim.checkAtRest();
  });

  hazard("f: a removal that comes before what it removes is kept", { keepsDrops: false }, (naive) => {
    const sim = world(naive);
    const [a, b, c] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode, SimulatedNode];
    sim.intercept = (to, from, message) =>
      to !== c || from !== a.replica || message.type !== "batch" || message.ask !== 0;
    a.does("set", set(["x"]));
    sim.until(() => b.plain("set").includes("x"), "the element on B");
    b.does("set", set([], ["x"]));
    sim.until(() => at(c, b) > 0, "the removal on C", 40);
    assert.equal(at(c, a), 0, "the removal came first");
    sim.rest();
    sim.checkAtRest();
    assert.equal(c.plain("set"), "nothing");
  });

  hazard("g: a counter that grows is never seen to shrink while a reading comes in", { gathers: false }, (naive) => {
    const { sim, a, b } = behind(naive);
    b.watch("grows");
    sim.losing(() => {
      fill(a, 20);
      a.increment("grows", 1);
      sim.run(10);
    });
    sim.until(() => b.plain("grows") === "sum 6" && at(b, a) === at(a, a), "the reading");
    assert.deepEqual([...new Set(b.seen.get("grows"))], ["sum 6"]);
  });

  hazard("n: a removal that is kept goes along with a reading", { readsKept: false }, (naive) => {
    const sim = world(naive, { ringBytes: 1 });
    const [a, b, c] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode, SimulatedNode];
    sim.part(["A"], ["C"]);
    a.does("set", set(["x"]));
    sim.until(() => b.plain("set").includes("x"), "the element on B");
    sim.part(["A"], ["B", "C"]);
    sim.intercept = (to, from) => to !== a || from !== b.replica;
    b.does("set", "delete");
    sim.until(() => at(c, b) > 0, "the removal on C", 100);
    sim.part(["D"], ["A", "B"]);
    const d = sim.start("D");
    sim.until(() => at(d, b) > 0, "C's state on D");
    b.crash();
    c.stop();
    sim.heal();
    sim.until(() => at(d, a) > 0, "A's state on D");
    assert.equal(d.plain("set"), "nothing");
  });

  hazard("o: two readings for one question are not mixed", { tellsReadings: false }, (naive) => {
    const { sim, a, b } = behind(naive);
    sim.losing(() => {
      fill(a, 6);
      sim.run(10);
    });
    let question = 0;
    let first = 0;
    sim.intercept = (to, from, message) => {
      if (to === a && message.type === "ask" && from === b.replica && question === 0) {
        question = message.id;
        sim.time.after(0, () => {
          sim.losing(() => {
            for (let place = 0; place < 6; place += 1) a.increment(`many${place}`, 10);
          });
          a.deliver(from, message);
        });
      }
      if (to !== b || message.type !== "slice" || message.id !== question) return true;
      if (first === 0) first = message.reading;
      return message.reading === first ? message.index !== 0 : message.index === 0;
    };
    sim.until(() => question > 0, "a question");
    sim.run(1_000);
    sim.rest();
    sim.checkAtRest();
  });

  hazard("what is unsent leaves before it is read (H17a)", { flushesFirst: false }, (naive) => {
    const { sim, a, b } = behind(naive);
    sim.losing(() => {
      fill(a, 3);
      sim.run(10);
    });
    let hasAsked = false;
    sim.intercept = (to, from, message) => {
      if (to !== a || from !== b.replica || message.type !== "ask" || hasAsked) return true;
      hasAsked = true;
      a.increment("open", 1);
      a.increment("open", 5);
      sim.time.after(0, () => a.increment("open", 3));
      return true;
    };
    sim.until(() => hasAsked, "a question");
    sim.rest();
    sim.checkAtRest();
    assert.equal(b.plain("open"), "sum 9");
  });

  hazard("a batch is not applied past a gap", { inSequence: false }, (naive) => {
    const sim = world(naive);
    const [a, b] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode];
    sim.losing(() => a.increment("sum", 7));
    sim.run(10);
    a.increment("sum", 10);
    sim.rest();
    sim.checkAtRest();
    assert.equal(b.plain("sum"), "sum 17");
  });

  hazard("a peer acknowledges what it has applied, not what waits", { acknowledgesApplied: false }, (naive) => {
    const sim = world(naive, { expect: 2 });
    const [a, b] = sim.startAll("A", "B") as [SimulatedNode, SimulatedNode];
    sim.losing(() => a.increment("sum", 7));
    sim.intercept = (_to, _from, message) => message.type === "batch" || message.type === "ack";
    sim.run(10);
    const written = a.write("sum", 10, "majority");
    sim.run(20);
    a.crash();
    sim.rest();
    sim.checkAtRest();
    assert.equal(written.isConfirmed, undefined);
    assert.equal(b.plain("sum"), "nothing");
  });
});

suite("replication: withheld changes (H12)", () => {
  test("a write that waits for others keeps nothing from being applied and told", () => {
    const sim = world({});
    const [a, b, c] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode, SimulatedNode];
    a.watch("sum");
    c.stop();
    const written = a.write("sum", 1, "all");
    b.increment("sum", 2);
    sim.until(() => a.plain("sum") === "sum 3", "B's change on A", 50);
    assert.deepEqual(a.seen.get("sum"), ["sum 1", "sum 3"]);
    assert.equal(written.isConfirmed, undefined);
    sim.run(5_000);
    assert.equal(written.isConfirmed, false);
  });
});

suite("replication: how the members come to be (H16)", () => {
  const confirmsNothing = (sim: SimulatedWorld, node: SimulatedNode) => {
    const written = node.write("sum", 1, "majority");
    sim.until(() => written.isConfirmed !== undefined, "an answer", 6_000);
    return written;
  };

  hazard("a: of three that start without each other none is a majority", { expects: false }, (naive) => {
    const sim = world(naive);
    sim.part(["A"], ["B"], ["C"]);
    const [a, b] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode];
    confirmsNothing(sim, a);
    confirmsNothing(sim, b);
    a.crash();
    sim.rest();
    sim.checkAtRest();
  });

  hazard("a: two halves of four that start at once do not both count as all", { expects: false }, (naive) => {
    const sim = world(naive, { expect: 4 });
    sim.part(["A", "B"], ["C", "D"]);
    const [a, b, c] = sim.startAll("A", "B", "C", "D") as [SimulatedNode, SimulatedNode, SimulatedNode];
    confirmsNothing(sim, a);
    confirmsNothing(sim, c);
    a.crash();
    b.crash();
    sim.rest();
    sim.checkAtRest();
  });

  hazard("b: what one table confirmed is not taken for confirmed by another", { expects: false }, (naive) => {
    const sim = world(naive);
    sim.part(["A"], ["B", "C"]);
    const [a, b, c] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode, SimulatedNode];
    const written = confirmsNothing(sim, a);
    assert.ok(written.isConfirmed === false || at(b, a) > 0 || at(c, a) > 0, "confirmed, and on one node alone");
    sim.heal();
    sim.until(() => at(b, a) > 0 && at(c, a) > 0, "A's write");
    let isConfirmed: boolean | undefined;
    a.group.confirm(written.number, "majority", (is) => (isConfirmed = is));
    sim.until(() => isConfirmed !== undefined, "an answer");
    assert.equal(isConfirmed, true);
  });

  hazard(
    "c: who was cut off decides nothing while the others start anew",
    { asksForSilence: false, expects: false },
    (naive) => {
      const sim = world(naive, { forgetAfterMs: 5_000 });
      const [a, b, c] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode, SimulatedNode];
      sim.part(["C"], ["A", "B", "D"]);
      const d = sim.start("D");
      sim.until(() => d.isReady, "D");
      for (const node of [a, b]) {
        node.crash();
        const next = sim.start(node.name);
        sim.until(() => next.isReady, "the next process");
      }
      sim.run(10_000);
      confirmsNothing(sim, c);
      c.crash();
      sim.rest();
      sim.checkAtRest();
    },
  );

  hazard("d: a place that dies twice is counted once", { knowsSuccessors: false }, (naive) => {
    const sim = world(naive);
    const [a, b] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode];
    a.crash();
    const next = sim.start("A");
    sim.until(() => next.isReady, "the next process");
    sim.run(5_000);
    next.crash();
    const written = confirmsNothing(sim, b);
    assert.equal(written.isConfirmed, true);
  });

  hazard("e: who starts alone, meets nobody and goes has confirmed nothing", { expects: false }, (naive) => {
    const sim = world(naive);
    sim.part(["B"], ["A", "C"]);
    const [b] = sim.startAll("B", "A", "C") as [SimulatedNode];
    confirmsNothing(sim, b);
    b.leave();
    sim.until(() => b.isOver, "B's end");
    sim.rest();
    sim.checkAtRest();
  });

  const survives = (sim: SimulatedWorld, leavers: readonly SimulatedNode[], next: string) => {
    for (const node of leavers) node.leave();
    sim.run(3_000);
    const heir = sim.start(next);
    sim.run(15_000);
    assert.ok(
      leavers.every(({ isOver }) => isOver),
      "those who wanted to have left",
    );
    assert.equal(heir.plain("sum"), "sum 5");
  };

  hazard("f: two that leave together do not take each other for one that stays", { countsStayers: false }, (naive) => {
    const sim = world(naive, { expect: 2 });
    const [a, b] = sim.startAll("A", "B") as [SimulatedNode, SimulatedNode];
    a.increment("sum", 5);
    sim.run(1_000);
    survives(sim, [a, b], "C");
  });

  hazard("f: a heartbeat from before a crash does not let a leaver go", { wantsFreshHeartbeats: false }, (naive) => {
    const sim = world(naive, { expect: 2 });
    const [a, b] = sim.startAll("A", "B") as [SimulatedNode, SimulatedNode];
    a.increment("sum", 5);
    sim.run(1_500);
    b.crash();
    survives(sim, [a], "B");
  });

  hazard("who is alive and finds itself out says so", { refutes: false }, (naive) => {
    const sim = world(naive, { forgetAfterMs: 5_000 });
    const [a, b, c] = sim.startAll("A", "B", "C") as [SimulatedNode, SimulatedNode, SimulatedNode];
    sim.part(["A", "C"], ["B"]);
    sim.run(12_000);
    sim.heal();
    sim.run(5_000);
    c.stop();
    const written = a.write("sum", 1, "majority");
    sim.until(() => written.isConfirmed !== undefined, "an answer", 6_000);
    assert.equal(written.isConfirmed, true);
    assert.equal(at(b, a), 1);
  });
});
