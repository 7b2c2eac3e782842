/**
 * The simulated world as `massa/testing`: processes with the real replication over a simulated network, under one seeded
 * scheduler with virtual time; and `checkLaws`, which checks that a type of your own converges.
 *
 * ```ts
 * const world = new SimulatedWorld({ seed: 1, replication: { expect: 3 } });
 * const [a, b] = world.startAll("A", "B", "C");
 * world.part(["A"], ["B", "C"]);
 * a.increment("stock", 3);
 * b.increment("stock", 4);
 * world.rest(); // heals, and runs until all are equal
 * world.checkAtRest(); // throws BrokenInvariant with the seed, unless all are as the history says
 * b.plain("stock"); // "sum 7"
 * ```
 *
 * @module
 */
export { History, plainValue } from "./history.ts";
export type { Deed } from "./history.ts";
export { BrokenLaw, checkLaws } from "./laws.ts";
export type { Joined } from "./laws.ts";
export type { SimulatedNode, Written } from "./simulated-node.ts";
export { BrokenInvariant, SimulatedWorld } from "./simulated-world.ts";
export type { SimulatedWorldOptions } from "./simulated-world.ts";
export { runStorm } from "./storm.ts";
export type { StormOptions } from "./storm.ts";
