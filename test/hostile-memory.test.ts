import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import http2 from "node:http2";
import { suite, test, type TestContext } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { CrdtStreamInSchema, CrdtStreamOutSchema } from "../lib/wire/gen/cloudstate/crdt_pb.ts";
import { EntitySpecSchema } from "../lib/wire/gen/cloudstate/entity_pb.ts";
import { FrameReader, frameOf } from "../lib/wire/http2-frames.ts";
import { trueSpec } from "./bad-input-function.ts";
import { ProxyProcess } from "./bad-input-proxy.ts";
import { type FakeFunction, headers, openFunction, respond } from "./user-function-harness.ts";

const mb = 1_000_000;
const bufferBytes = 64 * 1024 * 1024;
const kilobytes60 = Buffer.alloc(60_000);

type OnEntity = (stream: http2.ServerHttp2Stream) => void;

/** A user function for the stock example that says the truth of itself; what it does with entity streams is up to the test. */
function openHostile(onEntity: OnEntity, options: http2.ServerOptions = {}): Promise<FakeFunction> {
  const spec = toBinary(EntitySpecSchema, trueSpec());
  return openFunction((stream, request) => {
    const path = String(request[":path"]);
    if (path.endsWith("/discover")) respond(stream, [spec]);
    else if (path.endsWith("/reportError")) respond(stream, [toBinary(EmptySchema, create(EmptySchema))]);
    else onEntity(stream);
  }, options);
}

/** Answers every command with an empty reply and completes when the proxy half-closes. */
const answering: OnEntity = (stream) => {
  const reader = new FrameReader(2 * mb);
  stream.respond(headers, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.on("data", (chunk: Buffer) => {
    reader.push(chunk);
    for (let frame = reader.next(); frame; frame = reader.next()) {
      const { message } = fromBinary(CrdtStreamInSchema, frame);
      if (message.case !== "command") continue;
      const value = { commandId: message.value.id, clientAction: { action: { case: "reply" as const, value: {} } } };
      stream.write(
        frameOf(toBinary(CrdtStreamOutSchema, create(CrdtStreamOutSchema, { message: { case: "reply", value } }))),
      );
    }
  });
  stream.on("end", () => stream.end());
};

/** `Get` of an article, with so many bytes more in a field that nobody knows. */
function requestOf(article: string, ballast: Uint8Array = Buffer.alloc(0)): Buffer {
  const sku = Buffer.from(article);
  const length = Buffer.alloc(5);
  let at = 0;
  for (let rest = ballast.length; at === 0 || rest > 0; rest = Math.floor(rest / 128)) {
    length[at++] = (rest % 128) | (rest >= 128 ? 128 : 0);
  }
  const message = Buffer.concat([
    Buffer.from([10, sku.length]),
    sku,
    Buffer.from([0x7a]),
    length.subarray(0, at),
    ballast,
  ]);
  return Buffer.from(frameOf(message));
}

/** Calls over one session of bare node:http2; each resolves with its gRPC status, "none" without one. */
function openClient(port: number) {
  const session = http2.connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 1_000 });
  session.on("error", () => session.destroy());
  return {
    get(article: string, ballast?: Uint8Array): Promise<string> {
      const stream = session.request({
        ":method": "POST",
        ":path": "/shop.stock.Stock/Get",
        "content-type": "application/grpc",
        te: "trailers",
      });
      const { promise, resolve } = Promise.withResolvers<string>();
      let status = "none";
      for (const event of ["response", "trailers"] as const) {
        stream.on(event, (received: http2.IncomingHttpHeaders) => (status = String(received["grpc-status"] ?? status)));
      }
      stream
        .on("error", () => undefined)
        .on("close", () => resolve(status))
        .resume()
        .end(requestOf(article, ballast));
      return promise;
    },
    /** Resolves when the proxy has read all that was sent before. */
    taken(): Promise<void> {
      return new Promise((resolve) => session.ping(() => resolve()));
    },
    [Symbol.dispose]: () => session.destroy(),
  };
}

/** By how much more a proxy held, and how much more it took from the system, when that was the most. */
interface Growth {
  readonly held: number;
  readonly resident: number;
}

/**
 * Runs `work` and watches the proxy. What it holds is the proxy's to bound; what it takes from the system is also a matter of
 * when V8 collects, which others on the machine have a say in.
 */
async function growthOf(proxy: ProxyProcess, work: () => Promise<unknown>): Promise<Growth> {
  const before = { held: await proxy.heldBytes(), resident: proxy.residentBytes };
  let { held, resident } = before;
  const look = async () => {
    resident = Math.max(resident, proxy.residentBytes);
    held = Math.max(held, await proxy.heldBytes());
  };
  const over = new AbortController();
  const watched = (async () => {
    while (!over.signal.aborted) {
      await look();
      await new Promise((tick) => setTimeout(tick, 500));
    }
  })();
  try {
    await work();
  } finally {
    over.abort();
    await watched;
  }
  await look();
  return { held: held - before.held, resident: resident - before.resident };
}

const inBatches = async (calls: number, atOnce: number, call: (index: number) => Promise<unknown>) => {
  for (let start = 0; start < calls; start += atOnce) {
    await Promise.all(Array.from({ length: Math.min(atOnce, calls - start) }, (_, index) => call(start + index)));
  }
};

/** Long enough that much waits at once, short enough for calls that end by it alone, batch after batch. */
const relayTimeouts = { filling: "6s", mute: "2s" };

suite("the memory of a proxy", { skip: !existsSync("/proc/self/statm") }, () => {
  async function measured(
    t: TestContext,
    onEntity: OnEntity,
    work: (client: ReturnType<typeof openClient>) => Promise<unknown>,
    { relayTimeout = relayTimeouts.filling, settings }: { relayTimeout?: string; settings?: http2.Settings } = {},
  ): Promise<void> {
    let isHostile = false;
    await using fn = await openHostile((stream) => (isHostile ? onEntity : answering)(stream), { settings });
    await using proxy = await ProxyProcess.open(fn.port, undefined, {
      MASSA_RELAY_TIMEOUT: relayTimeout,
      MASSA_LOG_LEVEL: "error",
    });
    using client = openClient(proxy.frontPort);
    await inBatches(2_000, 50, (index) => client.get(`warm-${index % 100}`));
    isHostile = true;
    const { held, resident } = await growthOf(proxy, () => work(client));
    assert.ok(proxy.isAlive);
    const grown = `holds ${Math.round(held / mb)} MB more, takes ${Math.round(resident / mb)} MB more`;
    t.diagnostic(grown);
    assert.ok(held <= bufferBytes + 20 * mb, grown);
  }

  test("is bounded with a function that stops reading", async (t) => {
    const statuses: string[] = [];
    // A little at a time: what a client pushes all at once is the front's to hold (frontend.buffer).
    await measured(
      t,
      (stream) => void stream.pause(),
      async (client) => {
        const calls: Promise<unknown>[] = [];
        for (let index = 0; index < 2_500; index += 1) {
          calls.push(client.get(`still-${index % 300}`, kilobytes60).then((status) => statuses.push(status)));
          if (index % 10 === 9) await client.taken();
        }
        await Promise.all(calls);
      },
    );
    assert.ok(statuses.includes("8"), `nothing was refused as too much: ${[...new Set(statuses)].join()}`);
  });

  test("is bounded with a function that accepts and never answers", async (t) => {
    await measured(
      t,
      (stream) => void stream.resume(),
      (client) => inBatches(3_000, 500, (index) => client.get(`mute-${index}`, Buffer.alloc(2_000))),
      { relayTimeout: relayTimeouts.mute },
    );
  });

  test("is bounded with a function that goes away in the middle, again and again", async (t) => {
    let left = 0;
    await measured(
      t,
      (stream) => {
        answering(stream);
        if (left++ % 50 === 49) stream.session?.goaway(0, stream.id);
      },
      (client) => inBatches(3_000, 50, (index) => client.get(`gone-${index}`, Buffer.alloc(1_000))),
    );
  });

  test("is bounded with a function that takes two streams a session", async (t) => {
    await measured(
      t,
      answering,
      (client) => inBatches(600, 100, (index) => client.get(`two-${index}`, Buffer.alloc(1_000))),
      { settings: { maxConcurrentStreams: 2 } },
    );
  });

  test("is bounded with 10,000 entities open", async (t) => {
    await measured(t, answering, (client) => inBatches(10_000, 64, (index) => client.get(`open-${index}`)));
  });
});
