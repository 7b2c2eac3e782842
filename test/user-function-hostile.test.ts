import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import type http2 from "node:http2";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { suite, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { at, echo, openFunction, openLink, Told } from "./user-function-harness.ts";

const never = new AbortController().signal;
const mib = 1024 * 1024;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes that are in use, buffers included, once garbage is collected; buffers take a few rounds. */
async function usedBytes(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    collectGarbage();
    await new Promise(setImmediate);
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

suite("a function that advertises two streams", () => {
  test("gets its streams over more sessions, none waits in silence", async () => {
    await using fn = await openFunction(echo, { settings: { maxConcurrentStreams: 2 } });
    await using link = openLink(at(fn.port));
    const streams = Array.from({ length: 20 }, (_, index) => {
      const told = new Told(link, "/p.S/m");
      told.send(String(index));
      return told;
    });
    await Promise.all(streams.map((told) => told.until(() => told.messages.length === 1)));
    assert.deepEqual(
      streams.map((told) => told.messages[0]),
      Array.from({ length: 20 }, (_, index) => String(index)),
    );
    assert.ok(fn.accepted >= 10 && fn.accepted <= 12, `${fn.accepted} sessions`);
    for (const told of streams) told.stream.end();
    await Promise.all(streams.map((told) => told.over()));
  });

  test("makes the rest wait when no more sessions may be opened, and says so when it was in vain", async () => {
    await using fn = await openFunction(echo, { settings: { maxConcurrentStreams: 2 } });
    await using link = openLink(at(fn.port), { sessionsMax: 2, waitMs: 300 });
    const streams = Array.from({ length: 6 }, () => new Told(link, "/p.S/m"));
    const [first, , , , fifth, sixth] = streams;
    fifth!.send("late");
    first!.send("early");
    await first!.until(() => first!.messages.length === 1);
    first!.stream.cancel();
    await fifth!.until(() => fifth!.messages.length === 1);
    await sixth!.over();
    assert.equal(sixth!.error?.code, "unavailable");
    assert.match(sixth!.reason, /no free stream .* within 300 ms: 4 are open on 2 sessions/);
    assert.equal(fn.accepted, 2);
  });
});

suite("a function that stops reading", () => {
  test("is held no more for than the buffer, however much is written to however many streams", async () => {
    const stopped: http2.ServerHttp2Stream[] = [];
    await using fn = await openFunction((stream) => void stopped.push(stream.pause()));
    await using link = openLink(at(fn.port), { bufferBytes: 32 * mib });
    const streams = Array.from({ length: 100 }, () => new Told(link, "/p.S/m"));
    const before = await usedBytes();
    let fullAt = 0;
    for (let round = 0; round < 20; round++) {
      for (const told of streams) if (!told.error && !told.send(Buffer.alloc(100 * 1024))) fullAt += 1;
      await new Promise(setImmediate);
    }
    assert.ok(fullAt > 100, "no write said that the function does not read");
    const failed = streams.filter((told) => told.error);
    assert.ok(failed.length > 0);
    for (const told of failed)
      assert.deepEqual([told.error!.code, /userFunction\.buffer/.test(told.error!.message)], ["exhausted", true]);
    const grown = (await usedBytes()) - before;
    assert.ok(grown < (32 + 20) * mib, `grown by ${Math.round(grown / mib)} MiB`);
    for (const told of streams) told.stream.cancel();
  });
});

suite("callers who give up", () => {
  test("reset no more streams of a connection than a server bears; it is left, and ended once nothing lives on it", async () => {
    const seen = new Map<http2.Http2Session, number>();
    await using fn = await openFunction((stream, request) => {
      const { session } = stream;
      if (session) stream.on("aborted", () => seen.set(session, (seen.get(session) ?? 0) + 1));
      echo(stream, request);
    });
    await using link = openLink(at(fn.port));
    const call = "/cloudstate.action.ActionProtocol/handleStreamed";
    const bystander = new Told(link, call);
    const streams = Array.from({ length: 1_200 }, () => new Told(link, call));
    for (const told of [bystander, ...streams]) told.send("begun");
    await Promise.all([bystander, ...streams].map((told) => told.until(() => told.messages.length === 1)));
    for (const told of streams) told.stream.cancel();
    const later = new Told(link, call);
    later.send("later");
    await later.until(() => later.messages.length === 1);
    assert.ok(Math.max(...seen.values()) < 400, `${Math.max(...seen.values())} resets on one connection`);
    bystander.send("still there");
    await bystander.until(() => bystander.messages.length === 2);
    // One for entities, the one that is left, and the next.
    const open = () => fn.sessions.size;
    assert.equal(open(), 3);
    bystander.stream.end();
    await bystander.over();
    while (open() > 2) await new Promise(setImmediate);
    later.send("and on");
    await later.until(() => later.messages.length === 2);
  });

  test("and what they do to a connection does not reach the entities", async () => {
    await using fn = await openFunction(echo);
    await using link = openLink(at(fn.port));
    const [entity, action] = ["/cloudstate.crdt.Crdt/handle", "/cloudstate.action.ActionProtocol/handleUnary"].map(
      (path) => new Told(link, path),
    );
    for (const told of [entity!, action!]) told.send("x");
    await Promise.all([entity!, action!].map((told) => told.until(() => told.messages.length === 1)));
    assert.equal(fn.sessions.size, 2);
  });
});

suite("a function that says GOAWAY", () => {
  test("may be another one by the time that its last connection ends, which is told once", async () => {
    const begun: http2.ServerHttp2Stream[] = [];
    await using fn = await openFunction((stream, request) => {
      begun.push(stream);
      echo(stream, request);
    });
    await using link = openLink(at(fn.port));
    const events: string[] = [];
    const renewed = Promise.withResolvers<undefined>();
    link.watch({
      lost: () => void events.push("lost"),
      found: () => void events.push("found"),
      renewed: () => {
        events.push("renewed");
        renewed.resolve(undefined);
      },
    });
    const early = new Told(link, "/p.S/m");
    early.send("a");
    await early.until(() => early.messages.length === 1);
    begun[0]!.session!.goaway(0, begun[0]!.id);
    const late = new Told(link, "/p.S/m");
    late.send("b");
    await late.until(() => late.messages.length === 1);
    assert.deepEqual(events, ["found"], "the first connection stands");
    early.stream.end();
    await early.over();
    await renewed.promise;
    assert.deepEqual(events, ["found", "renewed"]);
  });

  test("finishes what it has begun, gets the rest over a new session, and is not lost", async () => {
    const begun: http2.ServerHttp2Stream[] = [];
    await using fn = await openFunction((stream) => {
      echo(stream, {});
      begun.push(stream);
    });
    await using link = openLink(at(fn.port));
    const events: string[] = [];
    link.watch({ lost: () => void events.push("lost"), found: () => void events.push("found") });
    const early = new Told(link, "/p.S/m");
    early.send("a");
    await early.until(() => early.messages.length === 1);
    // All later streams are above the last one of the GOAWAY: the function never begins them.
    begun[0]!.session!.goaway(0, begun[0]!.id);
    const late = Array.from({ length: 10 }, (_, index) => {
      const told = new Told(link, "/p.S/m");
      told.send(`late ${index}`);
      told.stream.end();
      return told;
    });
    await Promise.all(late.map((told) => told.over()));
    assert.deepEqual(
      late.map((told) => [told.messages[0], told.error]),
      Array.from({ length: 10 }, (_, index) => [`late ${index}`, undefined]),
    );
    early.send("b");
    await early.until(() => early.messages.length === 2);
    early.stream.end();
    await early.over();
    assert.deepEqual([early.messages, early.error, events, fn.accepted], [["a", "b"], undefined, ["found"], 2]);
  });

  test("gets again what it had not begun, also when it goes with an error", async () => {
    const begun: http2.ServerHttp2Stream[] = [];
    await using fn = await openFunction((stream) => {
      echo(stream, {});
      begun.push(stream);
    });
    await using link = openLink(at(fn.port));
    const early = new Told(link, "/p.S/m");
    early.send("a");
    await early.until(() => early.messages.length === 1);
    begun[0]!.session!.goaway(2, begun[0]!.id);
    const late = new Told(link, "/p.S/m");
    late.send("late");
    late.stream.end();
    await Promise.all([early.over(), late.over()]);
    assert.deepEqual([early.error?.code, late.messages, late.error], ["unavailable", ["late"], undefined]);
  });

  test("loses what it had begun when it goes with an error, and is reached again", async () => {
    const begun: http2.ServerHttp2Stream[] = [];
    await using fn = await openFunction((stream) => {
      echo(stream, {});
      begun.push(stream);
    });
    await using link = openLink(at(fn.port));
    const told = new Told(link, "/p.S/m");
    told.send("a");
    await told.until(() => told.messages.length === 1);
    begun[0]!.session!.destroy(undefined, 2);
    await told.over();
    assert.equal(told.error?.code, "unavailable");
    assert.equal((await link.unary("/p.S/m", Buffer.from("again"), never)).byteLength, 5);
  });
});

suite("a function that accepts and never answers", () => {
  test("counts as not there, with a reason that says what it did", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => void sockets.push(socket.resume().on("error", () => undefined)));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await using link = openLink(at(port), { waitMs: 150, connectTimeoutMs: 50 });
    const told = await new Told(link, "/p.S/m").over();
    assert.equal(told.error?.code, "unavailable");
    assert.match(told.reason, /accepted the connection but sent no HTTP\/2 settings within 50 ms/);
    assert.ok(sockets.length >= 2, "tried once only");
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  test("is lost when it was there before", async () => {
    const fn = await openFunction(echo);
    await using link = openLink(at(fn.port), { connectTimeoutMs: 50, waitMs: 200 });
    const lost = Promise.withResolvers<string>();
    link.watch({ lost: (reason) => lost.resolve(reason.message), found: () => undefined });
    await link.unary("/p.S/m", Buffer.from("x"), never);
    await fn[Symbol.asyncDispose]();
    const server = createServer(
      (socket) =>
        void socket
          .resume()
          .on("error", () => undefined)
          .unref(),
    );
    server.listen(fn.port, "127.0.0.1");
    await once(server, "listening");
    assert.match(await lost.promise, /no HTTP\/2 settings|ECONNREFUSED/);
    server.close();
  });
});

suite("10,000 open streams", () => {
  test("cost the proxy less than 15 kB each, and a message on each is answered", async () => {
    const child = spawn(process.execPath, ["--conditions=massa-source", "bench/function.ts", "--port", "0"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const [line] = (await once(createInterface(child.stdout), "line")) as [string];
      const { port } = (JSON.parse(line) as { listening: { port: number } }).listening;
      await using link = openLink(at(port));
      const first = new Told(link, "/bench.Raw/stream");
      first.send("up");
      await first.until(() => first.messages.length === 1);
      const before = await usedBytes();
      const streams = Array.from({ length: 10_000 }, () => new Told(link, "/bench.Raw/stream"));
      for (const told of streams) told.send("hello");
      await Promise.all(streams.map((told) => told.until(() => told.messages.length === 1)));
      const each = ((await usedBytes()) - before) / streams.length;
      assert.ok(each < 15_000, `${Math.round(each)} bytes a stream`);
      for (const told of streams) told.stream.cancel();
    } finally {
      child.kill();
    }
  });
});
