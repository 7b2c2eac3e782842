import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  status,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import type { DescService } from "@bufbuild/protobuf";
import type { Caller } from "./call.ts";

/** What may happen to a call on its way through a relay. All of it works on the bytes of whole messages. */
export interface Tap {
  /** A message from the proxy; gives what goes on to the function. */
  fromProxy(message: Buffer): readonly Buffer[];
  /** The proxy half-closed; says what the function sees, and what goes before that. */
  proxyEnded(): { readonly then: "end" | "cancel" | "nothing"; readonly before: readonly Buffer[] };
  proxyCancelled(): void;
  /** A message from the function; gives what goes on to the proxy, and what goes back to the function. */
  fromFunction(message: Buffer): Passage | Promise<Passage>;
  functionEnded(failure: string | undefined): void;
}

export interface Passage {
  readonly toProxy: readonly Buffer[];
  readonly toFunction: readonly Buffer[];
  /** What the function seems to do after that. */
  readonly then?: "end" | "break";
}

/** Stands between proxy and function and passes each call on, through a tap of its own. */
export async function openRelay(
  services: readonly DescService[],
  onward: Caller,
  open: (path: string) => Tap,
  { host = "127.0.0.1", port: wantedPort = 0 }: { readonly host?: string; readonly port?: number } = {},
): Promise<Relay> {
  const server = new Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
  for (const service of services) {
    const definition: Record<string, ServiceDefinition[string]> = {};
    const implementation: Record<string, (call: Inbound) => void> = {};
    for (const method of service.methods) {
      const path = `/${service.typeName}/${method.name}`;
      const same = (bytes: Buffer): Buffer => bytes;
      definition[method.name] = {
        path,
        requestStream: true,
        responseStream: true,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      };
      const takesOne = method.methodKind === "unary" || method.methodKind === "server_streaming";
      implementation[method.name] = (call) => pass(call, { onward, path, tap: open(path), takesOne });
    }
    server.addService(definition, implementation);
  }
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync(`${host}:${wantedPort.toString()}`, ServerCredentials.createInsecure(), (error, port) => {
    if (error) reject(error);
    else resolve(port);
  });
  const port = await promise;
  return { port, close: () => server.forceShutdown() };
}

export interface Relay {
  readonly port: number;
  close(): void;
}

type Inbound = ServerDuplexStream<Buffer, Buffer>;

interface Way {
  readonly onward: Caller;
  readonly path: string;
  readonly tap: Tap;
  /** The one message goes with the end of its stream, as clients send it: some servers break off a call that is slow to end. */
  readonly takesOne: boolean;
}

function pass(inbound: Inbound, { onward, path, tap, takesOne }: Way): void {
  const outbound = onward.raw(path);
  const kept: Buffer[] = [];
  let over = false;
  let cancelled = false;
  let passing = Promise.resolve();
  inbound.on("data", (message: Buffer) => {
    for (const changed of tap.fromProxy(message)) {
      if (takesOne) kept.push(changed);
      else outbound.write(changed);
    }
  });
  const { promise: ended, resolve: end } = Promise.withResolvers<undefined>();
  inbound.on("end", () => {
    end(undefined);
    afterTurns(turnsUntilReset, () => {
      if (cancelled) return;
      const { then, before } = tap.proxyEnded();
      if (over) return; // The function answered in full before it saw the end.
      for (const message of [...kept, ...before]) outbound.write(message);
      if (then === "nothing") return;
      if (then === "end") return void outbound.end();
      over = true;
      outbound.cancel();
      inbound.end();
    });
  });
  inbound.on("cancelled", () => {
    if (over) return; // So it ends in any case.
    cancelled = true;
    over = true;
    tap.proxyCancelled();
    outbound.cancel();
  });
  outbound.on("data", (message: Buffer) => {
    passing = passing.then(async () => {
      const { toProxy, toFunction, then } = await tap.fromFunction(message);
      if (!over) for (const changed of toProxy) inbound.write(changed);
      for (const added of toFunction) outbound.write(added);
      if (over || !then) return;
      over = true;
      outbound.cancel();
      if (then === "end") inbound.end();
      else inbound.emit("error", { code: status.UNKNOWN, details: "broken", metadata: new Metadata() });
    });
  });
  const finish = (details: string | undefined, code: status) => {
    passing = passing.then(async () => {
      // A function may have answered before it saw the end of its input, which the proxy has sent all the same.
      await Promise.race([ended, new Promise((late) => setTimeout(late, endedWithinMs))]);
      if (over) return;
      over = true;
      tap.functionEnded(details);
      if (details === undefined) inbound.end();
      else inbound.emit("error", { code, details, metadata: new Metadata() });
    });
  };
  outbound.on("error", (error: Error & { code?: status; details?: string }) => {
    finish(error.details ?? error.message, error.code ?? status.UNKNOWN);
  });
  outbound.on("status", ({ code }) => {
    if (code === status.OK) finish(undefined, code);
  });
}

const endedWithinMs = 25;

/** A reset looks like a half-close first: so many turns of the event loop later grpc-js says that it was one. */
const turnsUntilReset = 4;

function afterTurns(turns: number, then: () => void): void {
  if (turns === 0) then();
  else setImmediate(() => afterTurns(turns - 1, then));
}
