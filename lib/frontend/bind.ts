import { unlink } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { MassaError } from "../core/errors.ts";

export interface ListenAddress {
  /** `frontend.host` (0.0.0.0) and `frontend.port` (9001; 0: any free one). */
  readonly host: string;
  readonly port: number;
  /** `frontend.socket`: path of a Unix socket on which the same is served. */
  readonly socket?: string | undefined;
}

/** Binds a server. A socket file that nobody listens on any more is replaced; any other failure names what to change. */
export async function bind(
  server: Server,
  address: { readonly host: string; readonly port: number } | { readonly path: string },
): Promise<void> {
  try {
    await listen(server, address);
  } catch (failure) {
    if (!("path" in address)) throw refused(`${address.host}:${address.port}`, failure, "MASSA_PORT (or HTTP_PORT)");
    if (!hasCode(failure, "EADDRINUSE") || (await answers(address.path)))
      throw refused(address.path, failure, "MASSA_FRONTEND_SOCKET");
    await unlink(address.path);
    await listen(server, address);
  }
}

function refused(where: string, failure: unknown, variable: string): MassaError {
  const reason = failure instanceof Error ? failure.message : String(failure);
  const what = hasCode(failure, "EADDRINUSE") ? "it is taken" : reason;
  return new MassaError("unavailable", `cannot listen on ${where}: ${what}; ${variable} chooses another`, {
    cause: failure,
  });
}

function hasCode(failure: unknown, code: string): boolean {
  return failure instanceof Error && "code" in failure && failure.code === code;
}

function listen(server: Server, address: object): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  server.once("error", reject);
  server.listen(address, () => {
    server.off("error", reject);
    resolve(undefined);
  });
  return promise;
}

/** Whether anybody listens on a socket file. */
function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ path });
  socket.once("connect", () => {
    socket.destroy();
    resolve(true);
  });
  socket.once("error", () => resolve(false));
  return promise;
}
