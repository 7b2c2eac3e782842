import { type DescMethod, type DescService, fromBinary, type Message } from "@bufbuild/protobuf";
import { ActionProtocol } from "../../lib/wire/gen/cloudstate/action_pb.ts";
import { Crdt } from "../../lib/wire/gen/cloudstate/crdt_pb.ts";
import { EntityDiscovery } from "../../lib/wire/gen/cloudstate/entity_pb.ts";
import type { Caller } from "./call.ts";
import { plain, same } from "./plain.ts";
import { type Patience, Probe, type Seen } from "./probe.ts";
import { openRelay, type Passage, type Relay, type Tap } from "./relay.ts";

/** The services that a proxy calls. */
export const protocolServices: readonly DescService[] = [EntityDiscovery, ActionProtocol, Crdt];

/** One call of the proxy to the function: what went in, and what came out. */
export class Connection {
  readonly method: DescMethod;
  readonly in: Probe<Seen<Message>>;
  readonly out: Probe<Seen<Message>>;

  constructor(method: DescMethod, patience: () => Patience) {
    this.method = method;
    this.in = new Probe(`${method.name}, proxy to function`, patience);
    this.out = new Probe(`${method.name}, function to proxy`, patience);
  }

  async expectIn(wanted: Message): Promise<void> {
    same(await this.in.next(), { type: "message", message: wanted }, `${this.method.name}, proxy to function`);
  }

  async expectOut(wanted: Message): Promise<void> {
    same(await this.out.next(), { type: "message", message: wanted }, `${this.method.name}, function to proxy`);
  }

  /** Both directions end without error. */
  async closed(withinMs?: number): Promise<void> {
    same(await this.in.next(withinMs), { type: "end" }, `${this.method.name}, end of the proxy's side`);
    same(await this.out.next(withinMs), { type: "end" }, `${this.method.name}, end of the function's side`);
  }
}

/** The interceptor: passes each call on to the function and records the bytes that go either way, decoded. */
export class Recorder {
  readonly #patience: () => Patience;
  readonly #announced: Probe<Connection>;
  readonly #holds: Hold[] = [];
  #relay: Relay | undefined;

  constructor(patience: () => Patience) {
    this.#patience = patience;
    this.#announced = new Probe("calls to the function", patience);
  }

  /** Listens on `port`, or on a free one for 0, and passes on to `onward`; gives the port. */
  async listen(onward: Caller, port: number): Promise<number> {
    this.#relay = await openRelay(protocolServices, onward, (path) => this.#record(path), port);
    return this.#relay.port;
  }

  close(): void {
    this.#relay?.close();
  }

  /** The next call that the proxy opened, in order of arrival. */
  async connection(method: DescMethod): Promise<Connection> {
    const connection = await this.#announced.next();
    same(connection.method.name, method.name, "the call that the proxy opened");
    return connection;
  }

  /** No call may have been opened beyond those that were taken. */
  async nothingMore(): Promise<void> {
    const surplus = await this.#announced.surplus();
    if (surplus) throw new Error(`a surplus call was made: ${surplus.method.name} ${await firstOf(surplus)}`);
  }

  forgetAll(): void {
    this.#announced.clear();
  }

  /** Keeps what the function answers to the next call for which `wanted` holds, until it is released. */
  hold(wanted: (message: Message) => boolean): Hold {
    const hold = new Hold(wanted);
    this.#holds.push(hold);
    return hold;
  }

  #record(path: string): Tap {
    const method = methodOf(path);
    const connection = new Connection(method, this.#patience);
    let hold: Hold | undefined;
    // A report is no call that a case asks for, and comes whenever the proxy finds the time (spec/tck 5.1).
    if (method.name !== "reportError") this.#announced.push(connection);
    return {
      fromProxy: (bytes) => {
        const message = fromBinary(method.input, bytes);
        connection.in.push({ type: "message", message });
        hold ??= this.#take(message);
        return [bytes];
      },
      proxyEnded: () => {
        connection.in.push({ type: "end" });
        return { then: "end", before: [] };
      },
      proxyCancelled: () => connection.in.push({ type: "error", details: "cancelled" }),
      fromFunction: async (bytes): Promise<Passage> => {
        connection.out.push({ type: "message", message: fromBinary(method.output, bytes) });
        await hold?.released;
        return { toProxy: [bytes], toFunction: [] };
      },
      functionEnded: (details) =>
        connection.out.push(details === undefined ? { type: "end" } : { type: "error", details }),
    };
  }

  #take(message: Message): Hold | undefined {
    const index = this.#holds.findIndex((hold) => hold.wanted(message));
    return index < 0 ? undefined : this.#holds.splice(index, 1)[0];
  }
}

/** An answer that is kept back. */
class Hold {
  readonly wanted: (message: Message) => boolean;
  readonly released: Promise<undefined>;
  readonly release: () => void;

  constructor(wanted: (message: Message) => boolean) {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.wanted = wanted;
    this.released = promise;
    this.release = () => resolve(undefined);
  }
}

/** The protocol's method at a path. */
function methodOf(path: string): DescMethod {
  for (const service of protocolServices) {
    const method = service.methods.find(({ name }) => path === `/${service.typeName}/${name}`);
    if (method) return method;
  }
  throw new Error(`the protocol has no method at ${path}`);
}

async function firstOf(connection: Connection): Promise<string> {
  const seen = await connection.in.surplus();
  return JSON.stringify(plain(seen), (_, part: unknown) => (typeof part === "bigint" ? part.toString() : part));
}
