import { Command, CommanderError } from "commander";
import type { ParsedConfig } from "../core/config.ts";
import { MassaError } from "../core/errors.ts";
import { version } from "../version.ts";
import { duration } from "../core/config-values.ts";
import { loadConfig } from "./load-config.ts";
import { showConfig } from "./show-config.ts";
import { ownSurroundings, type Surroundings } from "./surroundings.ts";

/** What the composition root does for the commands. */
export interface Commands {
  /** Runs a proxy until it is told to end; resolves with the exit code of the process. */
  start(parsed: ParsedConfig): Promise<number>;
}

/** What the exit codes of `massa` mean. */
export const exitCodes = {
  done: 0,
  /** It was tried and did not work: the reason is on standard error. */
  failed: 1,
  /** The command line or the configuration is wrong; nothing was tried. */
  misused: 2,
} as const;

const settingsHelp = `
Every setting has a flag, a variable and a place in the file: --frontend.port 9001,
MASSA_FRONTEND_PORT=9001, and "frontend.port: 9001" in massa.yaml (or --config FILE, or MASSA_CONFIG).
Flags count over variables, and these over the file. "massa config" lists all settings with their values.

Exit codes: 0 done; 1 failed, the reason is on standard error; 2 the command line or the configuration is wrong.`;

/** Runs `massa` with the arguments after its name. Never throws; resolves with the exit code. */
export async function runCli(
  argv: readonly string[],
  commands: Commands,
  surroundings: Surroundings = ownSurroundings(),
): Promise<number> {
  let code: number = exitCodes.done;
  const help: string[] = [];
  const program = programOf(surroundings, commands, help, (result) => (code = result));
  try {
    await program.parseAsync(argv, { from: "user" });
    return code;
  } catch (failure) {
    // Commander has said what is wrong, or has shown help or version.
    if (failure instanceof CommanderError) return failure.exitCode === 0 ? exitCodes.done : exitCodes.misused;
    const error = MassaError.from(failure);
    if (error.code === "canceled") return exitCodes.failed;
    for (const line of error.message.split("\n")) surroundings.complain(`massa: ${line}`);
    return error.code === "invalid" ? exitCodes.misused : exitCodes.failed;
  } finally {
    for (const text of help) await surroundings.print(text.trimEnd());
  }
}

function programOf(
  surroundings: Surroundings,
  commands: Commands,
  help: string[],
  finish: (code: number) => void,
): Command {
  const program = new Command("massa")
    .description("A sidecar for stateful, replicated, event-driven functions.")
    .version(version)
    .addHelpText("after", settingsHelp)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void help.push(text),
      writeErr: (text) => surroundings.complain(text.trimEnd()),
    });

  withSettings(program, "start", "run a proxy (what massa does without a command)", true, async (path, args) =>
    finish(await commands.start(loadConfig(surroundings, path, args))),
  );
  withSettings(
    program,
    "config",
    "print every setting with its value and where that comes from",
    false,
    async (path, args) => {
      for (const line of showConfig(loadConfig(surroundings, path, args))) await surroundings.print(line);
    },
  );
  withSettings(
    program,
    "check",
    "ask the user function what it serves, judge it and end",
    false,
    async (path, args) => {
      const { check } = await import("./check.ts");
      for (const line of await check(loadConfig(surroundings, path, args).config)) await surroundings.print(line);
    },
  );
  program
    .command("call")
    .description("call a method of any gRPC server with reflection; without a method, list what there is")
    .argument("<address>", "host:port")
    .argument("[method]", "Service/Method; the package may be left out where that is clear")
    .argument("[messages...]", "proto3 JSON, {} by default; - reads one message a line from standard input")
    .option(
      "-H, --header <header>",
      "send 'name: value'; may be repeated",
      (value, all: string[]) => [...all, value],
      [],
    )
    .option("--timeout <time>", "end the call after this time, such as 5s")
    .option("--plaintext", "without TLS, as always")
    .action(async (address: string, method: string | undefined, messages: string[], flags: CallFlags) => {
      // grpc-js is for this command alone: a proxy starts sooner without it.
      const { call, checkAddress, metadataOf, spell } = await import("./call.ts");
      checkAddress(address);
      const metadata = metadataOf(flags.header);
      const timeoutMs = flags.timeout === undefined ? undefined : timeoutOf(flags.timeout);
      try {
        await call(surroundings, address, method, messages, { metadata, timeoutMs });
      } catch (failure) {
        const error = MassaError.from(failure);
        surroundings.complain(spell(error));
        finish(exitCodes.failed);
      }
    });
  return program;
}

interface CallFlags {
  readonly header: string[];
  readonly timeout?: string;
}

function timeoutOf(text: string): number {
  const parsed = duration().safeParse(text);
  if (parsed.success) return parsed.data;
  throw new MassaError("invalid", `--timeout ${text}: ${parsed.error.issues[0]?.message ?? ""}`);
}

function withSettings(
  program: Command,
  name: string,
  description: string,
  isDefault: boolean,
  run: (configPath: string | undefined, settingFlags: readonly string[]) => Promise<void>,
): void {
  program
    .command(name, { isDefault })
    .description(description)
    .usage("[--config FILE] [--<setting> <value> ...]")
    .option("--config <file>", "configuration file")
    .allowUnknownOption()
    .allowExcessArguments()
    .addHelpText("after", settingsHelp)
    .action(async ({ config }: { readonly config?: string }, command: Command) => run(config, command.args));
}
