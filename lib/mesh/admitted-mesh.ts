import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, World } from "../core/world.ts";
import type { ByteStream, Carrier, CarrierEvents, Connection } from "./carrier.ts";
import { Dialler, type Dialled } from "./dialler.ts";
import { Entrance } from "./entrance.ts";
import { decodeGossip, encodeGossip } from "./frames.ts";
import { encodeHello, protocolVersion, type Introduction } from "./hello.ts";
import type { LinkLimits } from "./link-limits.ts";
import type {
  FirstHello,
  Hello,
  HelloChanges,
  Mesh,
  MeshListener,
  OutgoingRequest,
  Peer,
  RequestHead,
  ResponseReceiver,
} from "./mesh.ts";
import { Session } from "./session.ts";
import { unsharedConflict } from "./unshared.ts";

/** What a mesh of admitted nodes is told; every bound has its default in `defaultMeshLimits`. */
interface AdmittedMeshOptions {
  readonly hello: FirstHello;
  /** `host:port` of other nodes, perhaps of this one too. */
  readonly peers: readonly string[];
  /** The cluster key, and perhaps the one before or after it; empty: none. */
  readonly keys: readonly string[];
  /** `host:port` to tell others, instead of those at which the node listens. */
  readonly advertise: readonly string[];
  readonly resolve: (address: string) => Promise<readonly string[]>;
  readonly soon: (flush: () => void) => void;
  readonly limits: MeshLimits;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
}

/** Bounds and times of a mesh. */
export interface MeshLimits {
  readonly link: LinkLimits;
  readonly linksMax: number;
  readonly admissionTimeoutMs: number;
  readonly unverifiedMax: number;
  readonly redialMinMs: number;
  readonly redialMaxMs: number;
  readonly keepAliveMs: number;
  readonly closeTimeoutMs: number;
  readonly gossipBytesMax: number;
}

/** The mesh over any carrier: who is admitted, by proof of the cluster key, gets a session; nobody else gets anything. */
export class AdmittedMesh implements Mesh, CarrierEvents {
  readonly id: string;
  readonly #carrier: Carrier;
  readonly #options: AdmittedMeshOptions;
  readonly #dialler: Dialler;
  readonly #entrance: Entrance;
  readonly #sessions = new Map<string, Session>();
  readonly #topics = new Set<string>();
  #hello: Hello;
  #listener: MeshListener | undefined;
  #kept: Connection | undefined;
  #isStarted = false;
  #gossipNumber = 0;
  #cancelTicks: Cancel | undefined;
  #closing: Promise<void> | undefined;

  constructor(carrier: Carrier, options: AdmittedMeshOptions) {
    this.id = carrier.id;
    this.#carrier = carrier;
    this.#options = options;
    this.#hello = { ...options.hello, protocolVersion, addresses: options.advertise, unsharedServices: [] };
    const { world, peers, resolve, limits, log, keys, telemetry } = options;
    this.#entrance = new Entrance({
      selfId: this.id,
      keys,
      admissionTimeoutMs: limits.admissionTimeoutMs,
      unverifiedMax: limits.unverifiedMax,
      world,
      log,
      telemetry,
      hello: () => this.#hello,
      neighbours: () => this.peers().map(({ id, hello }) => ({ id, addresses: hello.addresses })),
      isUp: (peerId) => this.#sessions.get(peerId)?.isUp === true,
      refusal: (theirs, sent) => this.#refusal(theirs, sent),
      admitted: (connection, introduction, sent) => this.#admitted(connection, introduction, sent),
    });
    this.#dialler = new Dialler({
      world,
      addresses: peers,
      resolve,
      linksMax: limits.linksMax,
      redialMinMs: limits.redialMinMs,
      redialMaxMs: limits.redialMaxMs,
      dial: (endpoint) => this.#dial(endpoint),
      isLinked: (peerId) => peerId === this.id || this.#sessions.get(peerId)?.isUp === true,
      links: () => this.#sessions.size,
      failed: (address, attempt, reason, retryMs) =>
        log.debug({ address, attempt, reason, retryMs }, "node could not be reached"),
    });
  }

  get hello(): Hello {
    return this.#hello;
  }

  peers(): readonly Peer[] {
    return [...this.#sessions.values()].filter(({ isUp }) => isUp);
  }

  peer(peerId: string): Peer | undefined {
    const session = this.#sessions.get(peerId);
    return session?.isUp ? session : undefined;
  }

  othersConfigured(): number {
    return this.#dialler.others;
  }

  async start(listener: MeshListener): Promise<void> {
    const { limits, world, advertise, log, telemetry } = this.#options;
    this.#listener = listener;
    await this.#carrier.start(this);
    this.#isStarted = true;
    for (const topic of this.#topics) this.#carrier.subscribe(topic);
    if (advertise.length === 0) this.#hello = { ...this.#hello, addresses: this.#carrier.addresses() };
    telemetry.gauge("massa_mesh_peers", () => this.peers().length);
    this.#cancelTicks = world.clock.every(limits.keepAliveMs, () => this.#tick());
    this.#dialler.start();
    log.info({ id: this.id, addresses: this.#carrier.addresses() }, "mesh listens");
  }

  announce(changes: HelloChanges): void {
    this.#hello = { ...this.#hello, ...changes };
    const encoded = encodeHello(this.#hello, []);
    for (const session of this.#sessions.values()) {
      if (session.isUp) session.link.sendHello(encoded);
      session.judge();
    }
  }

  send(peerId: string, channel: number, body: Uint8Array): boolean {
    const session = this.#sessions.get(peerId);
    if (!session?.isUp) return false;
    const taken = session.link.send(channel, body);
    if (!taken) this.#options.telemetry.count("massa_limit_reached_total", { limit: "mesh.sendBuffer" });
    return taken;
  }

  publish(topic: string, body: Uint8Array): void {
    if (this.#closing) return;
    const { gossipBytesMax } = this.#options.limits;
    if (body.length > gossipBytesMax)
      throw new RangeError(`a gossip message of ${body.length} bytes is longer than ${gossipBytesMax}`);
    this.#gossipNumber += 1;
    this.#carrier.publish(topic, encodeGossip(this.id, this.#gossipNumber, body));
  }

  subscribe(topic: string): void {
    if (this.#closing || this.#topics.has(topic)) return;
    this.#topics.add(topic);
    if (this.#isStarted) this.#carrier.subscribe(topic);
  }

  unsubscribe(topic: string): void {
    if (!this.#closing && this.#topics.delete(topic) && this.#isStarted) this.#carrier.unsubscribe(topic);
  }

  request(peerId: string, head: RequestHead, receiver: ResponseReceiver): OutgoingRequest {
    const session = this.#sessions.get(peerId);
    if (session?.isUp) return session.link.request(head, receiver);
    let isCanceled = false;
    this.#options.world.clock.after(0, () => {
      if (!isCanceled) receiver.fail(new MassaError("unavailable", "there is no link to the node"));
    });
    const nothing = () => undefined;
    return {
      send: () => false,
      pause: nothing,
      resume: nothing,
      halfClose: nothing,
      cancel: () => void (isCanceled = true),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  // What the carrier tells.

  isAdmitted(peerId: string): boolean {
    return this.#sessions.has(peerId);
  }

  connected(connection: Connection): void {
    this.#entrance.connected(connection);
  }

  disconnected(connection: Connection): void {
    const hasOthers = this.#entrance.disconnected(connection);
    if (!hasOthers) this.#sessions.get(connection.peerId)?.end("the connection was closed");
  }

  opened(protocol: "hello" | "peer", stream: ByteStream, connection: Connection): void {
    if (protocol === "hello") return this.#entrance.greeted(stream, connection);
    if (this.#sessions.get(connection.peerId)?.incoming(stream) !== true)
      stream.abort("not admitted, or linked already");
  }

  gossip(topic: string, bytes: Uint8Array): void {
    const gossip = decodeGossip(bytes);
    if (gossip && gossip.origin !== this.id && this.#topics.has(topic))
      this.#listener?.gossip(topic, gossip.origin, gossip.body);
  }

  discovered(id: string, addresses: readonly string[]): void {
    this.#dialler.learn({ id, addresses });
  }

  // Admission.

  #openPeer(connection: Connection, session: Session): void {
    connection.open("peer").then(
      (stream) => {
        if (!session.outgoing(stream)) stream.abort("the link is gone");
      },
      (failure: unknown) => session.end(`no stream could be opened: ${String(failure)}`),
    );
  }

  #admitted(connection: Connection, { hello, neighbours }: Introduction, sent: Hello): void {
    const before = this.#sessions.get(connection.peerId);
    if (before?.isStale === true) this.#replace(before, connection);
    let session = this.#sessions.get(connection.peerId);
    if (!session) this.#sessions.set(connection.peerId, (session = this.#createSession(connection, hello, sent)));
    if (session.isUp) this.#entrance.linked(session.id);
    else if (session.claimOutgoing()) this.#openPeer(connection, session);
    for (const neighbour of neighbours.slice(0, this.#options.limits.linksMax)) this.#dialler.learn(neighbour);
  }

  /** Nodes that this one has links to count, too: what is told to one of two that do not go together would be lost to the other. */
  #refusal(theirs: Hello, own: Hello): string | undefined {
    return unsharedConflict(theirs, own, this.peers());
  }

  #replace(session: Session, connection: Connection): void {
    this.#kept = connection;
    session.end("the node linked anew");
    this.#kept = undefined;
  }

  #createSession(connection: Connection, hello: Hello, sent: Hello): Session {
    const { limits, world, log, telemetry, soon } = this.#options;
    const { peerId } = connection;
    let cancelStale: Cancel | undefined;
    const session: Session = new Session(peerId, hello, {
      limits: limits.link,
      clock: world.clock,
      listener: this.#listener!,
      soon,
      refusal: (theirs) => this.#refusal(theirs, this.#hello),
      limited: (limit) => telemetry.count("massa_limit_reached_total", { limit }),
      up: () => {
        cancelTimeout();
        cancelStale = world.clock.after(limits.admissionTimeoutMs, () => session.age());
        this.#carrier.admit(connection);
        if (this.#hello !== sent) session.link.sendHello(encodeHello(this.#hello, []));
        this.#entrance.linked(peerId);
        log.info(
          { peer: peerId, nodeName: session.hello.nodeName, addresses: session.hello.addresses },
          "node admitted",
        );
      },
      ended: (reason) => {
        cancelTimeout();
        cancelStale?.();
        this.#sessions.delete(peerId);
        this.#carrier.dismiss(peerId);
        for (const other of this.#entrance.connections(peerId)) if (other !== this.#kept) other.abort(reason);
        if (this.#closing) return;
        telemetry.count("massa_mesh_links_lost_total");
        log.info({ peer: peerId, nodeName: session.hello.nodeName, reason }, "link to a node lost");
        this.#dialler.lost({ id: peerId, addresses: session.hello.addresses });
      },
    });
    const cancelTimeout = world.clock.after(limits.admissionTimeoutMs, () => session.end("no streams in time"));
    return session;
  }

  async #dial(endpoint: string): Promise<Dialled> {
    try {
      const connection = await this.#carrier.dial(endpoint);
      return connection === "self" ? { type: "self" } : await this.#entrance.outcome(connection);
    } catch (failure) {
      return { type: "failed", reason: failure instanceof Error ? failure.message : String(failure) };
    }
  }

  #tick(): void {
    for (const session of [...this.#sessions.values()]) {
      if (!session.isUp) continue;
      session.link.tick();
      const connection = this.#entrance.connections(session.id)[0];
      if (connection) this.#carrier.admit(connection);
    }
  }

  async #close(): Promise<void> {
    const { world, limits } = this.#options;
    this.#dialler.stop();
    this.#entrance.close();
    const bound = new AbortController();
    const timeout = world.clock.sleep(limits.closeTimeoutMs, bound.signal).catch(() => undefined); // Aborted: all closed in time.
    const idle = async () => {
      while ([...this.#sessions.values()].some((session) => !session.isIdle)) await world.clock.sleep(5, bound.signal);
    };
    await Promise.race([idle(), timeout]);
    for (const session of [...this.#sessions.values()]) session.finish("this node closes");
    this.#cancelTicks?.();
    await Promise.race([this.#carrier[Symbol.asyncDispose](), timeout]);
    bound.abort();
    await timeout;
  }
}
