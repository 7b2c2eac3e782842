import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createConnection, createServer, type AddressInfo, type Socket } from "node:net";
import { suite, test } from "node:test";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { gossipsub, type GossipSubComponents } from "@libp2p/gossipsub";
import { identify } from "@libp2p/identify";
import type { Connection, Stream } from "@libp2p/interface";
import { noise } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import type { MassaError } from "../lib/core/errors.ts";
import type { Logger } from "../lib/core/log.ts";
import { Scope } from "../lib/core/scope.ts";
import { silentTelemetry, type Telemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import { conformsToMesh, type MeshHarness } from "../lib/mesh/conformance.ts";
import { openLibp2pMesh, type Libp2pMeshOptions } from "../lib/mesh/libp2p.ts";
import { defaultLinkLimits } from "../lib/mesh/link-limits.ts";
import type { Mesh, MeshListener } from "../lib/mesh/mesh.ts";

const key = "a key for tests only, long enough";

function options(name: string, changes: Partial<Libp2pMeshOptions> = {}): Libp2pMeshOptions {
  const replica = Buffer.from(name.padEnd(16, "-").slice(0, 16)).toString("hex");
  const hello = {
    cluster: "test",
    nodeName: name,
    replica,
    incarnation: 1,
    services: [],
    groups: [],
    members: new Uint8Array(0),
  };
  return { port: 0, host: "127.0.0.1", peers: [], keys: [key], hello, ...changes };
}

/** Keeps what is logged, counted and heard. */
function observer() {
  const lines: { readonly level: string; readonly message: string; readonly fields: object }[] = [];
  const counts = new Map<string, number>();
  const log = (level: string) => (fields: object, message: string) => void lines.push({ level, message, fields });
  const logger: Logger = {
    debug: log("debug"),
    info: log("info"),
    warn: log("warn"),
    error: log("error"),
    child: () => logger,
  };
  const telemetry: Telemetry = {
    ...silentTelemetry,
    count: (name) => void counts.set(name, (counts.get(name) ?? 0) + 1),
  };
  const seen = { lines, counts, logger, telemetry, frames: 0, gossip: 0, lost: 0, next };
  /** Resolves when one more gossip message has come. */
  async function next(): Promise<void> {
    const before = seen.gossip;
    await until(() => seen.gossip > before, "gossip");
  }
  return seen;
}

type Node = Mesh & { readonly seen: ReturnType<typeof observer> };

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

async function until(isMet: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + 15_000;
  while (!isMet()) {
    assert.ok(performance.now() < endMs, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function openNode(changes: Libp2pMeshOptions, listener = silent): Promise<Node> {
  const seen = observer();
  const mesh = await openLibp2pMesh(changes, realWorld, seen.logger, seen.telemetry);
  const counting: MeshListener = {
    ...listener,
    lost(peer, reason) {
      seen.lost += 1;
      listener.lost(peer, reason);
    },
    frame(peer, channel, body) {
      seen.frames += 1;
      listener.frame(peer, channel, body);
    },
    gossip(topic, from, body) {
      seen.gossip += 1;
      listener.gossip(topic, from, body);
    },
  };
  await mesh.start(counting);
  return Object.assign(mesh, { seen });
}

async function openHarness(): Promise<MeshHarness> {
  const open = new Set<Mesh>();
  return {
    async open(name, listener, link) {
      const peers = [...open].flatMap((mesh) => mesh.hello.addresses);
      const limits = { redialMinMs: 20, link: { ...defaultLinkLimits, ...link } };
      const mesh = await openNode(options(name, { peers, limits }), listener);
      open.add(mesh);
      return mesh;
    },
    until,
    async kill(mesh) {
      open.delete(mesh);
      await mesh[Symbol.asyncDispose]();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...open].map((mesh) => mesh[Symbol.asyncDispose]()));
    },
  };
}

conformsToMesh("libp2p", openHarness);

const quick = { redialMinMs: 20, admissionTimeoutMs: 800 };

async function openPair(): Promise<[Node, Node]> {
  const a = await openNode(options("a", { limits: quick }));
  const b = await openNode(options("b", { peers: a.hello.addresses, limits: quick }));
  await until(() => a.peers().length === 1 && b.peers().length === 1, "a link");
  return [a, b];
}

function portOf(mesh: Mesh): number {
  return Number(mesh.hello.addresses[0]!.split(":").at(-1));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A libp2p node of our own making that speaks gossipsub and knows no key. */
async function openStranger() {
  const heard: string[] = [];
  const identified: string[] = [];
  const node = await createLibp2p({
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify(),
      gossip: (components: GossipSubComponents) => gossipsub({ allowPublishToZeroTopicPeers: true })(components),
    },
  });
  node.addEventListener("peer:identify", ({ detail }) => void identified.push(...detail.protocols));
  node.services.gossip.addEventListener("message", ({ detail }) => void heard.push(detail.topic));
  const gossipStreams = () =>
    node
      .getConnections()
      .flatMap(({ streams }) => streams)
      .filter(({ direction, protocol }) => direction === "inbound" && protocol.startsWith("/meshsub")).length;
  return { node, heard, identified, gossipStreams };
}

/** The first RPC of gossipsub: subscribe to a topic, graft into its mesh. */
function subscribeAndGraft(topic: string): Uint8Array {
  const name = new BinaryWriter().uint32(10).string(topic).finish();
  const control = new BinaryWriter().uint32(26).bytes(name).finish();
  const subscription = new BinaryWriter().uint32(8).bool(true).uint32(18).string(topic).finish();
  const rpc = new BinaryWriter().uint32(10).bytes(subscription).uint32(26).bytes(control).finish();
  return new BinaryWriter().bytes(rpc).finish();
}

/** A TCP relay to `port`; `freeze` lets nothing pass any more on the connections there are, and says nothing of it. */
async function openRelay(port: number) {
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = createConnection(port, "127.0.0.1");
    sockets.push(near, far);
    for (const socket of [near, far]) socket.on("error", () => undefined); // The other half is closed below.
    near.on("data", (bytes) => far.write(bytes));
    far.on("data", (bytes) => near.write(bytes));
    near.on("close", () => near.isPaused() || far.destroy());
    far.on("close", () => far.isPaused() || near.destroy());
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const freeze = () => sockets.splice(0).forEach((socket) => socket.pause());
  const close = () => {
    server.close();
    for (const socket of [...sockets]) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, freeze, close };
}

/** Rejects with why the stream ended. */
function ended(stream: Stream): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = (error: Error | undefined) => reject(error ?? new Error(`the stream is ${stream.status}`));
    stream.addEventListener("close", ({ error }) => end(error), { once: true });
    if (stream.status !== "open") end(undefined);
  });
}

function requestTo(mesh: Mesh): { failure?: MassaError } {
  const none = new Uint8Array(0);
  const call: { failure?: MassaError } = {};
  const head = {
    channel: 1,
    service: "s",
    method: "m",
    metadata: none,
    deadlineMs: 0,
    hops: 0,
    traceParent: "",
    originNumber: 0,
    bridgedMessage: none,
  };
  const nothing = () => undefined;
  mesh.request(mesh.peers()[0]!.id, head, {
    message: nothing,
    end: nothing,
    drain: nothing,
    fail: (error) => void (call.failure = error),
  });
  return call;
}

suite("libp2p mesh, admission", () => {
  test("a stranger that only connects gets not one byte of a topic (H14)", async () => {
    const [a, b] = await openPair();
    await using nodes = new Scope();
    nodes.use(a);
    nodes.use(b);
    for (const mesh of [a, b]) mesh.subscribe("secret");
    const stranger = await openStranger();
    try {
      const received: number[] = [];
      const connection = await stranger.node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${portOf(a)}`));
      stranger.node.services.gossip.subscribe("secret");
      await until(() => stranger.identified.length > 0, "identify");
      await assert.rejects(async () => {
        const stream = await connection.newStream("/meshsub/1.2.0");
        stream.addEventListener("message", ({ data }) => void received.push(data.byteLength));
        stream.send(subscribeAndGraft("secret"));
        await ended(stream);
      }, /reset|abort|closed/i);
      await until(() => {
        a.publish("secret", Buffer.from("the first"));
        return b.seen.gossip > 0;
      }, "gossip between the two");
      let published = 0;
      for (; connection.status === "open"; published += 1) {
        const isHeard = b.seen.next();
        a.publish("secret", Buffer.from(`delta ${published}`));
        await isHeard;
        assert.equal(stranger.gossipStreams(), 0, "nobody opened a gossip stream to the stranger");
      }
      assert.ok(published > 20, `${published} messages while the stranger was there`);
      assert.ok(b.seen.gossip > published);
      assert.deepEqual(received, []);
      assert.deepEqual(stranger.heard, []);
      assert.ok(
        a.seen.lines.some(
          ({ level, fields }) => level === "error" && JSON.stringify(fields).includes("did not prove itself in time"),
        ),
      );
      assert.deepEqual([a.peers().length, b.peers().length], [1, 1]);
    } finally {
      await stranger.node.stop();
    }
  });

  test("a stranger may open no peer stream", async () => {
    await using a = await openNode(options("a"));
    const stranger = await openStranger();
    try {
      const connection = await stranger.node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${portOf(a)}`));
      const stream = await connection.newStream("/massa/peer/1").catch((failure: unknown) => failure as Error);
      if (!(stream instanceof Error)) await assert.rejects(() => ended(stream), /reset|abort/i);
      assert.deepEqual(a.peers(), []);
    } finally {
      await stranger.node.stop();
    }
  });

  test("a wrong key is told to both sides, counted, and tried again with patience", async () => {
    await using a = await openNode(options("a"));
    await using b = await openNode(
      options("b", { keys: ["another key, long enough as well"], peers: a.hello.addresses }),
    );
    const said = (mesh: Node) =>
      mesh.seen.lines.filter(
        ({ level, fields }) => level === "error" && JSON.stringify(fields).includes("does not have this cluster's key"),
      );
    await until(() => said(a).length > 0 && said(b).length > 0, "the error on both sides");
    assert.ok(JSON.stringify(said(b)[0]).includes("it refused this node"));
    assert.ok(a.seen.counts.get("massa_mesh_refused_total")! >= 1);
    assert.ok(b.seen.counts.get("massa_mesh_refused_total")! >= 1);
    await until(
      () => b.seen.lines.filter(({ message }) => message === "node could not be reached").length >= 2,
      "another try",
    );
    assert.deepEqual([a.peers().length, b.peers().length], [0, 0]);
  });

  test("either of two keys will do while they are changed", async () => {
    const other = "the key that comes next, long enough";
    await using a = await openNode(options("a", { keys: [other, key] }));
    await using b = await openNode(options("b", { peers: a.hello.addresses }));
    await using c = await openNode(options("c", { keys: [other], peers: a.hello.addresses }));
    await until(() => a.peers().length === 2, "both");
    assert.equal(b.peers().length, 1);
    assert.equal(c.peers().length, 1, "b and c share no key");
  });

  test("another cluster is refused by name", async () => {
    await using a = await openNode(options("a"));
    const strange = options("b", { peers: a.hello.addresses });
    await using b = await openNode({ ...strange, hello: { ...strange.hello, cluster: "another" } });
    await until(() => JSON.stringify(b.seen.lines).includes("mesh.cluster"), "the refusal");
    assert.deepEqual([a.peers().length, b.peers().length], [0, 0]);
  });

  test("those who wait for admission are bounded in number", async () => {
    await using a = await openNode(
      options("a", { limits: { ...quick, unverifiedMax: 3, admissionTimeoutMs: 30_000 } }),
    );
    const stranger = await openStranger();
    try {
      const connections: Connection[] = [];
      for (let number = 0; number < 6; number += 1) {
        connections.push(await stranger.node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${portOf(a)}`), { force: true }));
      }
      await until(() => connections.filter(({ status }) => status === "open").length === 3, "three to stay");
      assert.equal(a.seen.counts.get("massa_limit_reached_total"), 3);
    } finally {
      await stranger.node.stop();
    }
  });

  test("garbage on the port harms nobody", async () => {
    const [a, b] = await openPair();
    await using nodes = new Scope();
    nodes.use(a);
    nodes.use(b);
    for (const garbage of [
      "GET / HTTP/1.1\r\n\r\n",
      "\x13/multistream/1.0.0\n\x07/noise\nxxxxxxxxxxxxxxxxxxxxx",
      "\0".repeat(70_000),
    ]) {
      const socket = createConnection(portOf(a), "127.0.0.1");
      socket.on("error", () => undefined); // Being cut off is what is expected.
      socket.resume().end(garbage, "latin1");
      await new Promise((resolve) => socket.once("close", resolve));
    }
    assert.equal(a.send(b.id, 1, Buffer.from("still here")), true);
    await until(() => b.seen.frames === 1, "a frame");
  });
});

suite("libp2p mesh, addresses", () => {
  test("without a key it listens on loopback only, and says so", async () => {
    await using a = await openNode(options("a", { keys: [], host: "0.0.0.0" }));
    assert.match(a.hello.addresses.join(), /^127\.0\.0\.1:\d+$/);
    assert.ok(a.seen.lines.some(({ level, message }) => level === "warn" && message.includes("loopback only")));
  });

  test("its own address among the peers is recognised, and one node met twice is one peer", async () => {
    const [portA, portB] = [await freePort(), await freePort()];
    const peers = [`127.0.0.1:${portA}`, `localhost:${portB}`];
    const [a, b] = await Promise.all([
      openNode(options("a", { port: portA, peers })),
      openNode(options("b", { port: portB, peers })),
    ]);
    await using nodes = new Scope();
    nodes.use(a);
    nodes.use(b);
    await until(() => a.peers().length === 1 && b.peers().length === 1, "a link");
    await until(() => a.othersConfigured() === 1 && b.othersConfigured() === 1, "itself");
    a.send(b.id, 1, Buffer.from("x"));
    await until(() => b.seen.frames === 1, "a frame");
    assert.deepEqual([a.seen.lost, b.seen.lost], [0, 0]);
  });

  test("neighbours of a neighbour are found without being configured", async () => {
    await using hub = await openNode(options("hub"));
    await using a = await openNode(options("a", { peers: hub.hello.addresses }));
    await until(() => a.peers().length === 1, "the hub");
    await using b = await openNode(options("b", { peers: hub.hello.addresses }));
    await until(() => a.peers().length === 2 && b.peers().length === 2, "each other");
  });

  test("a port that is taken is named", async () => {
    await using a = await openNode(options("a"));
    await assert.rejects(openNode(options("b", { port: portOf(a) })), /mesh\.port.*EADDRINUSE|mesh\.port/);
  });
});

suite("libp2p mesh, processes", () => {
  test("a stopped process is found silent and comes back; a killed one is missed at once", async () => {
    const heard: string[] = [];
    const limits = { ...quick, keepAliveMs: 100 };
    await using a = await openNode(options("a", { limits }), {
      ...silent,
      admitted: () => void heard.push("admitted"),
      lost: (_peer, reason) => void heard.push(reason),
    });
    const child = spawn(
      process.execPath,
      ["--conditions=massa-source", new URL("./mesh-node.ts", import.meta.url).pathname, a.hello.addresses[0]!, key],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    const exited = new Promise((resolve) => child.once("exit", resolve));
    try {
      await until(() => heard.length === 1, "the child");
      child.kill("SIGSTOP");
      const call = requestTo(a);
      await until(() => heard.length === 2, "its silence");
      assert.equal(heard[1], "gives no sign of life");
      assert.equal(call.failure?.code, "unavailable");
      child.kill("SIGCONT");
      await until(() => heard.length === 3, "its return");
      child.kill("SIGKILL");
      await until(() => heard.length === 4, "its end");
      assert.notEqual(heard[3], "gives no sign of life", "noticed before any keep-alive is due");
      assert.equal(heard[2], "admitted");
    } finally {
      child.kill("SIGKILL");
      await exited;
    }
  });

  test("a node that had to link anew is let in though its old link still seems to stand", async () => {
    await using a = await openNode(
      options("a", { limits: { ...quick, keepAliveMs: 60_000, admissionTimeoutMs: 200 } }),
    );
    const relay = await openRelay(portOf(a));
    await using b = await openNode(
      options("b", { peers: [`127.0.0.1:${relay.port}`], limits: { ...quick, keepAliveMs: 100 } }),
    );
    try {
      await until(() => a.peers().length === 1 && b.peers().length === 1, "a link");
      relay.freeze();
      await until(() => b.seen.lost === 1, "b to find it silent");
      assert.equal(a.peers().length, 1, "a has noticed nothing");
      await until(() => b.peers().length === 1 && a.seen.lost === 1 && a.peers().length === 1, "a link anew");
      a.send(b.id, 1, Buffer.from("x"));
      b.send(a.id, 1, Buffer.from("y"));
      await until(() => a.seen.frames === 1 && b.seen.frames === 1, "frames over it");
      assert.ok(!b.seen.lines.some(({ message }) => message === "node could not be reached"), "at the first try");
    } finally {
      relay.close();
    }
  });

  test("closing takes a bounded time though a peer takes nothing", async () => {
    const a = await openNode(options("a", { limits: { ...quick, keepAliveMs: 60_000, closeTimeoutMs: 300 } }));
    const child = spawn(
      process.execPath,
      ["--conditions=massa-source", new URL("./mesh-node.ts", import.meta.url).pathname, a.hello.addresses[0]!, key],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    const exited = new Promise((resolve) => child.once("exit", resolve));
    try {
      await until(() => a.peers().length === 1, "the child");
      child.kill("SIGSTOP");
      while (a.send(a.peers()[0]!.id, 1, new Uint8Array(1024 * 1024)));
      await a[Symbol.asyncDispose]();
    } finally {
      child.kill("SIGKILL");
      await exited;
    }
  });
});
