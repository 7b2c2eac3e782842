import type { Operation } from "../../crdt/index.ts";
import type { Random } from "../core/world.ts";
import { seededRandom } from "../core/world.ts";
import type { SimulatedNode } from "./simulated-node.ts";
import type { SimulatedWorldOptions } from "./simulated-world.ts";
import { SimulatedWorld } from "./simulated-world.ts";

/** A random run: how many places and steps, and the world it runs in. */
export interface StormOptions extends Omit<SimulatedWorldOptions, "seed"> {
  readonly seed: number;
  readonly places: number;
  readonly steps: number;
  /** Counters only: folds of sent amounts may race a removal, which the oracle does not reckon with. */
  readonly countersOnly?: boolean;
}

/**
 * Operations, writes at MAJORITY, partitions, crashes with a new process at the same place, processes that stand still and ones
 * that leave, over a network that loses, doubles and reorders; then rest. Never are so many down at once that a confirmed write
 * may be gone. Throws `BrokenInvariant`; gives the world as it is at rest.
 */
export function runStorm(options: StormOptions): SimulatedWorld {
  const random = seededRandom(options.seed ^ 0x5deece66);
  const faults = { lost: random.int(80), duplicated: random.int(80), reordered: random.int(150), reorderedByMs: 300 };
  const world = new SimulatedWorld({
    ...options,
    network: { gossip: faults, frames: faults, ...options.network },
    replication: { expect: options.places, askTimeoutMs: 300, ...options.replication },
  });
  const storm = new Storm(world, random, options);
  storm.run();
  return world;
}

const elements = ["1:t:a", "1:t:b", "1:t:c", "1:t:d"] as const;

class Storm {
  readonly #world: SimulatedWorld;
  readonly #random: Random;
  readonly #options: StormOptions;
  readonly #names: readonly string[];
  #stamp = 0;

  constructor(world: SimulatedWorld, random: Random, options: StormOptions) {
    this.#world = world;
    this.#random = random;
    this.#options = options;
    this.#names = Array.from({ length: options.places }, (_, place) => String.fromCharCode(65 + place));
  }

  run(): void {
    const world = this.#world;
    for (const name of this.#names) world.start(name, this.#random.int(20_000) - 10_000);
    world.until(() => world.nodes.every(({ isReady }) => isReady), "the first processes to be ready");
    for (let step = 0; step < this.#options.steps; step += 1) {
      this.#step();
      world.run(this.#random.int(4) === 0 ? this.#random.int(800) : this.#random.int(30));
    }
    for (const name of this.#names) if (!this.#at(name)) world.start(name);
    world.rest();
    world.checkAtRest();
  }

  #at(name: string): SimulatedNode | undefined {
    return this.#world.nodes.find((node) => node.name === name);
  }

  #step(): void {
    const roll = this.#random.int(100);
    const node = this.#at(this.#pick(this.#names));
    if (roll >= 94) this.#fault(roll, node);
    else if (node?.isRunning !== true || node.replication.hasLeft) return;
    else if (roll < 12)
      node.write(this.#pick(["sum1", "sum2"]), 1 + this.#random.int(5), this.#pick(["majority", "all"]));
    else node.does(...this.#deed());
  }

  #fault(roll: number, node: SimulatedNode | undefined): void {
    const world = this.#world;
    if (roll === 94) return this.#part();
    if (roll === 95) return world.heal();
    const isWhole = world.nodes.length === this.#names.length && world.nodes.every((each) => this.#isSettled(each));
    if (node === undefined) {
      const missing = this.#names.find((name) => !this.#at(name))!;
      world.start(missing, this.#random.int(20_000) - 10_000);
    } else if (!node.isRunning) node.goOn();
    else if (isWhole && roll === 96) node.stop();
    else if (isWhole && roll < 99) {
      node.crash();
      world.start(node.name, this.#random.int(20_000) - 10_000);
    } else if (isWhole) node.leave();
  }

  /** One more crash may follow: this process runs, and has what the others had when they were confirmed to. */
  #isSettled(node: SimulatedNode): boolean {
    const clock = this.#world.clockOf(node);
    const has = this.#world.confirmed.every(({ replica, number }) => (clock.get(replica) ?? 0) >= number);
    return node.isRunning && node.isReady && !node.replication.hasLeft && has;
  }

  #part(): void {
    const [left, right]: [string[], string[]] = [[], []];
    for (const name of this.#names) (this.#random.int(2) === 0 ? left : right).push(name);
    if (this.#random.int(3) > 0) this.#world.part(left, right);
    else this.#world.cut(this.#pick(this.#names), this.#pick(this.#names));
  }

  #deed(): [entity: string, operation: Operation | "delete"] {
    const change = BigInt(this.#random.int(9) - 4);
    const counter: Operation = { type: "pncounter", change };
    const roll = this.#options.countersOnly === true ? 0 : this.#random.int(10);
    if (roll < 3) return [this.#pick(["sum1", "sum2", "sum3"]), counter];
    const element = this.#pick(elements);
    if (roll < 6) {
      if (this.#random.int(20) === 0) return ["set", "delete"];
      const isAdd = this.#random.int(2) === 0;
      const delta = { cleared: false, removed: isAdd ? [] : [element], added: isAdd ? [element] : [] };
      return [this.#pick(["set", "set2"]), { type: "orset", ...delta }];
    }
    if (roll < 9) {
      const none = { cleared: false, removed: [], updated: [], added: [] };
      if (this.#random.int(3) === 0) return ["map", { type: "ormap", ...none, removed: [element] }];
      return ["map", { type: "ormap", ...none, added: [{ key: element, operation: counter }] }];
    }
    this.#stamp += this.#random.int(3);
    const value = `1:t:${this.#random.int(1_000)}`;
    return ["register", { type: "lwwregister", value, clock: "custom", customClock: BigInt(this.#stamp) }];
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.int(from.length)]!;
  }
}
