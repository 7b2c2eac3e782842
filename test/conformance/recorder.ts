import { type DescMethod, type DescService, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { ActionProtocol } from "../../lib/wire/gen/cloudstate/action_pb.ts";
import { Crdt } from "../../lib/wire/gen/cloudstate/crdt_pb.ts";
import { type Command, EntityDiscovery, type UserFunctionError } from "../../lib/wire/gen/cloudstate/entity_pb.ts";
import { EventSourced } from "../../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import { ValueEntity } from "../../lib/wire/gen/cloudstate/value_entity_pb.ts";
import type { Caller } from "./call.ts";
import { plain, same } from "./plain.ts";
import { type Patience, Probe, type Seen } from "./probe.ts";
import { openRelay, type Passage, type Relay, type Tap } from "./relay.ts";

/** The services that a proxy calls. */
export const protocolServices: readonly DescService[] = [
  EntityDiscovery,
  ActionProtocol,
  ValueEntity,
  EventSourced,
  Crdt,
];

const quietMs = 50;

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

  /** The next message from the proxy; rejects when something else comes. */
  async takeIn(): Promise<Message> {
    return messageOf(await this.in.next(), `${this.method.name}, proxy to function`);
  }

  /** The next message from the function; rejects when something else comes. */
  async takeOut(): Promise<Message> {
    return messageOf(await this.out.next(), `${this.method.name}, function to proxy`);
  }

  /** Both directions end without error. */
  async closed(withinMs?: number): Promise<void> {
    same(await this.in.next(withinMs), { type: "end" }, `${this.method.name}, end of the proxy's side`);
    same(await this.out.next(withinMs), { type: "end" }, `${this.method.name}, end of the function's side`);
  }
}

function messageOf(seen: Seen<Message>, where: string): Message {
  if (seen.type === "message") return seen.message;
  throw new Error(`${where}: ${seen.type === "end" ? "the end" : seen.details} came instead of a message`);
}

/** The command that a message from the proxy to an entity is, whatever the entity's kind. */
export function commandIn(message: Message): Command | undefined {
  const { message: content } = message as Message & { message?: { case?: string; value?: unknown } };
  return content?.case === "command" ? (content.value as Command) : undefined;
}

/** The interceptor: passes each call on to the function and records the bytes that go either way, decoded. */
export class Recorder {
  readonly #patience: () => Patience;
  readonly #announced: Probe<Connection>;
  readonly #holds: Hold[] = [];
  readonly #changes: Change[] = [];
  readonly #reports: Probe<string>;
  #relay: Relay | undefined;

  constructor(patience: () => Patience) {
    this.#patience = patience;
    this.#announced = new Probe("calls to the function", patience);
    this.#reports = new Probe("reports to the function", patience);
  }

  /** Listens at `at`, by default on a free port of this machine alone, and passes on to `onward`; gives the port. */
  async listen(onward: Caller, at?: { readonly host: string; readonly port: number }): Promise<number> {
    this.#relay = await openRelay(protocolServices, onward, (path) => this.#record(path), at);
    return this.#relay.port;
  }

  close(): void {
    this.#relay?.close();
  }

  /** The next call that the proxy opened, in order of arrival. */
  async connection(method: DescMethod): Promise<Connection> {
    const connection = await this.#announced.next();
    same(pathOf(connection.method), pathOf(method), "the call that the proxy opened");
    return connection;
  }

  /** No call may have been opened beyond those that were taken. */
  async nothingMore(): Promise<void> {
    const surplus = await this.#announced.surplus();
    if (surplus) throw new Error(`a surplus call was made: ${pathOf(surplus.method)} ${await firstOf(surplus)}`);
  }

  /** Waits until the proxy opens no more calls: what a red case has set going must not be taken for the next one's. */
  async quiet(): Promise<void> {
    while (await this.#announced.surplus(quietMs));
  }

  forgetAll(): void {
    this.#announced.clear();
    this.#reports.clear();
    this.#changes.length = 0;
    for (const hold of this.#holds.splice(0)) hold.release();
  }

  /** The next report of the proxy that begins with `text`; others are passed over. Rejects when none comes in time. */
  async report(text: string): Promise<string> {
    for (;;) {
      const report = await this.#reports.next();
      if (report.startsWith(text)) return report;
    }
  }

  /** Changes what the function says next on the call in which the proxy says what is `wanted`. */
  change(wanted: (message: Message) => boolean, made: Change["made"]): void {
    this.#changes.push({ wanted, made });
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
    let change: Change | undefined;
    // A report is no call that a case asks for, and comes whenever the proxy finds the time.
    const isReport = method.name === EntityDiscovery.method.reportError.name;
    if (!isReport) this.#announced.push(connection);
    return {
      fromProxy: (bytes) => {
        const message = fromBinary(method.input, bytes);
        connection.in.push({ type: "message", message });
        if (isReport) this.#reports.push((message as UserFunctionError).message);
        hold ??= taken(this.#holds, message);
        change ??= taken(this.#changes, message);
        return [bytes];
      },
      proxyEnded: () => {
        connection.in.push({ type: "end" });
        return { then: "end", before: [] };
      },
      proxyCancelled: () => connection.in.push({ type: "error", details: "cancelled" }),
      fromFunction: async (bytes): Promise<Passage> => {
        const said = fromBinary(method.output, bytes);
        const { messages, then }: Changed = change?.made(said) ?? { messages: [said] };
        const toProxy = change ? messages.map((message) => Buffer.from(toBinary(method.output, message))) : [bytes];
        change = undefined;
        for (const message of messages) connection.out.push({ type: "message", message });
        await hold?.released;
        return { toProxy, toFunction: [], ...(then && { then }) };
      },
      functionEnded: (details) =>
        connection.out.push(details === undefined ? { type: "end" } : { type: "error", details }),
    };
  }
}

/** What the function seems to say instead, and whether it then seems to end its stream or to break it off. */
interface Changed {
  readonly messages: readonly Message[];
  readonly then?: "end" | "break";
}

interface Change {
  readonly wanted: (message: Message) => boolean;
  readonly made: (said: Message) => Changed;
}

function taken<Wanting extends { readonly wanted: (message: Message) => boolean }>(
  all: Wanting[],
  message: Message,
): Wanting | undefined {
  const index = all.findIndex(({ wanted }) => wanted(message));
  return index < 0 ? undefined : all.splice(index, 1)[0];
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
    const method = service.methods.find((candidate) => path === pathOf(candidate));
    if (method) return method;
  }
  throw new Error(`the protocol has no method at ${path}`);
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

async function firstOf(connection: Connection): Promise<string> {
  const seen = await connection.in.surplus();
  return JSON.stringify(plain(seen), (_, part: unknown) => (typeof part === "bigint" ? part.toString() : part));
}
