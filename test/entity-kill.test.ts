import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { Client, credentials } from "@grpc/grpc-js";
import { answers } from "./conformance/proxy-process.ts";
import { input, openEntityFunction, outputText } from "./entity-function.ts";

const rounds = 3;
const entities = 16;
const identity = (bytes: Buffer): Buffer => bytes;

suite("entities over a store in a file", () => {
  test("keep all that was answered, in order and once, when the proxy is killed under load again and again", async () => {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "massa-entities-"));
    stack.defer(() => rm(folder, { recursive: true }));
    const served = stack.use(await openEntityFunction());
    const [port, admin] = [await freePort(), await freePort()];
    const env = {
      MASSA_PORT: `${port}`,
      MASSA_ADMIN_PORT: `${admin}`,
      MASSA_MESH_PORT: "0",
      MASSA_MESH_LEAVE_TIMEOUT: "100ms",
      MASSA_STORE: `file:${join(folder, "massa.db")}`,
      MASSA_LOG_LEVEL: "error",
      USER_FUNCTION_PORT: `${served.port}`,
    };
    const acknowledged = Array.from({ length: entities }, (): string[] => []);
    const lastValue = Array.from({ length: entities }, () => new Set<string>());
    let number = 0;
    for (let round = 0; round < rounds; round++) {
      const proxy = await start(env, port);
      const client = clientOf(port);
      let enough = 0;
      const bombard = async (entity: number) => {
        for (;;) {
          const token = `${++number}.`;
          lastValue[entity]!.add(token);
          try {
            await call(client, "Events/Append", `${entity}`, token);
            acknowledged[entity]!.push(token);
            await call(client, "Values/Set", `${entity}`, token);
            lastValue[entity] = new Set([token]);
          } catch (failure) {
            if (proxy.killed) return;
            throw failure;
          }
          if (++enough === entities * 10) proxy.kill("SIGKILL");
        }
      };
      await Promise.all(acknowledged.map((_, entity) => bombard(entity)));
      client.close();
      if (proxy.exitCode === null && proxy.signalCode === null) await once(proxy, "exit");
      assert.equal(proxy.signalCode, "SIGKILL");
    }
    const proxy = await start(env, port);
    const client = clientOf(port);
    for (const [entity, wanted] of acknowledged.entries()) {
      const tokens = (await call(client, "Events/Get", `${entity}`)).match(/\d+\./g) ?? [];
      assert.equal(new Set(tokens).size, tokens.length, "an event is there twice");
      const kept = tokens.filter((token) => wanted.includes(token));
      assert.deepEqual(kept, wanted);
      const value = await call(client, "Values/Get", `${entity}`);
      assert(lastValue[entity]!.has(value), `entity ${entity} holds ${value}, which is older than what was answered`);
    }
    assert(!served.seen.some((line) => line.includes("GAP")));
    client.close();
    proxy.kill("SIGTERM");
    assert.deepEqual(await once(proxy, "exit"), [0, null]);
  });
});

async function start(env: Readonly<Record<string, string>>, port: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, ["--conditions=massa-source", "lib/main.ts"], {
    cwd: join(import.meta.dirname, ".."),
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "inherit"],
  });
  await answers(`127.0.0.1:${port}`, 20_000, () => child.exitCode !== null);
  return child;
}

function clientOf(port: number): Client {
  return new Client(`127.0.0.1:${port}`, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
}

function call(client: Client, method: string, id: string, text = ""): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  client.makeUnaryRequest(`/t.${method}`, identity, identity, Buffer.from(input(id, text)), (error, value) => {
    if (error) reject(error);
    else resolve(outputText(value!));
  });
  return promise;
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
