import { parseConfig } from "../lib/core/config.ts";
import { silentLogger } from "../lib/core/log.ts";
import { openProxy, type Proxy } from "../lib/proxy.ts";

/** A proxy of this process on free ports, before the function on `functionPort`; `env` holds more settings. */
export function openTestProxy(functionPort: number, env: Readonly<Record<string, string>> = {}): Promise<Proxy> {
  const { config } = parseConfig({
    env: {
      MASSA_PORT: "0",
      MASSA_ADMIN_PORT: "0",
      MASSA_MESH_PORT: "0",
      MASSA_MESH_LEAVE_TIMEOUT: "100ms",
      USER_FUNCTION_PORT: `${functionPort}`,
      ...env,
    },
    args: [],
    machine: { hostName: "test", processId: process.pid },
  });
  return openProxy({ config, log: silentLogger });
}
