// `npm start`: three proxies in a mesh, each with the stock function behind it, on this machine.
import { join } from "node:path";
import type { KeptProcess, Recipe } from "../kept-process.ts";
import { host, portRow } from "../ports.ts";
import { type ProxyRecipe, run, table } from "../stage.ts";

const root = join(import.meta.dirname, "../..");
const letters = ["a", "b", "c"];
/** Each kind takes three ports in a row. */
const rows = {
  front: portRow("START_FRONT_PORT", 9001, letters.length),
  mesh: portRow("START_MESH_PORT", 9005, letters.length),
  admin: portRow("START_ADMIN_PORT", 9090, letters.length),
  function: portRow("START_FUNCTION_PORT", 8080, letters.length),
};

console.log("Starting three user functions and three proxies …");
process.exit(
  await run({
    command: "npm start",
    functions: letters.map((_, index) => functionRecipe(index)),
    proxies: letters.map((_, index) => proxyRecipe(index)),
    ports: Object.values(rows),
    overview,
  }),
);

function functionRecipe(index: number): Recipe {
  return {
    name: `function-${letters[index]!}`,
    command: [join(root, "examples/stock/function.ts")],
    env: { HOST: host, PORT: `${portOf("function", index)}` },
  };
}

function proxyRecipe(index: number): ProxyRecipe {
  return {
    name: `proxy-${letters[index]!}`,
    adminPort: portOf("admin", index),
    command: [join(root, "lib/main.ts")],
    env: {
      MASSA_NODE_NAME: letters[index]!,
      MASSA_PORT: `${portOf("front", index)}`,
      MASSA_FRONTEND_HOST: host,
      MASSA_ADMIN_PORT: `${portOf("admin", index)}`,
      MASSA_ADMIN_HOST: host,
      MASSA_MESH_PORT: `${portOf("mesh", index)}`,
      MASSA_MESH_HOST: host,
      MASSA_MESH_PEERS: letters.map((_, peer) => `${host}:${portOf("mesh", peer)}`).join(","),
      // Known to everybody: good on loopback alone, which is where this mesh listens.
      MASSA_MESH_KEY: "for-development-only",
      // All three leave at once at the end, and would wait for one another.
      MASSA_MESH_LEAVE_TIMEOUT: "2s",
      MASSA_LOG_LEVEL: process.env["MASSA_LOG_LEVEL"] ?? "warn",
      USER_FUNCTION_HOST: host,
      USER_FUNCTION_PORT: `${portOf("function", index)}`,
    },
  };
}

function portOf(kind: keyof typeof rows, index: number): number {
  return rows[kind].first + index;
}

function overview(functions: readonly KeptProcess[], proxies: readonly KeptProcess[]): string {
  const call = (index: number, method: string, json: string) =>
    `  npm run -s massa -- call ${host}:${portOf("front", index)} shop.stock.Stock/${method} '${json}'`;
  return `
${table([
  ["name", "pid", "front", "mesh", "admin", "function"],
  ...proxies.map(({ name, pid }, index) => [
    name,
    `${pid}`,
    ...(["front", "mesh", "admin"] as const).map((kind) => `${portOf(kind, index)}`),
  ]),
  ...functions.map(({ name, pid }, index) => [name, `${pid}`, "", "", "", `${portOf("function", index)}`]),
])}

Type in another terminal:
  # goods arrive at proxy-a; the level is the same at b and c
${call(0, "Receive", `{"sku":"tea","quantity":5}`)}
${call(1, "Get", `{"sku":"tea"}`)}
  # follow the level at c (Ctrl-C ends it) …
${call(2, "Watch", `{"sku":"tea"}`)}
  # … while an order comes in through the topic "orders" of a
  curl -H 'content-type: application/json' -d '{"sku":"tea","quantity":2}' 'http://${host}:${portOf("admin", 0)}/topics/orders?wait=ack'

Ctrl-C ends all.
`;
}
