import { once } from "node:events";
import { MassaError } from "../core/errors.ts";

/** What a command takes from the process around it. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Resolves when the reader of the output can take more; rejects with `canceled` when there is none any more. */
  readonly print: (line: string) => Promise<void>;
  readonly complain: (line: string) => void;
  /** What is piped in. */
  readonly input: AsyncIterable<Buffer | string>;
}

/** The process that runs. */
export function ownSurroundings(): Surroundings {
  let isUnread = false;
  process.stdout.on("error", () => (isUnread = true));
  return {
    env: process.env,
    print: async (line) => {
      if (isUnread) throw new MassaError("canceled", "nobody reads the output");
      if (process.stdout.write(`${line}\n`)) return;
      await once(process.stdout, "drain").catch((cause: unknown) => {
        throw new MassaError("canceled", "nobody reads the output", { cause });
      });
    },
    complain: (line) => void process.stderr.write(`${line}\n`),
    input: process.stdin,
  };
}
