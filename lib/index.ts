/**
 * `massa`: a proxy started from code.
 *
 * ```ts
 * import { createLogger, openProxy, parseConfig } from "massa";
 *
 * const { config } = parseConfig({ env: { USER_FUNCTION_PORT: "8080" }, args: [], machine: { hostName: "here", processId: 1 } });
 * await using proxy = await openProxy({ config, log: createLogger("info", {}) });
 * ```
 */
export { type Config, parseConfig, type ParsedConfig } from "./core/config.ts";
export { type Code, MassaError } from "./core/errors.ts";
export { type Logger, silentLogger } from "./core/log.ts";
export { createLogger } from "./core/pino.ts";
export { openProxy, type Proxy, type ProxyParts } from "./proxy.ts";
