import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { after, afterEach, before, suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { noise } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { Stock } from "../examples/stock/gen/stock_pb.ts";
import type { Logger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import { openLibp2pMesh } from "../lib/mesh/libp2p.ts";
import { frameOf } from "../lib/wire/http2-frames.ts";
import { HostileFunction, lyingSpec, misdeeds } from "./bad-input-function.ts";
import { messageBytesMax, nameOf, ProxyProcess } from "./bad-input-proxy.ts";

suite("bad input to a running proxy", () => {
  const hostile = new HostileFunction();
  let proxy: ProxyProcess;
  let received = 0n;

  before(async () => {
    await hostile.start();
    proxy = await ProxyProcess.open(hostile.port);
    assert.equal(await proxy.level("receive", "kept", 7), 7n);
  });

  after(async () => {
    await proxy[Symbol.asyncDispose]();
    await hostile[Symbol.asyncDispose]();
  });

  afterEach(async () => {
    assert.ok(proxy.isAlive, "the proxy lives");
    await proxy.readyz();
    assert.equal(await proxy.level("get", "kept"), 7n, "what was written before is there");
    received += 1n;
    assert.equal(await proxy.level("receive", "running", 1), received, "right calls are served, each once");
  });

  test("garbage on the front port is told so and turned away", async () => {
    const earlier = await refused("garbage");
    const said = await say(proxy.frontPort, Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0xff]));
    assert.match(said.toString(), /^HTTP\/1\.1 400 [^]*the first bytes are neither HTTP\/2 nor HTTP\/1\.1$/);
    assert.equal(await refused("garbage"), earlier + 1);
  });

  test("a preface that goes wrong ends its connection", async () => {
    const earlier = await refused("http2");
    const said = await say(proxy.frontPort, Buffer.from("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"));
    const goAway = said.subarray(-17);
    assert.deepEqual([goAway[3], goAway.readUInt32BE(13)], [7, 2], "GOAWAY with an error ends what it says");
    assert.equal(await refused("http2"), earlier + 1);
  });

  test("an oversized message is refused, and one that only says it is", async () => {
    const refusal = (bytes: number) => ({
      status: "RESOURCE_EXHAUSTED",
      text: `a message of ${bytes} bytes is over limits.message of ${messageBytesMax} bytes`,
    });
    assert.deepEqual(await proxy.refusal(Buffer.alloc(messageBytesMax + 1)), refusal(messageBytesMax + 1));
    const claim = Buffer.alloc(5);
    claim.writeUInt32BE(0xffff_ffff, 1);
    assert.deepEqual(await post(claim), refusal(0xffff_ffff));
  });

  test("a gzip bomb is not inflated beyond the limit", async () => {
    const bomb = frameOf(gzipSync(Buffer.alloc(64 * 1024 * 1024)), true);
    assert.ok(bomb.byteLength < messageBytesMax, "the limit is passed by inflating only");
    assert.deepEqual(await post(bomb, "gzip"), {
      status: "RESOURCE_EXHAUSTED",
      text: `a message is inflated over limits.message of ${messageBytesMax} bytes`,
    });
    assert.deepEqual(await post(frameOf(Buffer.from("no gzip"), true), "gzip"), {
      status: "INTERNAL",
      text: "a message cannot be inflated: it is no gzip stream",
    });
  });

  test("a message that is none is refused", async () => {
    assert.deepEqual(await proxy.refusal(Buffer.from([0x0a, 0x7f, 0x01])), {
      status: "INVALID_ARGUMENT",
      text: "this is no shop.stock.Article: a field of 127 bytes that ends beyond its message at byte 2 of 3",
    });
  });

  test("an answer to an unknown command ends the entity, and changes nothing", async () => {
    const sku = misdeeds.unknownId;
    assert.equal(await proxy.level("order", sku, 2), -2n);
    await assert.rejects(proxy.level("receive", sku, 5), { message: "UNKNOWN: Entity terminating" });
    await reported(`Received reply for entity id ${sku} for unknown command 102`);
    assert.equal(await proxy.level("get", sku), -2n);
  });

  test("of two answers the first one counts, and the second one ends the entity", async () => {
    const sku = misdeeds.twice;
    const first = proxy.level("receive", sku, 3);
    const second = assert.rejects(proxy.level("receive", sku, 4), { message: "UNKNOWN: Entity terminating" });
    assert.equal(await first, 3n);
    await second;
    await reported(`Received reply for entity id ${sku} for unknown command 1`);
    assert.equal(await proxy.level("get", sku), 3n);
  });

  test("a function that dies mid-call fails that call only, and finds all it had written when it is back", async () => {
    const sku = misdeeds.dies;
    assert.equal(await proxy.level("order", sku, 1), -1n);
    await assert.rejects(proxy.level("receive", sku, 9), { message: "UNKNOWN: Entity terminating" });
    await proxy.readyz(/^503 .*the user function at 127\.0\.0\.1:\d+ is away/);
    const next = proxy.level("get", sku);
    await hostile.start();
    assert.equal(await next, -1n, "a call made while it was away waits for it");
    await proxy.readyz();
  });

  test("a peer with the wrong key is refused, and told so", async () => {
    const { lines, log } = keptLog();
    const earlier = await metric("massa_mesh_refused_total");
    const replica = Buffer.from(realWorld.random.bytes(16)).toString("hex");
    const none = new Uint8Array(0);
    const hello = { cluster: "test", nodeName: "other", replica, incarnation: 1, services: [], groups: [] };
    await using peer = await openLibp2pMesh(
      {
        port: 0,
        host: "127.0.0.1",
        peers: [`127.0.0.1:${proxy.meshPort}`],
        keys: ["another key, long enough as well"],
        hello: { ...hello, members: none },
      },
      realWorld,
      log,
      silentTelemetry,
    );
    const admitted: string[] = [];
    const nothing = () => undefined;
    await peer.start({
      admitted: ({ id }) => void admitted.push(id),
      changed: nothing,
      lost: nothing,
      frame: nothing,
      gossip: nothing,
      request: () => ({ message: nothing, halfClose: nothing, cancel: nothing, drain: nothing }),
    });
    const reason = /does not have this cluster's key/;
    await proxy.until(
      () => lines.some((line) => reason.test(line)) && reason.test(proxy.said),
      () => "the reason on both sides",
    );
    assert.ok((await metric("massa_mesh_refused_total")) > earlier);
    assert.deepEqual(admitted, []);
  });

  test("a stranger who only connects to the mesh is shown the door", async () => {
    const stranger = await createLibp2p({
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionGater: { denyDialMultiaddr: () => false },
    });
    try {
      const connection = await stranger.dial(multiaddr(`/ip4/127.0.0.1/tcp/${proxy.meshPort}`));
      await proxy.until(
        () => connection.status !== "open" && proxy.said.includes("did not prove itself in time"),
        () => `the connection, which is ${connection.status}, to be closed, and the reason in the log`,
      );
    } finally {
      await stranger.stop();
    }
  });

  test("an undecodable message is put aside, and the next one is worked on", async () => {
    const bad = await order("{ no json");
    assert.equal(bad.status, 422);
    assert.match(bad.body, /"cause":"/);
    assert.equal((await order('{"sku":"ordered","quantity":2}')).status, 200);
    assert.equal(await proxy.level("get", "ordered"), -2n);
    const { deadLetters } = JSON.parse((await proxy.admin("/topics/orders")).body) as {
      deadLetters: Record<string, { cause: string; attempts: number; bodyBase64: string }[]>;
    };
    const letters = Object.values(deadLetters).flat();
    assert.deepEqual(
      letters.map(({ bodyBase64 }) => Buffer.from(bodyBase64, "base64").toString()),
      ["{ no json"],
    );
    assert.match(letters[0]!.cause, /JSON/i);
  });

  function order(body: string) {
    const headers = { "content-type": "application/json", "ce-type": "shop.stock.Purchase" };
    return proxy.admin("/topics/orders?wait=ack", { method: "POST", headers, body });
  }

  async function metric(name: string): Promise<number> {
    const { body } = await proxy.admin("/metrics");
    const lines = body.split("\n").filter((line) => line.startsWith(name));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  const refused = (reason: string) => metric(`massa_front_refused_total{reason="${reason}"}`);

  const reported = (text: string) =>
    proxy.until(
      () => hostile.reports.includes(text),
      () => `the report "${text}", but got ${JSON.stringify(hostile.reports)}`,
    );

  /** A call of `Get` whose body is given byte by byte. */
  async function post(body: Uint8Array, encoding = "identity") {
    const session = connectHttp2(`http://127.0.0.1:${proxy.frontPort}`);
    const request = session.request({
      ":method": "POST",
      ":path": `/${Stock.typeName}/Get`,
      "content-type": "application/grpc",
      "grpc-encoding": encoding,
      te: "trailers",
    });
    try {
      request.end(body);
      const [headers] = (await once(request, "response")) as [IncomingHttpHeaders];
      return {
        status: nameOf(Number(headers["grpc-status"])),
        text: decodeURIComponent(String(headers["grpc-message"])),
      };
    } finally {
      session.destroy();
    }
  }
});

suite("a descriptor set that lies", () => {
  test("keeps the port closed until the function is started again with a true one, at first and later", async () => {
    await using hostile = new HostileFunction();
    await hostile.start(lyingSpec());
    const why =
      "The descriptor set contradicts itself: invalid MethodDescriptorProto: input_type .shop.stock.Nothing not found";
    const rejected = /^503 .*the user function was rejected: The descriptor set contradicts itself: /;
    await using proxy = await ProxyProcess.open(hostile.port, rejected);
    assert.deepEqual(hostile.reports, [why]);
    assert.equal(await proxy.isFrontOpen(), false);

    hostile.die();
    await hostile.start();
    await proxy.readyz();
    assert.equal(await proxy.level("receive", "kept", 7), 7n);

    await proxy.bereaved(() => hostile.die());
    await hostile.start(lyingSpec());
    await proxy.readyz(rejected);
    await proxy.until(
      async () => !(await proxy.isFrontOpen()),
      () => "the front port to close",
    );
    assert.equal(hostile.reports.filter((report) => report === why).length, 2);

    hostile.die();
    await hostile.start();
    await proxy.readyz();
    assert.equal(await proxy.level("receive", "kept", 1), 8n, "what was written before is there");
  });
});

/** Sends bytes and gives all that comes back until the other side ends the connection. */
async function say(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = connect(port, "127.0.0.1");
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => void chunks.push(chunk));
  socket.on("error", () => undefined); // A reset is an end, too.
  socket.write(bytes);
  await once(socket, "close");
  return Buffer.concat(chunks);
}

function keptLog() {
  const lines: string[] = [];
  const keep = (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const log: Logger = { debug: keep, info: keep, warn: keep, error: keep, child: () => log };
  return { lines, log };
}
