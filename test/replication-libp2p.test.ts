import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { mutate, view } from "../crdt/index.ts";
import { silentLogger } from "../lib/core/log.ts";
import { Scope } from "../lib/core/scope.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import { openLibp2pMesh } from "../lib/mesh/libp2p.ts";
import { channels, type Mesh } from "../lib/mesh/mesh.ts";
import { defaultReplicationOptions, type ReplicationOptions } from "../lib/replication/options.ts";
import { createReplication, type OwnedReplication } from "../lib/replication/replication.ts";

interface Node {
  readonly mesh: Mesh;
  readonly replication: OwnedReplication;
}

async function open(
  scope: Scope,
  nodeName: string,
  peers: readonly string[],
  spread: ReplicationOptions["spread"],
): Promise<Node> {
  const replica = Buffer.from(realWorld.random.bytes(16)).toString("hex");
  const hello = {
    cluster: "test",
    nodeName,
    replica,
    incarnation: 1,
    services: [],
    groups: [],
    members: new Uint8Array(0),
  };
  const limits = { redialMinMs: 20, redialMaxMs: 200 };
  const options = { port: 0, host: "127.0.0.1", peers, keys: ["key"], hello, limits };
  const mesh = scope.use(await openLibp2pMesh(options, realWorld, silentLogger, silentTelemetry));
  const replication = scope.use(
    createReplication({
      mesh,
      world: realWorld,
      log: silentLogger,
      telemetry: silentTelemetry,
      options: { ...defaultReplicationOptions, cluster: "test", nodeName, expect: 3, spread, leaveTimeoutMs: 500 },
    }),
  );
  const { listener } = replication;
  await mesh.start({
    admitted: (peer) => listener.admitted(peer),
    changed: (peer) => listener.changed(peer),
    lost: (peer, reason) => listener.lost(peer, reason),
    gossip: (topic, from, body) => listener.gossip(topic, from, body),
    frame: (peer, channel, body) => {
      if (channel === channels.replication) listener.frame(peer, body);
    },
    request: (_peer, request) => {
      request.end();
      return { message: () => undefined, halfClose: () => undefined, cancel: () => undefined, drain: () => undefined };
    },
  });
  replication.start();
  replication.hosted(["group"]);
  return { mesh, replication };
}

function increment({ replication }: Node): number {
  const group = replication.group("group");
  const known = group.table("sum");
  return group.change("sum", (dots) => mutate({ type: "pncounter", change: 1n }, known, dots, 0)).number;
}

function sum({ replication }: Node): bigint {
  const group = replication.group("group");
  const value = view(group.table("sum"), group.seat());
  return value?.type === "pncounter" ? value.value : 0n;
}

const ready = ({ replication }: Node) => new Promise<void>((resolve) => replication.onReady(resolve));

async function until(isMet: () => boolean): Promise<void> {
  while (!isMet()) await new Promise((resolve) => setTimeout(resolve, 2));
}

suite("replication over libp2p", () => {
  for (const spread of ["direct", "gossip"] as const) {
    test(`three nodes replicate, confirm and take leave (${spread})`, async () => {
      await using scope = new Scope();
      const first = await open(scope, "first", [], spread);
      const address = first.mesh.hello.addresses[0]!;
      const others = await Promise.all(["second", "third"].map((name) => open(scope, name, [address], spread)));
      const nodes = [first, ...others];
      await Promise.all(nodes.map(ready));
      await until(() => nodes.every(({ replication }) => replication.group("group").seat().members.size === 3));
      for (let round = 0; round < 100; round += 1) {
        for (const node of nodes) increment(node);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => nodes.every((node) => sum(node) === 300n));
      const group = first.replication.group("group");
      const isConfirmed = await new Promise((resolve) => void group.confirm(increment(first), "all", resolve));
      assert.equal(isConfirmed, true);
      await others[1]!.replication.leave();
      await until(() => first.replication.group("group").seat().members.size === 2);
      assert.equal(sum(others[0]!), 301n);
    });
  }
});
