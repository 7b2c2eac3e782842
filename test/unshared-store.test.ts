import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { createRegistry } from "@bufbuild/protobuf";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld, seededRandom } from "../lib/core/world.ts";
import type { EntityType, Service, ServiceTable } from "../lib/discovery/service-table.ts";
import { decodeHello, encodeHello } from "../lib/mesh/hello.ts";
import { openLibp2pMesh } from "../lib/mesh/libp2p.ts";
import type { Hello, Mesh, MeshListener } from "../lib/mesh/mesh.ts";
import { SimulatedNetwork } from "../lib/mesh/simulated.ts";
import { unsharedConflict } from "../lib/mesh/unshared.ts";
import { createSharing, type SharingOptions } from "../lib/sharing.ts";
import { ProcessClock, VirtualTime } from "../lib/testing/virtual-time.ts";
import { recordingLogger, settle } from "./event-log-harness.ts";
import { until } from "./eventing-harness.ts";

const carts = "shop.Carts";
/** What a node says that keeps its carts to itself, that shares them or accepts that others have their own, that has none. */
const keeps = { services: [carts, "shop.Hot"], unsharedServices: [carts] };
const shares = { services: [carts, "shop.Hot"], unsharedServices: [] };
const without = { services: ["shop.Hot"], unsharedServices: [] };
const reason = /nodes a and b both host shop\.Carts.*store\.shared to false on all/;

function hello(changes: Partial<Hello>): Hello {
  return {
    protocolVersion: 1,
    cluster: "test",
    nodeName: "n",
    replica: "00".repeat(16),
    incarnation: 1,
    services: [],
    unsharedServices: [],
    groups: [],
    addresses: [],
    members: new Uint8Array(0),
    ...changes,
  };
}

function replicaOf(name: string): string {
  return Buffer.from(name.padEnd(16, "-")).toString("hex");
}

suite("nodes with stores that others cannot see", () => {
  test("two of them may not host one service, however few of them keep it to themselves", () => {
    for (const [left, right, isRefused] of [
      [keeps, keeps, true],
      [keeps, shares, true],
      [keeps, without, false],
      [shares, shares, false],
      [keeps, { services: ["shop.Orders"], unsharedServices: ["shop.Orders"] }, false],
    ] as const) {
      const [a, b] = [hello({ ...left, nodeName: "a" }), hello({ ...right, nodeName: "b", replica: replicaOf("b") })];
      const [there, back] = [unsharedConflict(a, b, []), unsharedConflict(b, a, [])];
      assert.equal(there !== undefined, isRefused, JSON.stringify([left, right]));
      assert.equal(there, back);
      if (there !== undefined) assert.match(there, reason);
    }
  });

  test("the hello says which services are kept so", () => {
    const said = decodeHello(encodeHello(hello({ services: [carts], unsharedServices: [carts, "b.C"] }), []));
    assert.deepEqual(said?.hello.unsharedServices, [carts, "b.C"]);
  });
});

const nothing = () => undefined;

function listening(story: string[]): MeshListener {
  return {
    admitted: (peer) => void story.push(`admitted ${peer.hello.nodeName}`),
    changed: (peer) => void story.push(`changed ${peer.hello.nodeName}`),
    lost: (peer, why) => void story.push(`lost ${peer.hello.nodeName}: ${why}`),
    frame: nothing,
    gossip: nothing,
    request: () => ({ message: nothing, halfClose: nothing, cancel: nothing, drain: nothing }),
  };
}

suite("a simulated mesh of unshared stores", () => {
  async function open(name: string, network: SimulatedNetwork, first?: Parameters<Mesh["announce"]>[0]) {
    const story: string[] = [];
    const mesh = network.mesh(name, {
      hello: {
        cluster: "test",
        replica: replicaOf(name),
        incarnation: 1,
        services: [],
        groups: [],
        members: new Uint8Array(0),
      },
    });
    if (first) mesh.announce(first);
    await mesh.start(listening(story));
    return { mesh, story };
  }

  function world(seed = 3, latencyMaxMs = 3) {
    const time = new VirtualTime();
    const network = new SimulatedNetwork(time, seededRandom(seed), { latencyMaxMs });
    return { time, network };
  }

  test("who hosts the service before they meet is never linked, until one of them does not any more", async () => {
    const { time, network } = world();
    const a = await open("a", network, keeps);
    const b = await open("b", network, keeps);
    time.run(10_000);
    assert.deepEqual([a.story, b.story], [[], []]);
    b.mesh.announce(without);
    time.run(2_000);
    assert.deepEqual([a.story, b.story], [["admitted b"], ["admitted a"]]);
  });

  test("who hosts it only after they met is parted again, with the reason on both sides", async () => {
    const { time, network } = world();
    const a = await open("a", network, keeps);
    const b = await open("b", network);
    time.run(2_000);
    assert.deepEqual([a.story, b.story], [["admitted b"], ["admitted a"]]);
    b.mesh.announce(keeps);
    time.run(20_000);
    assert.deepEqual([a.mesh.peers(), b.mesh.peers()], [[], []]);
    assert.deepEqual([a.story.length, b.story.length], [2, 2]);
    assert.match(a.story[1]!, reason);
    assert.match(b.story[1]!, reason);
  });

  test("both hearing of it at the same time makes no difference", async () => {
    const { time, network } = world();
    const a = await open("a", network);
    const b = await open("b", network);
    time.run(2_000);
    a.mesh.announce(keeps);
    b.mesh.announce(keeps);
    time.run(20_000);
    assert.deepEqual([a.mesh.peers(), b.mesh.peers()], [[], []]);
    assert.deepEqual([a.story.length, b.story.length], [2, 2]);
  });

  test("whenever it becomes known while they link, they are parted", async () => {
    for (let steps = 0; steps < 12; steps += 1) {
      const { time, network } = world();
      const a = await open("a", network, keeps);
      const b = await open("b", network);
      for (let step = 0; step < steps; step += 1) time.step(10);
      b.mesh.announce(keeps);
      time.run(20_000);
      assert.deepEqual([a.mesh.peers(), b.mesh.peers()], [[], []], `after ${steps} steps`);
    }
  });

  test("a third node that is linked to one of them lets the other one not in", async () => {
    const { time, network } = world();
    const gateway = await open("gateway", network);
    const a = await open("a", network, keeps);
    time.run(2_000);
    const b = await open("b", network, keeps);
    time.run(10_000);
    assert.deepEqual([gateway.mesh.peers().map(({ hello: { nodeName } }) => nodeName), b.story], [["a"], []]);
    network.crash(a.mesh);
    const again = await open("a", network, keeps);
    time.run(time.now() + 1_000);
    assert.ok(again.story.includes("admitted gateway"), "its own ghost does not keep it out");
    await again.mesh[Symbol.asyncDispose]();
    time.run(time.now() + 10_000);
    assert.deepEqual(b.story, ["admitted gateway"]);
  });

  test("of two that come at once it lets in one", async () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const { time, network } = world(seed, 1);
      await open("a", network, keeps);
      await open("b", network, keeps);
      const gateway = await open("gateway", network);
      time.run(5_000);
      assert.equal(gateway.mesh.peers().length, 1, `seed ${seed}`);
    }
  });

  test("who accepts it, and who hosts nothing of the kind, is linked as ever", async () => {
    const { time, network } = world();
    const all = await Promise.all([open("a", network, shares), open("b", network, shares), open("c", network)]);
    time.run(2_000);
    all[2].mesh.announce(without);
    time.run(2_000);
    for (const { mesh, story } of all) {
      assert.equal(mesh.peers().length, 2);
      assert.ok(!story.some((line) => line.startsWith("lost")));
    }
  });
});

suite("a libp2p mesh of unshared stores", () => {
  async function open(name: string, peers: readonly string[], first?: Parameters<Mesh["announce"]>[0]) {
    const lines: string[] = [];
    const story: string[] = [];
    const mesh = await openLibp2pMesh(
      {
        port: 0,
        host: "127.0.0.1",
        peers,
        keys: ["a key for tests only, long enough"],
        hello: {
          cluster: "test",
          nodeName: name,
          replica: replicaOf(name),
          incarnation: 1,
          services: [],
          groups: [],
          members: new Uint8Array(0),
        },
        limits: { redialMinMs: 10, redialMaxMs: 50 },
      },
      realWorld,
      recordingLogger(lines),
      silentTelemetry,
    );
    if (first) mesh.announce(first);
    await mesh.start(listening(story));
    const refusals = () => lines.filter((line) => line.startsWith("node not admitted"));
    return { mesh, story, refusals, [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose]() };
  }

  test("the admission fails with the reason on both sides", async () => {
    await using a = await open("a", [], keeps);
    await using b = await open("b", a.mesh.hello.addresses, keeps);
    await until(() => a.refusals().length > 0 && b.refusals().length > 0, "the refusals");
    assert.match(a.refusals()[0]!, reason);
    assert.match(b.refusals()[0]!, reason);
    assert.deepEqual([a.story, b.story], [[], []]);
    b.mesh.announce(without);
    await until(() => a.story.includes("admitted b") && b.story.includes("admitted a"), "the link");
  });

  test("a link that stands ends when both host the service, and is not made again", async () => {
    await using a = await open("a", []);
    await using b = await open("b", a.mesh.hello.addresses, keeps);
    await until(() => a.story.includes("admitted b") && b.story.includes("admitted a"), "the link");
    a.mesh.announce(keeps);
    await until(() => a.story.length > 1 && b.story.length > 1, "the end of the link");
    assert.match(a.story.at(-1)!, /^lost b: nodes a and b both host/);
    assert.match(b.story.at(-1)!, /^lost a: /);
    await until(() => a.refusals().length > 0 && b.refusals().length > 0, "the refusals");
    assert.match(a.refusals()[0]!, reason);
    assert.match(b.refusals()[0]!, reason);
    assert.deepEqual([a.mesh.peers(), b.mesh.peers()], [[], []]);
  });
});

suite("serving from an unshared store", () => {
  const defaults: SharingOptions = { mustShare: true, expect: undefined, expectByGroup: {} };
  const signal = new AbortController().signal;

  function tableOf(...kinds: readonly EntityType[]): ServiceTable {
    const services = kinds.map((entityType): [string, Service] => {
      const name = `s.${entityType}`;
      return [name, { name, entityType, persistenceId: `${entityType}s`, methods: new Map() }];
    });
    return { services: new Map(services), files: [], registry: createRegistry() };
  }

  function sharing(options: Partial<SharingOptions>, others = () => 0, isShared = false) {
    const time = new VirtualTime();
    const clock = new ProcessClock(time, 0);
    const parts = { store: { isShared }, mesh: { othersConfigured: others }, clock };
    return { time, sharing: createSharing({ ...parts, options: { ...defaults, ...options } }) };
  }

  for (const kind of ["value", "event-sourced"] as const) {
    test(`${kind} entities are refused where several proxies are expected, and the settings are named`, async () => {
      const { sharing: one } = sharing({ expect: 2 });
      const refusal = await one.refusal(tableOf("action", kind), signal);
      assert.match(
        refusal!.message,
        new RegExp(`^s.${kind} .* 2 proxies are expected \\(mesh.expect.*store.shared to false`),
      );
      assert.deepEqual(one.unsharedOf(tableOf("action", kind, "crdt")), [`s.${kind}`]);
      assert.equal(await sharing({ expect: 1 }).sharing.refusal(tableOf(kind), signal), undefined);
      const byGroup = { expect: 1, expectByGroup: { [`${kind}s`]: 3 } };
      assert.match((await sharing(byGroup).sharing.refusal(tableOf(kind), signal))!.message, /3 proxies/);
    });
  }

  test("actions and CRDTs do not care, nor does who accepts it or has a store that all see", async () => {
    const table = tableOf("action", "value", "event-sourced", "crdt");
    assert.equal(await sharing({ expect: 5 }).sharing.refusal(tableOf("action", "crdt"), signal), undefined);
    for (const { sharing: one } of [
      sharing({ expect: 5, mustShare: false }),
      sharing({ expect: 5 }, undefined, true),
    ]) {
      assert.equal(await one.refusal(table, signal), undefined);
      assert.deepEqual(one.unsharedOf(table), []);
    }
  });

  test("without the setting the configured addresses of others count, once dialling had time to find the own one", async () => {
    let others = 2;
    const { sharing: one, time } = sharing({}, () => others);
    const asked = one.refusal(tableOf("value"), signal);
    for (let ms = 0; ms < 3_000; ms += 10) {
      time.run(10);
      await Promise.resolve();
    }
    assert.match((await asked)!.message, /3 proxies are expected/);
    others = 1;
    const askedAgain = one.refusal(tableOf("value"), signal);
    time.run(100);
    others = 0; // The address was this node's own.
    for (let ms = 0; ms < 100; ms += 10) {
      time.run(10);
      await settle();
    }
    assert.equal(await askedAgain, undefined);
  });
});
