import { createServer } from "node:net";

export const host = "127.0.0.1";

/** A row of ports, moved by the variable of its name. */
export interface PortRow {
  readonly variable: string;
  readonly first: number;
  readonly count: number;
}

/** The row that starts at `usual`, or where the variable says. Ends the process when that is no port. */
export function portRow(variable: string, usual: number, count: number): PortRow {
  const first = Number(process.env[variable] ?? usual);
  if (Number.isInteger(first) && first >= 1 && first + count <= 65_536) return { variable, first, count };
  console.error(`${variable} is "${process.env[variable] ?? ""}"; it must be a port from 1 to ${65_536 - count}`);
  process.exit(1);
}

/** A line for each port that somebody else has, with the variable that moves it; `command` is what was typed. */
export async function takenPorts(rows: readonly PortRow[], command: string): Promise<string[]> {
  const lines: string[] = [];
  for (const { variable, first, count } of rows) {
    for (let port = first; port < first + count; port++) {
      if (await isFree(port)) continue;
      lines.push(
        `port ${port} is taken; free it, or move ${count === 1 ? "it" : "these ports"}: ${variable}=${first + 100} ${command}`,
      );
    }
  }
  return lines;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  server.on("error", () => resolve(false));
  server.listen(port, host, () => server.close(() => resolve(true)));
  return promise;
}
