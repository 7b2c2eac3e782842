import assert from "node:assert/strict";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { once } from "node:events";
import { test } from "node:test";
import { openAdmin, type AdminOptions, type AdminServer } from "../lib/admin/server.ts";
import { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { createTelemetry } from "../lib/core/telemetry.ts";

const options: AdminOptions = {
  host: "0.0.0.0",
  port: 0,
  token: "a token of this test",
  connectionsMax: 50,
  requestTimeoutMs: 10_000,
  bodyBytesMax: 1_000,
  headerBytesMax: 16_384,
};

async function openTestAdmin(
  changes: Partial<AdminOptions> = {},
  reasons: readonly string[] = [],
): Promise<AdminServer> {
  const { telemetry, registry } = createTelemetry();
  const admin = await openAdmin(
    { log: silentLogger, telemetry, metrics: registry, reasons: () => reasons },
    { ...options, ...changes },
  );
  admin.route(
    "POST",
    "/things/:name",
    async ({ params, body, query }) => ({
      status: 202,
      body: { ...params, bytes: body.length, wait: query.get("wait") },
    }),
    "guarded",
  );
  admin.route("GET", "/boom", () => Promise.reject(new MassaError("conflict", "it boomed")), "open");
  return admin;
}

interface Ask {
  readonly method?: string;
  readonly host?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

async function ask(
  { port }: AdminServer,
  path: string,
  { method = "GET", host = "127.0.0.1", headers = {}, body }: Ask = {},
) {
  const request = httpRequest({ port, path, method, host, headers });
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const text = (await Array.fromAsync(response as AsyncIterable<Buffer>)).join("");
  return { status: response.statusCode, text, type: response.headers["content-type"] };
}

const outside = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ internal, family }) => !internal && family === "IPv4")?.address;

test("metrics come in Prometheus' form, with every name of the table", async () => {
  await using admin = await openTestAdmin();
  const { status, text, type } = await ask(admin, "/metrics");
  assert.equal(status, 200);
  assert.match(type!, /^text\/plain; version=0\.0\.4/);
  assert.match(text, /^# HELP massa_commands_total /m);
});

test("metrics that are named come alone, and those that nobody knows not at all", async () => {
  await using admin = await openTestAdmin();
  const names = async (query: string) => {
    const { status, text } = await ask(admin, `/metrics?${query}`);
    assert.equal(status, 200);
    return [...text.matchAll(/^# HELP (\S+) /gm)].map(([, name]) => name);
  };
  const [commands, bytes] = ["massa_commands_total", "massa_store_bytes"];
  assert.deepEqual(await names(`name[]=${commands}&name%5B%5D=${bytes}&name[]=no_metric&name[]=constructor`), [
    commands,
    bytes,
  ]);
  assert.equal((await ask(admin, "/metrics?name[]=no_metric")).text, "");
  assert.ok((await names("name=ignored")).length > 2);
});

test("health is live at once, and ready with the reasons why not", async () => {
  await using admin = await openTestAdmin({}, ["the user function is away"]);
  for (const path of ["/healthz", "/alive"]) assert.equal((await ask(admin, path)).status, 200);
  for (const path of ["/readyz", "/ready"]) {
    const { status, text } = await ask(admin, path);
    assert.equal(status, 503);
    assert.deepEqual(JSON.parse(text), { ready: false, reasons: ["the user function is away"] });
  }
  await using ready = await openTestAdmin();
  assert.deepEqual(await ask(ready, "/readyz"), { status: 200, text: '{"ready":true}\n', type: "application/json" });
});

test("a route gets its parameters decoded, its query and its body", async () => {
  await using admin = await openTestAdmin();
  const { status, text } = await ask(admin, "/things/a%2Fb%20c?wait=ack", { method: "POST", body: "12345" });
  assert.equal(status, 202);
  assert.deepEqual(JSON.parse(text), { name: "a/b c", bytes: 5, wait: "ack" });
});

test(
  "who changes state comes from loopback or has the token",
  { skip: outside === undefined && "no other address" },
  async () => {
    await using admin = await openTestAdmin();
    const post = (headers: Record<string, string>, host = outside!) =>
      ask(admin, "/things/x", { method: "POST", host, headers });
    assert.equal((await post({})).status, 401);
    assert.equal((await post({ authorization: "Bearer wrong" })).status, 401);
    assert.equal((await post({ authorization: `Bearer ${options.token!}` })).status, 202);
    assert.equal((await post({}, "127.0.0.1")).status, 202);
    assert.equal((await ask(admin, "/readyz", { host: outside! })).status, 200);
  },
);

test(
  "without a token nobody but loopback changes state",
  { skip: outside === undefined && "no other address" },
  async () => {
    await using admin = await openTestAdmin({ token: undefined });
    const headers = { authorization: "Bearer undefined" };
    assert.equal((await ask(admin, "/things/x", { method: "POST", host: outside!, headers })).status, 401);
  },
);

test("a web page on this machine cannot change state", async () => {
  await using admin = await openTestAdmin();
  const headers = { origin: "http://evil.example" };
  assert.equal((await ask(admin, "/things/x", { method: "POST", headers })).status, 403);
});

test("a body over the limit is refused, announced or not, and the server lives", async () => {
  await using admin = await openTestAdmin();
  const long = "x".repeat(2_000);
  const announced = await ask(admin, "/things/x", { method: "POST", body: long });
  assert.equal(announced.status, 413);
  assert.match(announced.text, /limits\.message of 1000 bytes/);
  const chunked = await ask(admin, "/things/x", {
    method: "POST",
    body: long,
    headers: { "transfer-encoding": "chunked" },
  });
  assert.equal(chunked.status, 413);
  assert.equal((await ask(admin, "/healthz")).status, 200);
});

test("what is wrong with a request is said with the right status", async () => {
  await using admin = await openTestAdmin();
  assert.equal((await ask(admin, "/nothing")).status, 404);
  assert.deepEqual(await ask(admin, "/things/x", { method: "DELETE" }).then(({ status, text }) => [status, text]), [
    405,
    '{"error":"/things/x takes POST, not DELETE"}\n',
  ]);
  assert.equal((await ask(admin, "/things/%zz", { method: "POST" })).status, 400);
  assert.equal((await ask(admin, "//")).status, 404);
  const { status, text } = await ask(admin, "/boom");
  assert.deepEqual([status, text], [409, '{"error":"it boomed"}\n']);
});

test("garbage on the port gets an answer or its end, and the server lives", async () => {
  await using admin = await openTestAdmin();
  const socket = connect(admin.port, "127.0.0.1");
  socket.on("error", () => undefined); // A reset is an answer, too.
  socket.end("\u0016\u0003\u0001 no http at all\r\n\r\n");
  socket.resume();
  await once(socket, "close");
  assert.equal((await ask(admin, "/healthz")).status, 200);
});

test("a taken port is named with the variable that moves it", async () => {
  await using admin = await openTestAdmin();
  await assert.rejects(openTestAdmin({ port: admin.port }), (failure: MassaError) => {
    assert.equal(failure.code, "unavailable");
    assert.match(failure.message, new RegExp(`0\\.0\\.0\\.0:${admin.port}: it is taken; MASSA_ADMIN_PORT`));
    return true;
  });
});

test("closing ends connections that idle", async () => {
  const admin = await openTestAdmin();
  const socket = connect(admin.port, "127.0.0.1");
  await once(socket, "connect");
  await ask(admin, "/healthz");
  const closed = once(socket, "close");
  await admin[Symbol.asyncDispose]();
  await admin[Symbol.asyncDispose]();
  await closed;
});
