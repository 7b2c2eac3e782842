import { MassaError } from "../core/errors.ts";
import type { Cancel, Clock, Random } from "../core/world.ts";
import type { ByteStream } from "./carrier.ts";
import { encodeHello, protocolVersion } from "./hello.ts";
import { defaultLinkLimits, type LinkLimits } from "./link-limits.ts";
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
import { SimulatedPipe } from "./simulated-pipe.ts";

/** Virtual time: all that a simulated network needs to run. */
export type Scheduler = Pick<Clock, "now" | "after">;

/** What may happen to one message, each as parts of a thousand; and how much later a reordered one comes, at most. */
export interface Faults {
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly reorderedByMs: number;
}

/** How a simulated network behaves. `frames` breaks the promise of order and arrival on purpose, for what must stand it. */
export interface SimulatedNetworkOptions {
  readonly latencyMinMs: number;
  readonly latencyMaxMs: number;
  readonly gossip: Faults;
  readonly frames: Faults;
  readonly keepAliveMs: number;
  readonly redialMs: number;
  readonly link: LinkLimits;
}

/** A network where nothing goes wrong. */
const faultless: Faults = { lost: 0, duplicated: 0, reordered: 0, reorderedByMs: 0 };

const quiet: SimulatedNetworkOptions = {
  latencyMinMs: 1,
  latencyMaxMs: 3,
  gossip: faultless,
  frames: faultless,
  keepAliveMs: 1_000,
  redialMs: 200,
  link: defaultLinkLimits,
};

/** One node of a simulated network. */
export interface SimulatedMeshOptions {
  readonly hello: Omit<FirstHello, "nodeName">;
  /** Only nodes with the same key are linked. */
  readonly key?: string;
  readonly othersConfigured?: number;
  readonly link?: LinkLimits;
}

/** Nodes that reach each other by seeded chance in virtual time. The same seed and calls give the same run. */
export class SimulatedNetwork {
  readonly scheduler: Scheduler;
  readonly random: Random;
  options: SimulatedNetworkOptions;
  readonly #nodes = new Map<string, SimulatedMesh>();
  readonly #cuts = new Set<string>();
  readonly #pipes = new Set<SimulatedPipe>();
  #processes = 0;

  constructor(scheduler: Scheduler, random: Random, options: Partial<SimulatedNetworkOptions> = {}) {
    this.scheduler = scheduler;
    this.random = random;
    this.options = { ...quiet, ...options };
  }

  /** A new process named `name`; it takes part from `start` on. */
  mesh(name: string, options: SimulatedMeshOptions): Mesh {
    this.#processes += 1;
    return new SimulatedMesh(this, `${name}#${this.#processes}`, name, options);
  }

  /** Nothing gets from one node to the other any more, not even to a later process of that name, until `heal`. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}\n${to}`);
  }

  /** Mends one direction, or everything. */
  heal(from?: string, to?: string): void {
    if (from === undefined || to === undefined) this.#cuts.clear();
    else this.#cuts.delete(`${from}\n${to}`);
    for (const pipe of this.#pipes) pipe.flush();
  }

  /** The process ends without a word (power off): the others notice by its silence. */
  crash(mesh: Mesh): void {
    this.#nodes.get(mesh.id)?.vanish();
  }

  // What nodes call.

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}\n${to}`);
  }

  latencyMs(): number {
    const { latencyMinMs, latencyMaxMs } = this.options;
    return latencyMinMs + this.random.int(1 + Math.max(0, latencyMaxMs - latencyMinMs));
  }

  join(node: SimulatedMesh): void {
    for (const other of this.#nodes.values()) this.dial(node, other, this.latencyMs());
    this.#nodes.set(node.id, node);
  }

  leave(node: SimulatedMesh): void {
    this.#nodes.delete(node.id);
  }

  /** Links two nodes after a while, or tries again until one of them is gone. */
  dial(left: SimulatedMesh, right: SimulatedMesh, delayMs: number): void {
    this.scheduler.after(delayMs, () => {
      const both = this.#nodes.get(left.id) === left && this.#nodes.get(right.id) === right;
      if (!both || left.options.key !== right.options.key || left.hello.cluster !== right.hello.cluster) return;
      const free = !left.isLinked(right.id) && !right.isLinked(left.id);
      if (left.isLinked(right.id) && right.isLinked(left.id)) return;
      const refused = left.refusal(right.hello) ?? right.refusal(left.hello);
      if (!free || refused !== undefined || this.isCut(left.name, right.name) || this.isCut(right.name, left.name)) {
        this.dial(left, right, this.options.redialMs + this.random.int(this.options.redialMs));
        return;
      }
      this.#link(left, right);
    });
  }

  /** Hands a gossip message to everybody whom a chain of nodes leads to. */
  spread(from: SimulatedMesh, topic: string, body: Uint8Array): void {
    const reached = new Map<SimulatedMesh, number>([[from, 0]]);
    for (const [node, hops] of reached) {
      for (const next of this.#nodes.values()) {
        if (!reached.has(next) && node.isLinked(next.id) && !this.isCut(node.name, next.name))
          reached.set(next, hops + 1);
      }
    }
    for (const [node, hops] of reached) {
      if (hops === 0) continue;
      this.strike(this.options.gossip, hops * this.latencyMs(), () => node.hear(topic, from.id, body));
    }
  }

  /** Runs `deliver` after `delayMs`, more or less often and later as chance has it. */
  strike(faults: Faults, delayMs: number, deliver: () => void): void {
    if (this.#chance(faults.lost)) return;
    const copies = this.#chance(faults.duplicated) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      const later = this.#chance(faults.reordered) ? this.random.int(1 + faults.reorderedByMs) : 0;
      if (delayMs + later === 0) deliver();
      else this.scheduler.after(delayMs + later, deliver);
    }
  }

  #chance(perThousand: number): boolean {
    return perThousand > 0 && this.random.int(1_000) < perThousand;
  }

  #link(left: SimulatedMesh, right: SimulatedMesh): void {
    const there = this.#pipe(left, right);
    const back = this.#pipe(right, left);
    left.meet(right, there.writer, back.reader);
    right.meet(left, back.writer, there.reader);
  }

  #pipe(from: SimulatedMesh, to: SimulatedMesh): SimulatedPipe {
    const pipe = new SimulatedPipe(this, from.name, to.name, () => this.#pipes.delete(pipe));
    this.#pipes.add(pipe);
    return pipe;
  }
}

class SimulatedMesh implements Mesh {
  readonly id: string;
  readonly name: string;
  readonly options: SimulatedMeshOptions;
  readonly #network: SimulatedNetwork;
  readonly #sessions = new Map<string, Session>();
  readonly #topics = new Set<string>();
  #hello: Hello;
  #listener: MeshListener | undefined;
  #isOver = false;
  #hasVanished = false;
  #cancelTick: Cancel | undefined;

  constructor(network: SimulatedNetwork, id: string, name: string, options: SimulatedMeshOptions) {
    this.#network = network;
    this.id = id;
    this.name = name;
    this.options = options;
    this.#hello = {
      ...options.hello,
      nodeName: name,
      protocolVersion,
      addresses: [`${name}:9005`],
      unsharedServices: [],
    };
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
    return this.options.othersConfigured ?? 0;
  }

  start(listener: MeshListener): Promise<void> {
    this.#listener = listener;
    this.#network.join(this);
    this.#tick();
    return Promise.resolve();
  }

  announce(changes: HelloChanges): void {
    this.#hello = { ...this.#hello, ...changes };
    for (const session of this.#sessions.values()) {
      session.link.sendHello(encodeHello(this.#hello, []));
      session.judge();
    }
  }

  send(peerId: string, channel: number, body: Uint8Array): boolean {
    const session = this.#sessions.get(peerId);
    if (!session?.isUp) return false;
    const { frames } = this.#network.options;
    if (frames === faultless) return session.link.send(channel, body);
    this.#network.strike(frames, 0, () => void session.link.send(channel, body));
    return true;
  }

  publish(topic: string, body: Uint8Array): void {
    if (!this.#isOver) this.#network.spread(this, topic, body);
  }

  subscribe(topic: string): void {
    this.#topics.add(topic);
  }

  unsubscribe(topic: string): void {
    this.#topics.delete(topic);
  }

  request(peerId: string, head: RequestHead, receiver: ResponseReceiver): OutgoingRequest {
    const session = this.#sessions.get(peerId);
    if (session?.isUp) return session.link.request(head, receiver);
    const cancel = this.#network.scheduler.after(0, () =>
      receiver.fail(new MassaError("unavailable", "there is no link to the node")),
    );
    const nothing = () => undefined;
    return { send: () => false, pause: nothing, resume: nothing, halfClose: nothing, cancel };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    for (const session of [...this.#sessions.values()]) session.finish("this node closes");
    return Promise.resolve();
  }

  // What the network calls.

  isLinked(peerId: string): boolean {
    return this.#sessions.has(peerId);
  }

  /** Why a node cannot be in the mesh with this one and those that it has links to. */
  refusal(theirs: Hello): string | undefined {
    return unsharedConflict(theirs, this.#hello, this.peers());
  }

  hear(topic: string, from: string, body: Uint8Array): void {
    if (!this.#isOver && this.#topics.has(topic)) this.#listener?.gossip(topic, from, body);
  }

  meet(other: SimulatedMesh, outgoing: ByteStream, incoming: ByteStream): void {
    const { options, random } = this.#network;
    const clock: Pick<Clock, "after"> = { after: (delayMs, callback) => this.#after(delayMs, callback) };
    const session = new Session(other.id, other.hello, {
      limits: this.options.link ?? options.link,
      clock,
      listener: this.#listener!,
      soon: (flush) => void this.#after(0, flush),
      refusal: (theirs) => this.refusal(theirs),
      limited: () => undefined,
      up: () => undefined,
      ended: () => {
        this.#sessions.delete(other.id);
        if (!this.#isOver) this.#network.dial(this, other, options.redialMs + random.int(options.redialMs));
      },
    });
    this.#sessions.set(other.id, session);
    session.outgoing(this.#alive(outgoing));
    clock.after(0, () => session.incoming(this.#alive(incoming)));
  }

  vanish(): void {
    this.#hasVanished = true;
    this.#end();
    this.#sessions.clear();
  }

  /** A stream that is silent and deaf once the process has vanished. */
  #alive(stream: ByteStream): ByteStream {
    const live = (act: () => void) => () => {
      if (!this.#hasVanished) act();
    };
    return {
      write: (bytes) => !this.#hasVanished && stream.write(bytes),
      listen: (events) =>
        stream.listen({
          chunk: (bytes) => live(() => events.chunk(bytes))(),
          drained: live(() => events.drained()),
          closed: (reason) => live(() => events.closed(reason))(),
        }),
      close: live(() => stream.close()),
      abort: (reason) => live(() => stream.abort(reason))(),
    };
  }

  #after(delayMs: number, callback: () => void): Cancel {
    return this.#network.scheduler.after(delayMs, () => {
      if (!this.#hasVanished) callback();
    });
  }

  #end(): void {
    this.#isOver = true;
    this.#cancelTick?.();
    this.#network.leave(this);
  }

  #tick(): void {
    this.#cancelTick = this.#network.scheduler.after(this.#network.options.keepAliveMs, () => {
      for (const session of [...this.#sessions.values()]) session.link.tick();
      this.#tick();
    });
  }
}
