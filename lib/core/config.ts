import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { contradictions } from "./config-rules.ts";
import { configSchema, settingInfos, type SettingInfo } from "./config-schema.ts";
import { aliases, readEnvironment, suggestion, variableOf, type Found, type Source } from "./config-environment.ts";
import { MassaError } from "./errors.ts";

/** All settings: times in milliseconds, sizes in bytes. */
export type Config = z.infer<typeof configSchema> & { readonly node: { readonly name: string } };

/** One setting as `massa config` and the tables in docs/ show it. */
export interface Setting extends SettingInfo {
  /** Such as `frontend.port`. */
  readonly key: string;
  /** Its environment variables, the full name first. */
  readonly variables: readonly string[];
}

export interface ConfigSources {
  /** A configuration file, if there is one. */
  readonly file?: { readonly path: string; readonly text: string } | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Flags such as `--frontend.port 9001` or `--frontend.port=9001`. */
  readonly args: readonly string[];
  /** What the default of `node.name` is made of; the process id only when the front port is a free one. */
  readonly machine: { readonly hostName: string; readonly processId: number };
}

export interface ParsedConfig {
  readonly config: Config;
  /** Where each setting's value comes from: a file's path, a variable, a flag, or `default`. */
  readonly origins: Readonly<Record<string, string>>;
  /** Each value as it was written, units included; defaults too. Without a key for what has no value. */
  readonly written: Readonly<Record<string, unknown>>;
  /** What the log should mention, a line each. */
  readonly notes: readonly string[];
}

const leaves = leavesOf(configSchema);
const keys = leaves.map(([key]) => key);

/** Every setting in the order of the schema. */
export const settings: readonly Setting[] = leaves.map(([key, info]) => ({
  ...info,
  key,
  variables: [variableOf(key), ...Object.keys(aliases).filter((name) => aliases[name] === key)],
}));

/**
 * Reads the file, the environment and the flags, each over the one before. Throws `invalid` with one line for each thing that is
 * wrong: unknown names with the closest known one, and values with where they stand.
 */
export function parseConfig({ file, env, args, machine }: ConfigSources): ParsedConfig {
  const nothing: Source = { found: [], problems: [], notes: [] };
  const sources = [file ? readFile(file.path, file.text) : nothing, readEnvironment(env, keys), readFlags(args)];
  const found = new Map(sources.flatMap((source) => source.found).map((entry) => [entry.key, entry]));
  const checked = configSchema.safeParse(nested(found));
  const problems = [
    ...sources.flatMap((source) => source.problems),
    ...(checked.error?.issues.map((issue) => explain(issue, found)) ?? []),
  ];
  if (!checked.success || problems.length > 0) throw new MassaError("invalid", problems.join("\n"));
  const config = checked.data;
  const origins = Object.fromEntries(keys.map((key) => [key, found.get(key)?.origin ?? "default"]));
  const place = config.frontend.port === 0 ? `process-${machine.processId}` : config.frontend.port;
  const node = { name: config.node.name ?? `${machine.hostName}:${place}` };
  const written = {
    ...Object.fromEntries(leaves.filter(([, info]) => !info.isOptional).map(([key, info]) => [key, info.fallback])),
    "node.name": node.name,
    ...Object.fromEntries([...found].map(([key, { value }]) => [key, value])),
  };
  const contradicting = contradictions({ ...config, node }, written);
  if (contradicting.length > 0) throw new MassaError("invalid", contradicting.join("\n"));
  return { config: { ...config, node }, origins, written, notes: sources.flatMap((source) => source.notes) };
}

/** Keys with what is known of them, in order. */
function leavesOf(schema: z.ZodObject, prefix = ""): readonly (readonly [string, SettingInfo])[] {
  return Object.entries(schema.shape).flatMap(([name, field]) => {
    const key = prefix + name;
    if (field instanceof z.ZodObject) return leavesOf(field, `${key}.`);
    const info = settingInfos.get(field as z.ZodType);
    if (!info) throw new Error(`the setting ${key} says nothing of itself`);
    return [[key, info] as const];
  });
}

/** The values as the schema wants them: every group is there, settings only where something was said. */
function nested(found: ReadonlyMap<string, Found>): object {
  const root: Record<string, unknown> = {};
  for (const key of keys) {
    const path = key.split(".");
    const name = path.pop()!;
    let at = root;
    for (const part of path) at = (at[part] ??= {}) as Record<string, unknown>;
    const entry = found.get(key);
    if (entry) at[name] = entry.value;
  }
  return root;
}

function explain(issue: z.core.$ZodIssue, found: ReadonlyMap<string, Found>): string {
  const key = issue.path.join(".");
  const { origin = "default", value } = found.get(key) ?? {};
  const isSecret = settings.find((setting) => setting.key === key)?.secret === true;
  const shown = isSecret ? "" : ` is ${JSON.stringify(value)}, but`;
  return `${origin === key || origin.endsWith(key) ? origin : `${origin} (${key})`}${shown} ${issue.message}`;
}

function readFile(path: string, text: string): Source {
  let root: unknown;
  try {
    root = parseYaml(text);
  } catch (failure) {
    const reason = failure instanceof Error ? failure.message : String(failure);
    // The lines after the first show the place once more.
    return { found: [], problems: [`${path} is no YAML: ${reason.split("\n")[0]!.replace(/:$/, "")}`], notes: [] };
  }
  if (root === null) return { found: [], problems: [], notes: [`${path} is empty`] };
  if (!isGroup(root)) return { found: [], problems: [`${path} must hold groups of settings`], notes: [] };
  const found: Found[] = [];
  const problems: string[] = [];
  const visit = (value: unknown, key: string) => {
    if (keys.includes(key)) found.push({ key, value: value ?? "", origin: path });
    else if (value === null && keys.some((known) => known.startsWith(`${key}.`))) return;
    else if (isGroup(value)) for (const [name, item] of Object.entries(value)) visit(item, `${key}.${name}`);
    else problems.push(`${path}: ${key} is no setting${suggestion(key, keys)}`);
  };
  for (const [name, value] of Object.entries(root)) visit(value, name);
  return { found, problems, notes: [] };
}

function isGroup(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readFlags(args: readonly string[]): Source {
  const found: Found[] = [];
  const problems: string[] = [];
  const names = keys.map((key) => `--${key}`);
  for (let at = 0; at < args.length; at++) {
    const [flag = "", ...rest] = args[at]!.split("=");
    const key = flag.slice(2);
    if (!flag.startsWith("--")) {
      // A word further on may be a secret that lost its flag: it is not repeated.
      const word = at === 0 ? flag : `argument ${at + 1}`;
      problems.push(`${word} is neither a command nor a flag; settings are written --frontend.port 9001`);
    } else if (!keys.includes(key)) {
      problems.push(`${flag} is no setting${suggestion(flag, names)}`);
      if (rest.length === 0 && args[at + 1]?.startsWith("--") === false) at += 1;
    } else if (rest.length > 0) found.push({ key, value: rest.join("="), origin: flag });
    else if (at + 1 < args.length) found.push({ key, value: args[++at], origin: flag });
    else problems.push(`${flag} needs a value`);
  }
  return { found, problems, notes: [] };
}
