import { createHash } from "node:crypto";
import type { Clock, ReplicaId } from "../../crdt/index.ts";
import { digest } from "../../crdt/index.ts";
import type { Random } from "../core/world.ts";
import { seededRandom } from "../core/world.ts";
import type { SimulatedNetworkOptions } from "../mesh/simulated.ts";
import { SimulatedNetwork } from "../mesh/simulated.ts";
import type { Message } from "../replication/frames.ts";
import { Group } from "../replication/group.ts";
import type { ReplicationOptions } from "../replication/options.ts";
import { defaultReplicationOptions } from "../replication/options.ts";
import type { Rules } from "../replication/rules.ts";
import { rightRules } from "../replication/rules.ts";
import type { Deed } from "./history.ts";
import { History } from "./history.ts";
import type { Written } from "./simulated-node.ts";
import { groupName, SimulatedNode } from "./simulated-node.ts";
import { VirtualTime } from "./virtual-time.ts";

/** How a simulated world is set up. */
export interface SimulatedWorldOptions {
  readonly seed: number;
  readonly replication?: Partial<ReplicationOptions>;
  readonly network?: Partial<SimulatedNetworkOptions>;
  readonly rules?: Partial<Rules>;
  /** Processes take the replica id of the one before them at the same place: never right. */
  readonly reusesReplicas?: boolean;
}

/** A rule that must hold at every moment was broken. The message begins with the seed. */
export class BrokenInvariant extends Error {
  override readonly name = "BrokenInvariant";
}

/** Processes with the real replication under one seeded scheduler with virtual time. The same seed and calls give the same run. */
export class SimulatedWorld {
  readonly seed: number;
  readonly time = new VirtualTime();
  readonly random: Random;
  readonly network: SimulatedNetwork;
  readonly history = new History();
  /** Sees every message of a link before it is handed over; false: it is lost. */
  intercept: ((to: SimulatedNode, from: ReplicaId, message: Message) => boolean) | undefined;
  readonly #options: SimulatedWorldOptions;
  readonly #nodes: SimulatedNode[] = [];
  readonly #partitions = new Set<string>();
  readonly #cuts = new Set<string>();
  readonly #clocks = new Map<SimulatedNode, Clock>();
  readonly #numbers = new Set<string>();
  readonly #confirmed: Written[] = [];
  readonly #replicas = new Map<string, ReplicaId>();
  readonly #trace = createHash("sha256");

  constructor(options: SimulatedWorldOptions) {
    this.seed = options.seed;
    this.random = seededRandom(options.seed);
    this.#options = options;
    this.network = new SimulatedNetwork(this.time, this.random, options.network);
  }

  /** Processes that are not over, in the order of their start. */
  get nodes(): readonly SimulatedNode[] {
    return this.#nodes.filter(({ isOver }) => !isOver);
  }

  /** Writes that were confirmed to their users. */
  get confirmed(): readonly Written[] {
    return this.#confirmed;
  }

  /** One value for everything that happened so far: equal seeds, equal hashes. */
  get traceHash(): string {
    return this.#trace.copy().digest("hex");
  }

  /** Starts a process at a place, its function discovered at once. */
  start(name: string, skewMs = 0): SimulatedNode {
    const node = this.startUndiscovered(name, skewMs);
    node.replication.hosted([groupName]);
    return node;
  }

  /** Starts a process that does not know yet what it hosts. */
  startUndiscovered(name: string, skewMs = 0): SimulatedNode {
    const before = this.#replicas.get(name);
    const fresh = Buffer.from(this.random.bytes(16)).toString("hex");
    const replica = this.#options.reusesReplicas === true && before !== undefined ? before : fresh;
    this.#replicas.set(name, replica);
    const hello = {
      cluster: "simulated",
      replica,
      incarnation: 1,
      services: [],
      groups: [],
      members: new Uint8Array(0),
    };
    const node = new SimulatedNode({
      world: this,
      name,
      replica,
      mesh: this.network.mesh(name, { hello }),
      options: { ...defaultReplicationOptions, cluster: "simulated", nodeName: name, ...this.#options.replication },
      rules: { ...rightRules, ...this.#options.rules },
      skewMs,
    });
    this.#nodes.push(node);
    node.begin();
    this.refreshCuts();
    return node;
  }

  /** Starts several, and runs until all are ready. */
  startAll(...names: string[]): SimulatedNode[] {
    const nodes = names.map((name) => this.start(name));
    this.until(() => nodes.every(({ isReady }) => isReady), `${names.join(", ")} to be ready`);
    return nodes;
  }

  /** Everything sent while `act` runs, and nothing else, is lost. */
  losing(act: () => void): void {
    const { options } = this.network;
    this.network.options = { ...options, gossip: all, frames: all };
    act();
    this.network.options = options;
  }

  run(durationMs: number): void {
    this.time.run(durationMs);
    this.check();
  }

  /** Runs until `isMet`, at most `withinMs`. */
  until(isMet: () => boolean, what: string, withinMs = 30_000): void {
    const endMs = this.time.now() + withinMs;
    while (!isMet()) if (!this.time.step(endMs)) this.fail(`waited ${withinMs} ms in vain for ${what}`);
    this.check();
  }

  /** Parts the places into groups that hear nothing of each other; whoever is not named hears everybody. */
  part(...sides: readonly (readonly string[])[]): void {
    for (const left of sides) {
      for (const right of sides) {
        if (left !== right) for (const from of left) for (const to of right) this.#partitions.add(`${from}\n${to}`);
      }
    }
    this.refreshCuts();
  }

  /** Cuts one direction only. */
  cut(from: string, to: string): void {
    this.#partitions.add(`${from}\n${to}`);
    this.refreshCuts();
  }

  heal(): void {
    this.#partitions.clear();
    this.refreshCuts();
  }

  /** Ends all faults and runs until every process has the same clock and nothing is unsent. */
  rest(withinMs = 60_000): void {
    this.heal();
    this.network.options = { ...this.network.options, gossip: none, frames: none };
    for (const node of this.nodes) if (!node.isRunning) node.goOn();
    const isEven = () => {
      const clocks = this.nodes.map((node) => plainClock(this.clockOf(node)));
      return clocks.every((clock) => clock === clocks[0]);
    };
    this.until(isEven, "equal clocks", withinMs);
    this.run(100);
    this.until(isEven, "equal clocks", withinMs);
  }

  /** What must hold at every moment. */
  check(): void {
    const states = new Map<string, { readonly node: SimulatedNode; readonly state: string }>();
    for (const node of this.nodes) {
      const clock = this.clockOf(node);
      for (const [replica, number] of this.#clocks.get(node) ?? []) {
        if ((clock.get(replica) ?? 0) < number) this.fail(`the clock of ${node.name} went back for ${replica}`);
      }
      this.#clocks.set(node, clock);
      const state = stateOf(node);
      const other = states.get(plainClock(clock));
      if (other !== undefined && other.state !== state) {
        this.fail(`${node.name} and ${other.node.name} have equal clocks and differ:\n${state}\n${other.state}`);
      }
      states.set(plainClock(clock), { node, state });
    }
  }

  /** What must hold at rest beside equality: nothing confirmed is lost, and every entity is as its history says. */
  checkAtRest(): void {
    this.check();
    const [first] = this.nodes;
    if (first === undefined) return;
    const clock = this.clockOf(first);
    for (const { replica, number } of this.#confirmed) {
      if ((clock.get(replica) ?? 0) < number) this.fail(`a confirmed write is lost: ${replica} ${number}`);
    }
    for (const entity of this.history.entities()) {
      const expected = this.history.expected(entity, clock);
      for (const node of this.nodes) {
        if (node.plain(entity) !== expected) {
          this.fail(`${entity} on ${node.name} is ${node.plain(entity)}, its history says ${expected}`);
        }
      }
    }
  }

  fail(problem: string): never {
    throw new BrokenInvariant(`seed ${this.seed}, at ${this.time.now()} ms: ${problem}`);
  }

  // What nodes call.

  /** A copy of a node's clock, what is unsent included. */
  clockOf({ group }: SimulatedNode): Clock {
    if (!(group instanceof Group)) throw new TypeError("not a group of this package");
    return new Map(group.replicator.clock);
  }

  did(deed: Deed): void {
    const last = deed.seen.get(deed.replica) ?? 0;
    for (let number = last + 1; number <= deed.number; number += 1) {
      const dot = `${deed.replica}:${number}`;
      if (this.#numbers.has(dot)) this.fail(`a number was used twice: ${dot}`);
      this.#numbers.add(dot);
    }
    this.history.add(deed);
    this.traced(deed.replica, "did", deed.entity, new Uint8Array(0));
  }

  noted(written: Written): void {
    if (written.isConfirmed === true) this.#confirmed.push(written);
    this.traced(written.replica, `confirmed ${written.number}`, String(written.isConfirmed), new Uint8Array(0));
  }

  ended(node: SimulatedNode): void {
    this.network.crash(node.mesh);
    this.#clocks.delete(node);
  }

  traced(where: string, kind: string, from: string, bytes: Uint8Array): void {
    this.#trace.update(`${this.time.now()} ${where} ${kind} ${from} `).update(bytes).update("\n");
  }

  /** Brings the network's cuts in line with partitions and with who stands still. */
  refreshCuts(): void {
    const wanted = new Set(this.#partitions);
    const names = new Set(this.nodes.map(({ name }) => name));
    for (const { name, isRunning } of this.nodes) {
      if (isRunning) continue;
      for (const other of names) {
        wanted.add(`${name}\n${other}`);
        wanted.add(`${other}\n${name}`);
      }
    }
    for (const cut of wanted) if (!this.#cuts.has(cut)) this.network.cut(...ends(cut));
    for (const cut of [...this.#cuts]) {
      if (wanted.has(cut)) continue;
      this.#cuts.delete(cut);
      this.network.heal(...ends(cut));
    }
    for (const cut of wanted) this.#cuts.add(cut);
  }
}

const all = { lost: 1_000, duplicated: 0, reordered: 0, reorderedByMs: 0 };
const none = { lost: 0, duplicated: 0, reordered: 0, reorderedByMs: 0 };

function ends(cut: string): [from: string, to: string] {
  return cut.split("\n") as [string, string];
}

function plainClock(clock: Clock): string {
  return [...clock]
    .filter(([, number]) => number > 0)
    .map(([replica, number]) => `${replica}:${number}`)
    .sort()
    .join(" ");
}

/** Everything a node holds that others must agree on. */
function stateOf({ group }: SimulatedNode): string {
  if (!(group instanceof Group)) throw new TypeError("not a group of this package");
  const { tables } = group.replicator;
  return [...tables.names()]
    .filter((name) => tables.get(name)!.size > 0)
    .map((name) => `${name} ${digest(tables.get(name)!)}`)
    .sort()
    .join("\n");
}
