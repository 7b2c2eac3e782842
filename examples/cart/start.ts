// `npm run cart`: the cart function and one proxy, whose state is in a file and there again the next time.
import { join, resolve } from "node:path";
import type { KeptProcess } from "../kept-process.ts";
import { host, portRow } from "../ports.ts";
import { run, table } from "../stage.ts";

const root = join(import.meta.dirname, "../..");
const front = portRow("CART_FRONT_PORT", 9001, 1);
const admin = portRow("CART_ADMIN_PORT", 9090, 1);
const functionPort = portRow("CART_FUNCTION_PORT", 8080, 1);
const file = resolve(process.env["CART_FILE"] ?? "cart.db");

console.log("Starting a user function and a proxy …");
process.exit(
  await run({
    command: "npm run cart",
    functions: [
      {
        name: "function",
        command: [join(root, "examples/cart/function.ts")],
        env: { HOST: host, PORT: `${functionPort.first}` },
      },
    ],
    proxies: [
      {
        name: "proxy",
        adminPort: admin.first,
        command: [join(root, "lib/main.ts")],
        env: {
          MASSA_PORT: `${front.first}`,
          MASSA_FRONTEND_HOST: host,
          MASSA_ADMIN_PORT: `${admin.first}`,
          MASSA_ADMIN_HOST: host,
          MASSA_MESH_PORT: "0",
          MASSA_MESH_HOST: host,
          // Known to everybody: good on loopback alone, which is where this mesh of one listens.
          MASSA_MESH_KEY: "for-development-only",
          MASSA_STORE: `file:${file}`,
          MASSA_LOG_LEVEL: process.env["MASSA_LOG_LEVEL"] ?? "warn",
          USER_FUNCTION_HOST: host,
          USER_FUNCTION_PORT: `${functionPort.first}`,
        },
      },
    ],
    ports: [front, admin, functionPort],
    overview,
  }),
);

function overview(functions: readonly KeptProcess[], proxies: readonly KeptProcess[]): string {
  const url = `http://${host}:${front.first}`;
  const json = "-H 'content-type: application/json'";
  return `
${table([
  ["name", "pid", "front", "admin", "function"],
  ...proxies.map(({ name, pid }) => [name, `${pid}`, `${front.first}`, `${admin.first}`]),
  ...functions.map(({ name, pid }) => [name, `${pid}`, "", "", `${functionPort.first}`]),
])}

State is kept in ${file}

Type in another terminal:
  curl ${json} -d '{"sku":"tea","quantity":2}' ${url}/carts/ada/items
  curl ${url}/carts/ada
  # refused: nobody knows where she lives
  curl -X POST ${url}/customers/ada/checkout
  curl ${json} -X PUT -d '{"name":"Ada","address":"12 St James Square"}' ${url}/customers/ada
  curl -X POST ${url}/customers/ada/checkout
  # made from the event log of the carts
  curl ${url}/customers/ada/habit

docs/tour-cart.md goes on from here. Ctrl-C ends all.
`;
}
