import { pino, type DestinationStream, type Logger as Pino } from "pino";
import type { Config } from "./config.ts";
import type { Logger } from "./log.ts";

/** Logs to standard output, one JSON line an event, or to `destination`. Levels below `level` cost next to nothing. */
export function createLogger(
  level: Config["log"]["level"],
  bindings: Readonly<Record<string, unknown>>,
  destination?: DestinationStream,
): Logger {
  const options = {
    level,
    base: { ...bindings },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return loggerOf(destination ? pino(options, destination) : pino(options));
}

function loggerOf(log: Pino): Logger {
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => log.error(fields, message),
    child: (bindings) => loggerOf(log.child(bindings)),
  };
}
