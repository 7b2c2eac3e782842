import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { closest } from "../lib/core/closest.ts";
import { parseConfig, settings, type ConfigSources } from "../lib/core/config.ts";

const machine = { hostName: "pod-1", processId: 77 };

function parse(sources: Partial<ConfigSources> = {}) {
  return parseConfig({ env: {}, args: [], machine, ...sources });
}

function problems(sources: Partial<ConfigSources>): string[] {
  try {
    parse(sources);
  } catch (failure) {
    assert.equal((failure as { code?: string }).code, "invalid");
    return (failure as Error).message.split("\n");
  }
  return assert.fail("nothing was refused");
}

const yaml = (text: string) => ({ file: { path: "massa.yaml", text } });

test("nothing said gives the documented defaults, in milliseconds and bytes", () => {
  const { config, origins, notes } = parse();
  assert.equal(config.frontend.port, 9001);
  assert.equal(config.frontend.idleTimeout, 43_200_000);
  assert.equal(config.userFunction.buffer, 67_108_864);
  assert.equal(config.replication.flush, 5);
  assert.equal(config.eventing.memory.topicMessages, 10_000);
  assert.equal(config.mesh.expect, undefined);
  assert.deepEqual(config.mesh.peers, []);
  assert.equal(config.protocol.compatibilityCheck, true);
  assert.deepEqual(new Set(Object.values(origins)), new Set(["default"]));
  assert.deepEqual(notes, []);
});

test("flags count over the environment, which counts over the file", () => {
  const file = "frontend:\n  port: 1001\n  host: 10.0.0.1\nrelay:\n  timeout: 3s\n";
  const env = { MASSA_FRONTEND_PORT: "1002", MASSA_RELAY_TIMEOUT: "4s" };
  const { config, origins } = parse({ ...yaml(file), env, args: ["--frontend.port=1003"] });
  assert.equal(config.frontend.port, 1003);
  assert.equal(config.relay.timeout, 4_000);
  assert.equal(config.frontend.host, "10.0.0.1");
  assert.equal(origins["frontend.port"], "--frontend.port");
  assert.equal(origins["relay.timeout"], "MASSA_RELAY_TIMEOUT");
  assert.equal(origins["frontend.host"], "massa.yaml");
  assert.equal(origins["frontend.window"], "default");
});

test("every setting can be set by its variable, and by a flag", () => {
  const samples = [
    "10",
    "1024",
    "5s",
    "1500ms",
    "1MiB",
    "some text",
    "true",
    "auto",
    "local",
    "info",
    "a:1",
    "0123456789abcdef",
    "a=1",
    "memory",
    "https://shop.example",
  ];
  for (const { key, variables } of settings) {
    const accepted = samples.filter((value) => {
      try {
        const { origins } = parse({ env: { [variables[0]!]: value } });
        const { written } = parse({ args: [`--${key}`, value] });
        return origins[key] === variables[0] && written[key] === value;
      } catch {
        return false; // This sample is of another type.
      }
    });
    assert.notEqual(accepted.length, 0, key);
  }
});

test("times and sizes need what makes them clear", () => {
  const env = (text: string) => ({ env: { MASSA_RELAY_TIMEOUT: text } });
  assert.equal(parse(env("1.5s")).config.relay.timeout, 1_500);
  assert.equal(parse(env("2m")).config.relay.timeout, 120_000);
  for (const bad of ["5", "5 days", "-1s", "0ms", "600h", "s"]) {
    assert.match(problems(env(bad)).join(), /^MASSA_RELAY_TIMEOUT \(relay\.timeout\) is ".*", but must be /, bad);
  }
  const size = (text: string) => parse({ env: { MASSA_LIMITS_MESSAGE: text } }).config.limits.message;
  assert.equal(size("2048"), 2_048);
  assert.equal(size("60kB"), 60_000);
  assert.equal(size("64 KiB"), 65_536);
  assert.equal(problems({ env: { MASSA_LIMITS_MESSAGE: "12 monkeys" } }).length, 1);
});

test("the short names and those of the predecessors are aliases, the full name and the first one listed counting", () => {
  assert.equal(parse({ env: { HTTP_PORT: "9000" } }).config.frontend.port, 9_000);
  assert.equal(parse({ env: { HTTP_PORT: "9000", MASSA_PORT: "9007" } }).config.frontend.port, 9_007);
  assert.equal(parse({ env: { MASSA_PORT: "9007", HTTP_PORT: "9000" } }).config.frontend.port, 9_007);
  assert.equal(parse({ env: { MASSA_FRONTEND_PORT: "1", HTTP_PORT: "2", MASSA_PORT: "3" } }).config.frontend.port, 1);
  const { config } = parse({
    env: {
      USER_FUNCTION_HOST: "f",
      USER_FUNCTION_PORT: "8090",
      METRICS_PORT: "9099",
      METRICS_HOST: "::",
      REMOTING_PORT: "2552",
    },
  });
  assert.deepEqual([config.userFunction.host, config.userFunction.port], ["f", 8_090]);
  assert.deepEqual([config.admin.host, config.admin.port, config.mesh.port], ["::", 9_099, 2_552]);
  const uds = parse({ env: { PROXY_UDS_MODE: "true" } });
  assert.equal(uds.config.userFunction.socket, "/var/run/cloudstate.sock");
  assert.equal(
    parse({ env: { PROXY_UDS_MODE: "false", PROXY_UDS_ADDRESS: "/x" } }).config.userFunction.socket,
    undefined,
  );
  assert.match(problems({ env: { PROXY_TLS: "true" } }).join(), /no TLS/);
});

test("what Kubernetes injects for a service named massa is ignored, with one note", () => {
  const env = {
    MASSA_PORT: "tcp://10.0.0.7:9001",
    MASSA_SERVICE_HOST: "10.0.0.7",
    MASSA_SERVICE_PORT: "9001",
    MASSA_SERVICE_PORT_GRPC: "9001",
    MASSA_PORT_9001_TCP: "tcp://10.0.0.7:9001",
    MASSA_PORT_9001_TCP_PROTO: "tcp",
    MASSA_PORT_9001_TCP_PORT: "9001",
    MASSA_PORT_9001_TCP_ADDR: "10.0.0.7",
    MASSA_HEADLESS_SERVICE_HOST: "None",
    MASSA_MESH_PORT: "udp://10.0.0.8:9005",
    HTTP_PORT: "tcp://10.0.0.9:80",
  };
  const { config, notes } = parse({ env });
  assert.equal(config.frontend.port, 9_001);
  assert.equal(config.mesh.port, 9_005);
  assert.equal(notes.length, 1);
  for (const name of Object.keys(env)) assert.match(notes[0]!, new RegExp(`\\b${name}\\b`));
});

test("a name that is no setting is refused, with the closest one that is", () => {
  assert.deepEqual(problems({ env: { MASSA_FRONTEND_PROT: "1" } }), [
    "MASSA_FRONTEND_PROT is no setting; did you mean MASSA_FRONTEND_PORT?",
  ]);
  assert.deepEqual(problems({ args: ["--mesh.peer", "a:1"] }).slice(0, 1), [
    "--mesh.peer is no setting; did you mean --mesh.peers?",
  ]);
  assert.deepEqual(problems(yaml("frontend:\n  ports: 1\n")), [
    "massa.yaml: frontend.ports is no setting; did you mean frontend.port?",
  ]);
  assert.deepEqual(problems({ env: { MASSA_WHATEVER_ELSE_THIS_IS: "1" } }), [
    "MASSA_WHATEVER_ELSE_THIS_IS is no setting",
  ]);
});

test("all that is wrong is said at once, with where it stands", () => {
  const lines = problems({
    ...yaml("relay:\n  timeout: 5\n"),
    env: { MASSA_PORT: "70000" },
    args: ["--log.level", "loud"],
  });
  assert.deepEqual(lines, [
    'MASSA_PORT (frontend.port) is "70000", but must be a whole number from 0 to 65535',
    "massa.yaml (relay.timeout) is 5, but must be a time with its unit, such as 5ms, 2s, 1m or 12h",
    '--log.level is "loud", but must be one of fatal, error, warn, info, debug, silent',
  ]);
});

test("a secret that is wrong is not repeated", () => {
  const [line] = problems({ env: { MASSA_MESH_KEY: "hunter2" } });
  assert.match(line!, /MASSA_MESH_KEY.*at least 16 characters/);
  assert.doesNotMatch(line!, /hunter2/);
});

test("lists come as YAML lists or with commas, groups by name as YAML groups or pairs", () => {
  const file =
    "mesh:\n  peers: [a:1, 'b:2']\n  expectByGroup: {stock: 3}\n  key: [0123456789abcdef, fedcba9876543210]\n";
  const { config } = parse(yaml(file));
  assert.deepEqual(config.mesh.peers, ["a:1", "b:2"]);
  assert.deepEqual(config.mesh.expectByGroup, { stock: 3 });
  assert.deepEqual(config.mesh.key, ["0123456789abcdef", "fedcba9876543210"]);
  const { config: other } = parse({
    env: { MASSA_MESH_PEERS: " a:1, [::1]:2 ", MASSA_MESH_EXPECT_BY_GROUP: "x=2,y=3" },
  });
  assert.deepEqual(other.mesh.peers, ["a:1", "[::1]:2"]);
  assert.deepEqual(other.mesh.expectByGroup, { x: 2, y: 3 });
  assert.match(problems({ env: { MASSA_MESH_PEERS: "a" } }).join(), /proxy-a:9005/);
});

test("a file that is no YAML, no group or empty is said to be so", () => {
  assert.match(problems(yaml("a: [")).join(), /^massa\.yaml is no YAML: .+ at line 1, column 5$/);
  assert.match(problems(yaml("- a")).join(), /must hold groups/);
  assert.deepEqual(parse(yaml("")).notes, ["massa.yaml is empty"]);
  assert.equal(parse(yaml("frontend:\nmesh:\n")).config.frontend.port, 9_001);
});

test("a node is named after its host and front port, or after its process when the port is a free one", () => {
  assert.equal(parse().config.node.name, "pod-1:9001");
  assert.equal(parse({ env: { MASSA_PORT: "0" } }).config.node.name, "pod-1:process-77");
  assert.equal(parse({ env: { MASSA_NODE_NAME: "a" } }).config.node.name, "a");
});

test("an empty variable is one that is not set", () => {
  assert.equal(parse({ env: { MASSA_ADMIN_TOKEN: "", MASSA_PORT: "" } }).config.admin.token, undefined);
});

test("the closest name is the nearest one, and none when nothing is near", () => {
  assert.equal(closest("prot", ["port", "part", "host"]), "port");
  assert.equal(closest("abc", ["xyzxyz"]), undefined);
});

test("every limit that is counted is a setting that says what happens at it", () => {
  const root = new URL("..", import.meta.url);
  const sources = globSync(["lib/**/*.ts", "eventing/**/*.ts"], { cwd: root });
  const counted = sources.flatMap((path) => [
    ...readFileSync(new URL(path, root), "utf8").matchAll(/limit: "([\w.]+)"/g),
  ]);
  assert.ok(counted.length > 5);
  const bounds = settings.filter(({ effect }) => effect !== undefined).map(({ key }) => key);
  // A bound of the proxy's own manners, not of anybody's load.
  const fixed = ["reports"];
  assert.deepEqual(
    counted.map(([, name]) => name!).filter((name) => !bounds.includes(name) && !fixed.includes(name)),
    [],
  );
});

test("a secret after a flag that is misspelt, or after another value, is not repeated", () => {
  for (const args of [
    ["--mesh.keyy", "a-secret-of-mine"],
    ["--frontend.port", "9001", "a-secret-of-mine"],
  ]) {
    assert.throws(
      () => parseConfig({ env: {}, args, machine: { hostName: "here", processId: 1 } }),
      ({ message }: Error) => message !== "" && !message.includes("a-secret-of-mine"),
    );
  }
});

test("settings that contradict each other are refused by both names", () => {
  assert.deepEqual(problems({ args: ["--userFunction.backoffMin", "5s", "--mesh.silentAfter=100ms"] }), [
    "userFunction.backoffMin of 5s is over userFunction.backoffMax of 2s; lower the one or raise the other",
    "mesh.heartbeat of 500ms is over mesh.silentAfter of 100ms; lower the one or raise the other",
  ]);
  assert.deepEqual(problems({ env: { MASSA_PORT: "9090" } }), [
    "frontend.port and admin.port are both 9090; give one of them another port",
  ]);
  const free = { MASSA_PORT: "0", MASSA_MESH_PORT: "0", MASSA_ADMIN_PORT: "0" };
  assert.equal(parse({ env: free }).config.admin.port, 0);
});
