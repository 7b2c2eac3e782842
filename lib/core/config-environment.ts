import { closest } from "./closest.ts";

/** A value that was found, before it is checked. */
export interface Found {
  readonly key: string;
  readonly value: unknown;
  /** Where it stands, as messages name it. */
  readonly origin: string;
}

/** What one source says: values, what is wrong with it, and what the log should mention. */
export interface Source {
  readonly found: readonly Found[];
  readonly problems: readonly string[];
  readonly notes: readonly string[];
}

/** Short names, and those of the proxies that this one takes the place of; the first one that is set counts. */
export const aliases: Readonly<Record<string, string>> = {
  MASSA_PORT: "frontend.port",
  HTTP_PORT: "frontend.port",
  PROXY_PORT: "frontend.port",
  HTTP_INTERFACE: "frontend.host",
  USER_FUNCTION_HOST: "userFunction.host",
  USER_FUNCTION_PORT: "userFunction.port",
  METRICS_PORT: "admin.port",
  METRICS_HOST: "admin.host",
  REMOTING_PORT: "mesh.port",
  MASSA_STORE: "store.url",
};

/** Read by whoever opens the file, not by the schema. */
export const fileVariable = "MASSA_CONFIG";

/** Variables of the predecessors that say nothing here. */
const foreign = [
  "MANAGEMENT_PORT",
  "PROXY_HTTP_PORT",
  "PROXY_APP_NAME",
  "PROXY_CLUSTER_STRATEGY",
  "PROXY_CLUSTER_POLLING",
  "PROXY_HEADLESS_SERVICE",
  "PROXY_HEARTBEAT_INTERVAL",
  "PROXY_ROOT_TEMPLATE_PATH",
];

/** Variables that Kubernetes sets for every Service whose name begins with massa. */
const injectedNames = /^MASSA_(?:.+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT_\d+_.+)$/;
const injectedValues = /^(?:tcp|udp|sctp):\/\//;

/** `frontend.idleTimeout` is `MASSA_FRONTEND_IDLE_TIMEOUT`. */
export function variableOf(key: string): string {
  const words = key.replaceAll(".", "_").replace(/[A-Z]/g, (letter) => `_${letter}`);
  return `MASSA_${words.toUpperCase()}`;
}

/** Finds settings among environment variables. Those that begin with `MASSA_` must be known, or be what Kubernetes injects. */
export function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  keys: readonly string[],
): Source {
  const found: Found[] = [];
  const problems: string[] = [];
  const injected: string[] = [];
  const keyOf = new Map([...Object.entries(aliases), ...keys.map((key) => [variableOf(key), key] as const)]);

  for (const [name, value] of Object.entries(environment)) {
    const key = keyOf.get(name);
    // A known name without a value is how compose files and manifests say "not set".
    if (value === undefined || name === fileVariable || (value === "" && key !== undefined)) continue;
    if (key === undefined && !name.startsWith("MASSA_")) continue;
    if (isInjected(name, value, key !== undefined)) injected.push(name);
    else if (key !== undefined) found.push({ key, value, origin: name });
    else problems.push(`${name} is no setting${suggestion(name, keyOf.keys())}`);
  }
  const old = readPredecessors(environment);
  const ranked = [...found].sort((left, right) => rank(left) - rank(right));
  return {
    found: [...old.found, ...ranked],
    problems: [...problems, ...old.problems],
    notes: [
      ...(injected.length > 0 ? [`ignored what Kubernetes sets for services named massa: ${injected.join(", ")}`] : []),
      ...old.notes,
    ],
  };
}

/** ", did you mean x?" if there is something near. */
export function suggestion(name: string, known: Iterable<string>): string {
  const near = closest(name, known);
  return near === undefined ? "" : `; did you mean ${near}?`;
}

function isInjected(name: string, value: string, isKnown: boolean): boolean {
  return (name.endsWith("PORT") && injectedValues.test(value)) || (!isKnown && injectedNames.test(name));
}

/** Later ones count: the full name over aliases, and of aliases the one listed first. */
function rank({ origin, key }: Found): number {
  if (origin === variableOf(key)) return 1;
  return -Object.keys(aliases).indexOf(origin);
}

function readPredecessors(environment: Readonly<Record<string, string | undefined>>): Source {
  const isOn = (name: string) => environment[name]?.toLowerCase() === "true";
  const found = isOn("PROXY_UDS_MODE")
    ? [
        {
          key: "userFunction.socket",
          value: environment["PROXY_UDS_ADDRESS"] ?? "/var/run/cloudstate.sock",
          origin: environment["PROXY_UDS_ADDRESS"] === undefined ? "PROXY_UDS_MODE" : "PROXY_UDS_ADDRESS",
        },
      ]
    : [];
  const problems = [
    ...(isOn("PROXY_TLS")
      ? ["PROXY_TLS=true: the front port has no TLS; end it before the proxy and unset PROXY_TLS"]
      : []),
    ...(environment["PROXY_RUNTIME_TYPE"] === "WASM"
      ? ["PROXY_RUNTIME_TYPE=WASM: only functions that speak gRPC are served; unset it"]
      : []),
  ];
  const ignored = foreign.filter((name) => environment[name] !== undefined);
  return { found, problems, notes: ignored.length > 0 ? [`ignored, without meaning here: ${ignored.join(", ")}`] : [] };
}
