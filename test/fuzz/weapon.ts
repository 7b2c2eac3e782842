import { type Random, seededRandom } from "../../lib/core/world.ts";

/** One input, made of a seed alone, so that it can be made again. */
export interface Shot {
  /** All bytes that are sent. */
  readonly input: Uint8Array;
  /** How they are sent, in a few words. */
  readonly how: string;
  /** Sends them; gives what came of it in a word or two. Rejects when what came is wrong. */
  fire(): Promise<string>;
}

/** Makes inputs of one kind. */
export interface Weapon {
  readonly name: WeaponName;
  /** Shots under way at once. */
  readonly parallel: number;
  shot(random: Random): Shot;
}

export const weaponNames = ["http", "json", "frames", "descriptors"] as const;
export type WeaponName = (typeof weaponNames)[number];

/** The randomness of one shot, by its number. */
export function randomOf(seed: number, weapon: WeaponName, number: number): Random {
  let mixed = 0x811c9dc5;
  for (const letter of `${seed}/${weapon}/${number}`) mixed = Math.imul(mixed ^ letter.charCodeAt(0), 0x01000193);
  return seededRandom(mixed);
}

/** One of a list that is not empty. */
export function pick<T>(random: Random, list: readonly T[]): T {
  return list[random.int(list.length)]!;
}

/** One of a list, if it has any. */
export function anyOf<T>(random: Random, list: readonly T[]): T | undefined {
  return list[random.int(Math.max(1, list.length))];
}

/** True in `percent` of 100 cases. */
export function chance(random: Random, percent: number): boolean {
  return random.int(100) < percent;
}

/** As many as `max`, at least one, each made anew. */
export function several<T>(random: Random, max: number, make: (index: number) => T): T[] {
  return Array.from({ length: 1 + random.int(max) }, (_, index) => make(index));
}

/** What went wrong, with what that came from. */
export function reasonOf(failure: unknown): string {
  const cause =
    failure instanceof Error && failure.cause !== undefined ? `, because of ${reasonOf(failure.cause)}` : "";
  return `${String(failure)}${cause}`;
}
