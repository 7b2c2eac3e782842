import http2 from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import { openUserFunction, type UserFunctionOptions } from "../lib/user-function/grpc.ts";
import type { FunctionStream, FunctionStreamReceiver, UserFunction } from "../lib/user-function/user-function.ts";
import { frameOf } from "../lib/wire/http2-frames.ts";
import { nodeHttp2 } from "../lib/wire/http2-node.ts";

const mib = 1024 * 1024;

/** A link with the defaults of the configuration, but quicker to give up. */
export function openLink(
  address: UserFunctionOptions["address"],
  more: Partial<UserFunctionOptions> = {},
): UserFunction {
  const parts = { engine: nodeHttp2, world: realWorld, log: silentLogger, telemetry: silentTelemetry };
  return openUserFunction(parts, {
    address,
    waitMs: 5_000,
    waitersMax: 10_000,
    bufferBytes: 64 * mib,
    sessionsMax: 64,
    connectTimeoutMs: 5_000,
    backoffMinMs: 5,
    backoffMaxMs: 50,
    windowBytes: 64 * 1024,
    messageBytesMax: 12 * mib,
    ...more,
  });
}

export const at = (port: number) => ({ host: "127.0.0.1", port });
export const ok = { "grpc-status": "0" };
export const headers = { ":status": 200, "content-type": "application/grpc" };

export interface FakeFunction extends AsyncDisposable {
  readonly port: number;
  readonly sessions: ReadonlySet<http2.ServerHttp2Session>;
  /** How many sessions there have been. */
  readonly accepted: number;
}

type Answer = (stream: http2.ServerHttp2Stream, request: http2.IncomingHttpHeaders) => void;

/** A user function on bare `node:http2`: what `answer` does with each stream. */
export async function openFunction(
  answer: Answer,
  options: http2.ServerOptions & { readonly port?: number; readonly path?: string } = {},
): Promise<FakeFunction> {
  const sessions = new Set<http2.ServerHttp2Session>();
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = http2.createServer({ maxSessionMemory: 1000, ...options });
  server.on("session", (session) => {
    accepted += 1;
    sessions.add(session);
    session.on("error", () => undefined);
    session.on("close", () => sessions.delete(session));
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("stream", (stream, request) => {
    stream.on("error", () => undefined);
    answer(stream, request);
  });
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const listening = () => resolve(undefined);
  if (options.path === undefined) server.listen(options.port ?? 0, "127.0.0.1", listening);
  else server.listen(options.path, listening);
  await promise;
  const address = server.address();
  return {
    port: typeof address === "object" ? (address as AddressInfo).port : 0,
    sessions,
    get accepted() {
      return accepted;
    },
    async [Symbol.asyncDispose]() {
      const closed = Promise.withResolvers<undefined>();
      server.close(() => closed.resolve(undefined));
      for (const socket of sockets) socket.destroy();
      await closed.promise;
    },
  };
}

/** Answers with the messages and then the trailers. */
export function respond(
  stream: http2.ServerHttp2Stream,
  messages: readonly Uint8Array[],
  trailers: http2.OutgoingHttpHeaders = ok,
): void {
  stream.respond(headers, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  for (const message of messages) stream.write(frameOf(message));
  stream.end();
}

/** Echoes every message and ends when the proxy half-closes. */
export const echo: Answer = (stream) => {
  stream.respond(headers, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(ok));
  stream.on("data", (chunk: Buffer) => stream.write(chunk));
  stream.on("end", () => stream.end());
};

/** A stream with all that it told, in order. */
export class Told implements FunctionStreamReceiver {
  readonly messages: string[] = [];
  readonly events: string[] = [];
  error: MassaError | undefined;
  readonly stream: FunctionStream;
  onMessage: (() => void) | undefined;
  #changed = Promise.withResolvers<undefined>();

  constructor(link: UserFunction, path: string, options: { readonly deadlineAtMs?: number } = {}) {
    this.stream = link.open(path, this, options);
  }

  send(text: string | Uint8Array): boolean {
    return this.stream.write(frameOf(Buffer.from(text)));
  }

  message(bytes: Uint8Array): void {
    this.messages.push(Buffer.from(bytes).toString());
    this.#note("message");
    this.onMessage?.();
  }

  drain = () => this.#note("drain");
  end = () => this.#note("end");

  fail(error: MassaError): void {
    this.error = error;
    this.#note("fail");
  }

  /** What the failure says. */
  get reason(): string {
    return this.error?.message ?? "no failure";
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await this.#changed.promise;
  }

  /** Resolves at the end, whatever it is. */
  async over(): Promise<this> {
    await this.until(() => this.events.includes("end") || this.events.includes("fail"));
    return this;
  }

  #note(event: string): void {
    this.events.push(event);
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<undefined>();
    resolve(undefined);
  }
}
