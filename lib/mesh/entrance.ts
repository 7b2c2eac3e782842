import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, World } from "../core/world.ts";
import { Admission, type AdmissionStep } from "./admission.ts";
import type { ByteStream, Connection } from "./carrier.ts";
import type { Dialled } from "./dialler.ts";
import { Deframer } from "./frames.ts";
import { encodeHello, type Introduction, type Neighbour } from "./hello.ts";
import type { Hello } from "./mesh.ts";

/** What an entrance needs of the mesh behind it. */
interface EntranceOptions {
  readonly selfId: string;
  readonly keys: readonly string[];
  readonly admissionTimeoutMs: number;
  /** Connections that are not admitted yet, at most. */
  readonly unverifiedMax: number;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly hello: () => Hello;
  readonly neighbours: () => readonly Neighbour[];
  readonly isUp: (peerId: string) => boolean;
  /** Why a node that says this of itself cannot be in the mesh with this one, which said `sent`; undefined: it can. */
  readonly refusal: (theirs: Hello, sent: Hello) => string | undefined;
  /** The node at the other end has proved to know the key; `sent` is the hello that it was told. */
  readonly admitted: (connection: Connection, introduction: Introduction, sent: Hello) => void;
}

/** A connection, and who waits for what becomes of it. */
interface Contact {
  readonly connection: Connection;
  readonly outcome: PromiseWithResolvers<Dialled>;
  cancelTimeout: Cancel | undefined;
}

const graceMs = 250;
const refusalLogMs = 10_000;
const refusalReasonsMax = 64;

/** Keeps the connections, and lets each prove itself in bounded time and number before the mesh hears of it. */
export class Entrance {
  readonly #options: EntranceOptions;
  readonly #contacts = new Map<Connection, Contact>();
  readonly #refusals = new Map<string, number>();
  #unverified = 0;
  #isClosed = false;

  constructor(options: EntranceOptions) {
    this.#options = options;
  }

  /** A connection stands. The one who dialled greets. */
  connected(connection: Connection): void {
    const { admissionTimeoutMs, unverifiedMax, world, telemetry, isUp } = this.#options;
    const contact: Contact = { connection, outcome: Promise.withResolvers(), cancelTimeout: undefined };
    this.#contacts.set(connection, contact);
    if (this.#isClosed) return connection.abort("this node closes");
    if (connection.isOutbound && isUp(connection.peerId)) {
      contact.outcome.resolve({ type: "peer", id: connection.peerId });
      return connection.abort("there is a link already");
    }
    if (this.#unverified >= unverifiedMax) {
      telemetry.count("massa_limit_reached_total", { limit: "mesh.unverified" });
      return connection.abort("too many connections wait for admission");
    }
    this.#unverified += 1;
    const late = () => this.#refused(contact, "it did not prove itself in time");
    contact.cancelTimeout = world.clock.after(admissionTimeoutMs, late);
    if (!connection.isOutbound) return;
    connection.open("hello").then(
      (stream) => this.#greet(contact, stream, "dialler"),
      (failure: unknown) => this.#refused(contact, `no stream could be opened: ${String(failure)}`),
    );
  }

  /** A connection is gone; false: it was the last one to this node. */
  disconnected(connection: Connection): boolean {
    const contact = this.#contacts.get(connection);
    if (contact) {
      this.#contacts.delete(connection);
      this.#verified(contact);
      contact.outcome.resolve({ type: "failed", reason: "the connection was closed" });
    }
    return this.connections(connection.peerId).length > 0;
  }

  /** The other end of a connection greets. */
  greeted(stream: ByteStream, connection: Connection): void {
    const contact = this.#contacts.get(connection);
    if (!contact || this.#isClosed) stream.abort("not welcome");
    else this.#greet(contact, stream, "listener");
  }

  connections(peerId: string): readonly Connection[] {
    return [...this.#contacts.keys()].filter((connection) => connection.peerId === peerId);
  }

  /** What becomes of a connection that this node dialled. */
  outcome(connection: Connection): Promise<Dialled> {
    const { peerId } = connection;
    const gone: Dialled = { type: "failed", reason: "the connection was closed at once" };
    const settled: Dialled = this.#options.isUp(peerId) ? { type: "peer", id: peerId } : gone;
    return this.#contacts.get(connection)?.outcome.promise ?? Promise.resolve(settled);
  }

  /** The link to a node stands: whoever dialled it need not wait longer. */
  linked(peerId: string): void {
    for (const { connection, outcome } of this.#contacts.values()) {
      if (connection.peerId === peerId) outcome.resolve({ type: "peer", id: peerId });
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const contact of this.#contacts.values()) this.#verified(contact);
  }

  #greet(contact: Contact, stream: ByteStream, role: "dialler" | "listener"): void {
    const { keys, world, selfId } = this.#options;
    const sent = this.#options.hello();
    const admission = new Admission({
      role,
      keys: keys.length === 0 ? [""] : keys,
      selfId,
      peerId: contact.connection.peerId,
      hello: encodeHello(sent, this.#options.neighbours()),
      cluster: sent.cluster,
      refusal: (theirs) => this.#options.refusal(theirs, sent),
      nonce: world.random.bytes(32),
    });
    const carryOut = (step: AdmissionStep) => {
      for (const bytes of step.send) stream.write(bytes);
      const { outcome } = step;
      if (outcome?.type === "admitted") this.#admitted(contact, outcome.greeted, sent);
      else if (outcome?.type === "refused") {
        stream.close();
        this.#refused(contact, outcome.by === "peer" ? `it refused this node: ${outcome.reason}` : outcome.reason);
      }
    };
    const deframer = new Deframer(() => admission.bytesMax);
    stream.listen({
      chunk: (chunk) => {
        try {
          deframer.push(chunk, (bytes) => carryOut(admission.receive(bytes)));
        } catch (failure) {
          if (!(failure instanceof MassaError)) throw failure;
          this.#refused(contact, failure.message);
        }
      },
      drained: () => undefined,
      closed: () => undefined,
    });
    carryOut(admission.begin());
  }

  #admitted(contact: Contact, introduction: Introduction, sent: Hello): void {
    this.#verified(contact);
    if (!this.#isClosed && this.#contacts.has(contact.connection))
      this.#options.admitted(contact.connection, introduction, sent);
  }

  /** A connection that is not admitted ends, unless it leads to a node that is linked: then it does not matter. */
  #refused(contact: Contact, reason: string): void {
    const { connection, outcome } = contact;
    if (!this.#contacts.has(connection)) return;
    this.#verified(contact);
    outcome.resolve({ type: "failed", reason });
    if (this.#options.isUp(connection.peerId)) return;
    this.#options.telemetry.count("massa_mesh_refused_total");
    if (!this.#isClosed) this.#logRefusal({ peer: connection.peerId, dialled: connection.isOutbound, reason });
    this.#options.world.clock.after(graceMs, () => connection.abort(reason)); // The refusal must be able to arrive.
  }

  /** The same reason is an error once in a while and a debug line in between, so that strangers cannot fill the log. */
  #logRefusal(node: { readonly peer: string; readonly dialled: boolean; readonly reason: string }): void {
    const { log, world } = this.#options;
    const nowMs = world.clock.monotonic();
    const isNews = nowMs - (this.#refusals.get(node.reason) ?? -Infinity) >= refusalLogMs;
    if (this.#refusals.size >= refusalReasonsMax) this.#refusals.clear();
    if (isNews) this.#refusals.set(node.reason, nowMs);
    if (isNews) log.error(node, "node not admitted to the mesh");
    else log.debug(node, "node not admitted to the mesh");
  }

  #verified(contact: Contact): void {
    if (!contact.cancelTimeout) return;
    contact.cancelTimeout();
    contact.cancelTimeout = undefined;
    this.#unverified -= 1;
  }
}
