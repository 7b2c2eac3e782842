import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { fileVariable } from "../core/config-environment.ts";
import { parseConfig, type ParsedConfig } from "../core/config.ts";
import { MassaError } from "../core/errors.ts";
import type { Surroundings } from "./surroundings.ts";

const usualFile = "massa.yaml";

/** Reads the configuration file (`--config`, `MASSA_CONFIG` or `massa.yaml`), the environment and the flags. Throws `invalid`. */
export function loadConfig({ env }: Surroundings, path: string | undefined, args: readonly string[]): ParsedConfig {
  const file = readConfigFile(path ?? (env[fileVariable] || undefined));
  return parseConfig({ file, env, args, machine: { hostName: hostname(), processId: process.pid } });
}

function readConfigFile(named: string | undefined): { readonly path: string; readonly text: string } | undefined {
  const path = named ?? usualFile;
  try {
    return { path, text: readFileSync(path, "utf8") };
  } catch (failure) {
    const isMissing = failure instanceof Error && "code" in failure && failure.code === "ENOENT";
    if (isMissing && named === undefined) return undefined;
    const reason = failure instanceof Error ? failure.message : String(failure);
    throw new MassaError("invalid", `the configuration file ${path} cannot be read: ${reason}`, { cause: failure });
  }
}
