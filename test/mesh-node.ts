import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import { openLibp2pMesh } from "../lib/mesh/libp2p.ts";

// A node in a process of its own, for tests that stop and kill it: `mesh-node.ts HOST:PORT KEY`. It ends with its parent.
const [peer, key] = process.argv.slice(2) as [string, string];
const replica = Buffer.from(realWorld.random.bytes(16)).toString("hex");
const nothing = () => undefined;
const mesh = await openLibp2pMesh(
  {
    port: 0,
    host: "127.0.0.1",
    peers: [peer],
    keys: [key],
    hello: {
      cluster: "test",
      nodeName: "child",
      replica,
      incarnation: 1,
      services: [],
      groups: [],
      members: new Uint8Array(0),
    },
    limits: { redialMinMs: 20, redialMaxMs: 200 },
  },
  realWorld,
  silentLogger,
  silentTelemetry,
);
await mesh.start({
  admitted: nothing,
  changed: nothing,
  lost: nothing,
  frame: nothing,
  gossip: nothing,
  request: () => ({ message: nothing, halfClose: nothing, cancel: nothing, drain: nothing }),
});
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit();
}, 500);
