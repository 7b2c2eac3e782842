// The model function as a process of its own: PORT (8080) says where it listens, on HOST (127.0.0.1).
import { once } from "node:events";
import { serve } from "../../../lib/sdk/index.ts";
import { modelServices } from "./services.ts";

const { PORT = "8080", HOST = "127.0.0.1" } = process.env;
const running = await serve({ services: modelServices, port: Number(PORT), host: HOST, name: "model" });
console.log(`the model function listens on ${HOST}:${running.port.toString()}`);
await Promise.race(["SIGINT", "SIGTERM"].map((signal) => once(process, signal)));
await running.stop(1_000);
