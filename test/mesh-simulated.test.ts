import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { seededRandom, type Cancel } from "../lib/core/world.ts";
import { conformsToMesh, type MeshHarness } from "../lib/mesh/conformance.ts";
import { defaultLinkLimits } from "../lib/mesh/link-limits.ts";
import type { Mesh, MeshListener } from "../lib/mesh/mesh.ts";
import { SimulatedNetwork, type Scheduler } from "../lib/mesh/simulated.ts";

class VirtualTime implements Scheduler {
  #nowMs = 0;
  #next = 0;
  readonly #events: { readonly atMs: number; readonly order: number; readonly callback: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const event = { atMs: this.#nowMs + delayMs, order: this.#next++, callback };
    const place = this.#events.findIndex((other) => other.atMs > event.atMs);
    this.#events.splice(place < 0 ? this.#events.length : place, 0, event);
    return () => {
      const index = this.#events.indexOf(event);
      if (index >= 0) this.#events.splice(index, 1);
    };
  }

  step(): void {
    const event = this.#events.shift();
    assert.ok(event, "something is scheduled");
    this.#nowMs = event.atMs;
    event.callback();
  }

  run(untilMs: number): void {
    while (this.#nowMs < untilMs) this.step();
  }
}

const silent: MeshListener = {
  admitted: () => undefined,
  changed: () => undefined,
  lost: () => undefined,
  frame: () => undefined,
  gossip: () => undefined,
  request: () => ({
    message: () => undefined,
    halfClose: () => undefined,
    cancel: () => undefined,
    drain: () => undefined,
  }),
};

function hello(name: string) {
  const replica = Buffer.from(name.padEnd(16, "-")).toString("hex");
  return { cluster: "test", replica, incarnation: 1, services: [], groups: [], members: new Uint8Array(0) };
}

async function openHarness(): Promise<MeshHarness> {
  const time = new VirtualTime();
  const network = new SimulatedNetwork(time, seededRandom(1));
  return {
    async open(name, listener, link) {
      const mesh = network.mesh(name, { hello: hello(name), link: { ...defaultLinkLimits, ...link } });
      await mesh.start(listener);
      return mesh;
    },
    async until(isMet, what) {
      const endMs = time.now() + 60_000;
      while (!isMet()) {
        assert.ok(time.now() < endMs, `waited in vain for ${what}`);
        time.step();
      }
    },
    kill: async (mesh) => network.crash(mesh),
    async [Symbol.asyncDispose]() {},
  };
}

conformsToMesh("simulated", openHarness);

suite("simulated network", () => {
  const two = async (options: ConstructorParameters<typeof SimulatedNetwork>[2] = {}, seed = 7) => {
    const time = new VirtualTime();
    const network = new SimulatedNetwork(time, seededRandom(seed), options);
    const story: string[] = [];
    const open = async (name: string): Promise<Mesh> => {
      const mesh = network.mesh(name, { hello: hello(name) });
      const tell = (text: string) => void story.push(`${time.now()} ${name} ${text}`);
      await mesh.start({
        ...silent,
        admitted: (peer) => tell(`admitted ${peer.id}`),
        lost: (peer) => tell(`lost ${peer.id}`),
        frame: (_peer, channel, body) => tell(`frame ${channel} ${Buffer.from(body).toString()}`),
        gossip: (topic, from, body) => tell(`gossip ${topic} ${from} ${Buffer.from(body).toString()}`),
      });
      mesh.subscribe("t");
      return mesh;
    };
    const [a, b] = [await open("a"), await open("b")];
    time.run(400);
    return { time, network, story, open, a, b };
  };

  test("a partition holds gossip and frames back, loses the link, and heals", async () => {
    const { time, network, story, a, b } = await two();
    network.cut("a", "b");
    a.publish("t", Buffer.from("unheard"));
    a.send(b.id, 1, Buffer.from("unheard"));
    time.run(time.now() + 30_000);
    assert.ok(!story.some((line) => line.includes("unheard")));
    assert.deepEqual([a.peers(), b.peers()], [[], []]);
    network.heal();
    time.run(time.now() + 2_000);
    assert.equal(a.peers().length + b.peers().length, 2);
    assert.ok(!story.some((line) => line.includes("unheard")));
  });

  test("a short partition delays frames and keeps the link", async () => {
    const { time, network, story, a, b } = await two();
    network.cut("a", "b");
    a.send(b.id, 1, Buffer.from("late"));
    time.run(time.now() + 1_500);
    assert.ok(!story.some((line) => line.includes("late")));
    network.heal("a", "b");
    time.run(time.now() + 100);
    assert.equal(story.filter((line) => line.endsWith("frame 1 late")).length, 1);
    assert.ok(!story.some((line) => line.includes("lost")));
  });

  test("gossip goes round a cut by way of others", async () => {
    const { time, network, story, open, a } = await two();
    await open("c");
    time.run(time.now() + 100);
    network.cut("a", "b");
    a.publish("t", Buffer.from("roundabout"));
    time.run(time.now() + 100);
    assert.equal(story.filter((line) => line.includes("roundabout")).length, 2);
  });

  test("faults lose, double and reorder, and the same seed tells the same story", async () => {
    const faults = { lost: 200, duplicated: 200, reordered: 300, reorderedByMs: 50 };
    const run = async (seed: number) => {
      const { time, story, a, b } = await two({ gossip: faults, frames: faults }, seed);
      for (let number = 0; number < 200; number += 1) {
        a.publish("t", Buffer.from(`g${number}`));
        a.send(b.id, 1, Buffer.from(`f${number}`));
        time.run(time.now() + 5);
      }
      time.run(time.now() + 1_000);
      return story;
    };
    const story = await run(3);
    for (const letter of ["g", "f"]) {
      const numbers = story.flatMap((line) => new RegExp(` ${letter}(\\d+)$`).exec(line)?.[1] ?? []).map(Number);
      assert.ok(new Set(numbers).size < 190 && new Set(numbers).size > 110, "some are lost");
      assert.ok(numbers.length > new Set(numbers).size, "some come twice");
      assert.ok(
        numbers.some((number, index) => index > 0 && number < numbers[index - 1]!),
        "some come late",
      );
    }
    assert.deepEqual(await run(3), story);
    assert.notDeepEqual(await run(4), story);
  });

  test("a process that vanished says and hears nothing", async () => {
    const { time, network, story, a, b } = await two();
    b.send(a.id, 1, Buffer.from("from b"));
    network.crash(b);
    a.send(b.id, 1, Buffer.from("to b"));
    const before = story.length;
    time.run(time.now() + 20_000);
    assert.deepEqual(
      story.slice(before).map((line) => line.replace(/^\d+ /, "")),
      [`a lost ${b.id}`],
    );
  });

  test("the last words of a node that closes arrive, whatever the latencies", async () => {
    for (let seed = 0; seed < 30; seed += 1) {
      const { time, story, a, b } = await two({ latencyMaxMs: 50 }, seed);
      a.send(b.id, 1, Buffer.from("farewell"));
      await a[Symbol.asyncDispose]();
      time.run(time.now() + 300);
      assert.deepEqual(
        story.filter((line) => line.includes(" b ")).map((line) => line.replace(/^\d+ b /, "")),
        [`admitted ${a.id}`, "frame 1 farewell", `lost ${a.id}`],
      );
    }
  });

  test("a node with another key is never linked", async () => {
    const { time, network, a } = await two();
    const stranger = network.mesh("s", { hello: hello("s"), key: "another" });
    await stranger.start(silent);
    time.run(time.now() + 5_000);
    assert.deepEqual([stranger.peers().length, a.peers().length], [0, 1]);
  });
});
