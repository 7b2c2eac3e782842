/** Settings that must not be over another one, as [smaller, greater]. */
const ordered: readonly (readonly [string, string])[] = [
  ["userFunction.backoffMin", "userFunction.backoffMax"],
  ["eventing.backoffMin", "eventing.backoffMax"],
  ["mesh.redialMin", "mesh.redialMax"],
  ["mesh.heartbeat", "mesh.silentAfter"],
  ["mesh.silentAfter", "mesh.forgetAfter"],
];

/** Ports that this process listens on. */
const ports = ["frontend.port", "mesh.port", "admin.port"] as const;

/** What is wrong with settings that are right each by itself; one line each. `config` holds the groups of settings, `written` is how the user wrote their values. */
export function contradictions(config: object, written: Readonly<Record<string, unknown>>): readonly string[] {
  const problems: string[] = [];
  const shown = (key: string) => `${key} of ${String(written[key])}`;
  for (const [smaller, greater] of ordered) {
    if (valueOf(config, smaller) > valueOf(config, greater)) {
      problems.push(`${shown(smaller)} is over ${shown(greater)}; lower the one or raise the other`);
    }
  }
  for (const [index, port] of ports.entries()) {
    const same = ports.slice(index + 1).find((other) => valueOf(config, other) === valueOf(config, port));
    if (same !== undefined && valueOf(config, port) !== 0) {
      problems.push(`${port} and ${same} are both ${valueOf(config, port)}; give one of them another port`);
    }
  }
  return problems;
}

function valueOf(config: object, key: string): number {
  let at: unknown = config;
  for (const part of key.split(".")) at = (at as Readonly<Record<string, unknown>>)[part];
  return at as number;
}
