import { stringify } from "yaml";
import { settings, type ParsedConfig } from "../core/config.ts";

const widthMax = 48;

/** The configuration as it holds: a YAML file that says the same, with the origin of each value beside it; secrets are hidden. */
export function showConfig({ origins, written }: ParsedConfig): readonly string[] {
  const lines = settings.map(({ key, secret, fallback }) => {
    if (!(key in written)) return [`# ${key}:`, `default: ${fallback}`] as const;
    return [`${key}: ${secret ? "(hidden)" : asYaml(written[key])}`, origins[key]!] as const;
  });
  const width = Math.min(widthMax, Math.max(...lines.map(([shown]) => shown.length)));
  return lines.map(([shown, origin]) => `${shown.padEnd(width)}  # ${origin}`);
}

function asYaml(value: unknown): string {
  // What came as text from a variable or a flag need not be quoted where YAML reads the same setting from it.
  if (typeof value === "string" && /^(?:\d+|true|false)$/.test(value)) return value;
  return stringify(value, { collectionStyle: "flow", lineWidth: 0 }).trim();
}
