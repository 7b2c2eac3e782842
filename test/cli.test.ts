import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { exitCodes, runCli } from "../lib/cli/cli.ts";
import type { Surroundings } from "../lib/cli/surroundings.ts";
import { parseConfig, type ParsedConfig } from "../lib/core/config.ts";
import { version } from "../lib/version.ts";
import { openReflectedServer } from "./cli-server.ts";

interface Run {
  readonly code: number;
  readonly out: readonly string[];
  readonly complaints: readonly string[];
  readonly started: readonly ParsedConfig[];
}

async function massa(
  argv: readonly string[],
  { env = {}, input = "", startsWith = 0 }: { env?: Record<string, string>; input?: string; startsWith?: number } = {},
): Promise<Run> {
  const out: string[] = [];
  const complaints: string[] = [];
  const started: ParsedConfig[] = [];
  const surroundings: Surroundings = {
    env,
    print: async (line) => void out.push(line),
    complain: (line) => void complaints.push(line),
    input: (async function* () {
      yield input;
    })(),
  };
  const start = async (parsed: ParsedConfig) => {
    started.push(parsed);
    return startsWith;
  };
  return { code: await runCli(argv, { start }, surroundings), out, complaints, started };
}

suite("massa", () => {
  test("starts without a command, with the flags as settings, and ends with the code of the start", async () => {
    const { code, started } = await massa(["--frontend.port", "7"], { startsWith: 1 });
    assert.equal(code, exitCodes.failed);
    assert.equal(started[0]?.config.frontend.port, 7);
    assert.equal((await massa(["start", "--frontend.port=8"])).started[0]?.config.frontend.port, 8);
  });

  test("tells its version and its help on standard output, exit codes included", async () => {
    const told = await massa(["--version"]);
    assert.deepEqual([told.code, told.out], [exitCodes.done, [version]]);
    const { code, out, started } = await massa(["--help"]);
    assert.equal(code, exitCodes.done);
    for (const word of ["call", "check", "config", "Exit codes"]) assert.match(out.join("\n"), new RegExp(word));
    assert.deepEqual(started, []);
  });

  test("what is misused is said line by line, with exit code 2, and nothing starts", async () => {
    const { code, complaints, started } = await massa(["--frontend.prot", "7"], { env: { MASSA_PORT: "x" } });
    assert.equal(code, exitCodes.misused);
    assert.match(complaints.join("\n"), /massa: --frontend\.prot is no setting; did you mean --frontend\.port\?/);
    assert.match(complaints.join("\n"), /massa: MASSA_PORT \(frontend\.port\) is "x"/);
    assert.deepEqual(started, []);
    for (const argv of [["nonsense"], ["call"], ["call", "a", "b", "--what"]]) {
      assert.equal((await massa(argv)).code, exitCodes.misused, argv.join(" "));
    }
  });

  test("config prints a file that says the same, with origins beside it and secrets hidden", async () => {
    const env = {
      MASSA_PORT: "7",
      MASSA_MESH_PEERS: "a:1,b:2",
      MASSA_MESH_KEY: "a very secret key",
      MASSA_ADMIN_TOKEN: "hush",
    };
    const { code, out } = await massa(["config", "--relay.timeout", "5s"], { env });
    assert.equal(code, exitCodes.done);
    const text = out.join("\n");
    assert.match(text, /^frontend\.port: 7 +# MASSA_PORT$/m);
    assert.match(text, /^relay\.timeout: 5s +# --relay\.timeout$/m);
    assert.match(text, /^mesh\.key: \(hidden\) +# MASSA_MESH_KEY$/m);
    assert.match(text, /^frontend\.window: 64KiB +# default$/m);
    assert.doesNotMatch(text, /secret key|hush/);
    const file = { path: "massa.yaml", text: out.filter((line) => !line.includes("(hidden)")).join("\n") };
    const machine = { hostName: "h", processId: 1 };
    const again = parseConfig({ file, env: {}, args: [], machine }).config;
    const unhidden = { MASSA_PORT: env.MASSA_PORT, MASSA_MESH_PEERS: env.MASSA_MESH_PEERS };
    const once = parseConfig({ env: unhidden, args: ["--relay.timeout", "5s"], machine }).config;
    assert.deepEqual({ ...again, node: {} }, { ...once, node: {} });
  });

  test("a file is named by --config or MASSA_CONFIG, and must be there then", async () => {
    const folder = mkdtempSync(join(tmpdir(), "massa-cli-"));
    try {
      const path = join(folder, "other.yaml");
      writeFileSync(path, "frontend: { port: 71 }\n");
      assert.equal((await massa(["--config", path])).started[0]?.config.frontend.port, 71);
      const { started } = await massa([], { env: { MASSA_CONFIG: path } });
      assert.equal(started[0]?.origins["frontend.port"], path);
      const missing = await massa(["--config", join(folder, "none.yaml")]);
      assert.equal(missing.code, exitCodes.misused);
      assert.match(missing.complaints.join(), /none\.yaml cannot be read/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("check says when nobody is there to be asked, with exit code 1", async () => {
    const env = { USER_FUNCTION_PORT: "1", MASSA_USER_FUNCTION_WAIT: "50ms" };
    const { code, complaints } = await massa(["check"], { env });
    assert.equal(code, exitCodes.failed);
    assert.match(complaints.join(), /127\.0\.0\.1:1\b.*ECONNREFUSED/);
  });
});

const say = (...messages: readonly string[]) =>
  JSON.stringify({ groups: [{ steps: messages.map((message) => ({ reply: { message } })) }] });
const unary = "cloudstate.tck.model.action.ActionTckModel/ProcessUnary";

suite("massa call", () => {
  for (const versions of [["v1"], ["v1alpha"], ["v1", "v1alpha"]] as const) {
    test(`calls a method by reflection ${versions.join(" and ")} and prints the answer as one line of JSON`, async () => {
      await using server = await openReflectedServer({ versions });
      const { code, out, complaints } = await massa(["call", server.address, unary, say("a", "b")]);
      assert.deepEqual([code, out, complaints], [exitCodes.done, ['{"message":"a+b"}'], []]);
    });
  }

  test("names in JSON that the server leaves out are made up for", async () => {
    await using server = await openReflectedServer({ versions: ["v1"], withoutJsonNames: true });
    assert.deepEqual((await massa(["call", server.address, unary, say("x")])).out, ['{"message":"x"}']);
  });

  test("without a message it sends an empty one, and defaults are printed", async () => {
    await using server = await openReflectedServer({ versions: ["v1"] });
    assert.deepEqual((await massa(["call", server.address, unary])).out, ['{"message":""}']);
  });

  test("streams out come as lines", async () => {
    await using server = await openReflectedServer({ versions: ["v1"] });
    const { code, out } = await massa(["call", server.address, "ActionTckModel/ProcessStreamedOut", say("a", "b")]);
    assert.deepEqual([code, out], [exitCodes.done, ['{"message":"a"}', '{"message":"b"}']]);
  });

  test("streams in take several messages, or a line of standard input each", async () => {
    await using server = await openReflectedServer({ versions: ["v1"] });
    const given = await massa(["call", server.address, "ActionTckModel/ProcessStreamedIn", say("a"), say("b")]);
    assert.deepEqual(given.out, ['{"message":"a+b"}']);
    const argv = ["call", server.address, "ActionTckModel/ProcessStreamed", "-"];
    const piped = await massa(argv, { input: `${say("a")}\n\n${say("b")}` });
    assert.deepEqual([piped.code, piped.out], [exitCodes.done, ['{"message":"a"}', '{"message":"b"}']]);
  });

  test("headers are sent along", async () => {
    await using server = await openReflectedServer({ versions: ["v1"] });
    const { out } = await massa(["call", server.address, unary, say("a"), "-H", "X-Echo: hello"]);
    assert.deepEqual(out, ['{"message":"hello+a"}']);
    assert.match((await massa(["call", server.address, unary, "-H", "nocolon"])).complaints.join(), /'name: value'/);
  });

  test("a failure of the method is told with its status, and makes the exit code 1", async () => {
    await using server = await openReflectedServer({ versions: ["v1"] });
    const failing = JSON.stringify({ groups: [{ steps: [{ fail: { message: "not today" } }] }] });
    const { code, out, complaints } = await massa(["call", server.address, unary, failing]);
    assert.deepEqual([code, out, complaints], [exitCodes.failed, [], ["FAILED_PRECONDITION: not today"]]);
  });

  test("without a method it lists all, and with a service alone those of the service", async () => {
    await using server = await openReflectedServer({ versions: ["v1"] });
    const { out } = await massa(["call", server.address, "ActionTckModel"]);
    assert.equal(out.length, 4);
    const types = "cloudstate.tck.model.action.Request) returns (stream cloudstate.tck.model.action.Response";
    assert.ok(
      out.includes(`cloudstate.tck.model.action.ActionTckModel/ProcessStreamed (stream ${types})`),
      out.join("\n"),
    );
  });

  test("what is misspelled is said, with what was meant", async () => {
    await using server = await openReflectedServer({ versions: ["v1"] });
    const complaint = async (...argv: readonly string[]) => {
      const { code, complaints } = await massa(["call", server.address, ...argv]);
      assert.equal(code, exitCodes.failed);
      return complaints.join();
    };
    assert.match(await complaint("ActionTckModel/ProcesUnary"), /^NOT_FOUND: .*did you mean ProcessUnary\?$/);
    assert.match(await complaint("ActionTckModell/X"), /^NOT_FOUND: the server has no service ActionTckModell/);
    assert.match(await complaint(unary, "{"), /^INVALID_ARGUMENT: the message is no JSON/);
    assert.match(await complaint(unary, '{"gruops":[]}'), /^INVALID_ARGUMENT: .*"gruops"/);
    assert.match(await complaint(unary, "{}", "{}"), /^INVALID_ARGUMENT: ProcessUnary takes one message/);
    assert.match(
      await complaint("ActionTckModel/ProcessStreamed", "{}", "{"),
      /^INVALID_ARGUMENT: the message is no JSON/,
    );
  });

  test("an address without a port or a header without a name is misused, before anything is tried", async () => {
    for (const argv of [
      ["localhost", unary],
      ["localhost:1", unary, "-H", "no header"],
    ]) {
      const { code, complaints } = await massa(["call", ...argv]);
      assert.equal(code, exitCodes.misused, complaints.join());
      assert.match(complaints.join(), /localhost names no port|"no header" is no header/);
    }
  });

  test("a method that takes one message refuses a second line", async () => {
    await using server = await openReflectedServer({ versions: ["v1"] });
    const { code, complaints } = await massa(["call", server.address, unary, "-"], { input: "{}\n{}\n" });
    assert.equal(code, exitCodes.failed);
    assert.match(complaints.join(), /^INVALID_ARGUMENT: ProcessUnary takes one message/);
  });

  test("a server without reflection, without a file or without anybody is told as what it is", async () => {
    await using mute = await openReflectedServer({ versions: [] });
    const { code, complaints } = await massa(["call", mute.address, unary]);
    assert.equal(code, exitCodes.failed);
    assert.match(complaints.join(), /^UNIMPLEMENTED: .*has no server reflection/);
    await using poor = await openReflectedServer({ versions: ["v1"], withoutFile: "google/api/http.proto" });
    assert.match((await massa(["call", poor.address, unary])).complaints.join(), /lacks google\/api\/http\.proto/);
    assert.match((await massa(["call", "127.0.0.1:1", unary])).complaints.join(), /^UNAVAILABLE: .*ECONNREFUSED/);
  });
});
