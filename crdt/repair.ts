import { encodeEntry } from "./encoding.ts";
import type { Dot, Entry, Repair, Seen } from "./entry.ts";
import { compareDots, dotKey } from "./entry.ts";
import type { Table } from "./table.ts";

/**
 * What an asker who has seen this much lacks, and the names of the live dots that it may have. Dots named after messages always
 * go in full.
 */
export function since(table: Table, asker: Seen): Repair {
  const entries: Entry[] = [];
  const kept: Dot[] = [];
  for (const entry of table.entries()) {
    if ("replica" in entry.dot && asker.covers(entry.dot)) kept.push(entry.dot);
    else entries.push(entry);
  }
  return { entries, kept };
}

/**
 * Cuts a repair into parts that encode to at most `maxBytes` each (one entry that is larger goes alone), at least one part. All
 * parts of one reading, gathered, are the repair again; a part alone must not be joined.
 */
export function slices(repair: Repair, maxBytes: number): Repair[] {
  const cut = new Cut(maxBytes);
  for (const dot of [...repair.kept].sort(compareDots)) cut.keep(dot);
  for (const entry of [...repair.entries].sort((left, right) => compareDots(left.dot, right.dot))) cut.bring(entry);
  return cut.parts;
}

/** Bytes for a part's own counts. */
const countsMax = 32;
/** What a repeated short string may cost above writing it. */
const repeatMax = 3;
/** What a group of names may cost beside its origin, its first name included. */
const groupMax = 48;

/** Parts of a repair, each filled before the next is begun; costs are reckoned from above. */
class Cut {
  readonly parts: { readonly entries: Entry[]; readonly kept: Dot[] }[] = [{ entries: [], kept: [] }];
  readonly #room: number;
  #left: number;
  #last: Dot | undefined;

  constructor(maxBytes: number) {
    this.#room = maxBytes - countsMax;
    this.#left = this.#room;
  }

  keep(dot: Dot): void {
    this.#partFor(costOf(dot, this.#last)).kept.push(dot);
    this.#left -= costOf(dot, this.#last);
    this.#last = dot;
  }

  bring(entry: Entry): void {
    const cost = encodeEntry(entry).length + repeatMax * entry.path.length;
    this.#partFor(cost).entries.push(entry);
    this.#left -= cost;
  }

  #partFor(cost: number): Cut["parts"][number] {
    const part = this.parts.at(-1)!;
    if (cost <= this.#left || part.entries.length + part.kept.length === 0) return part;
    const next = { entries: [], kept: [] };
    this.parts.push(next);
    this.#left = this.#room;
    this.#last = undefined;
    return next;
  }
}

function costOf(dot: Dot, last: Dot | undefined): number {
  if (!("replica" in dot)) return groupMax + 2 * dot.source.length;
  if (last === undefined || !("replica" in last) || last.replica !== dot.replica)
    return groupMax + 2 * dot.replica.length;
  return Math.ceil(Math.log2(dot.number - last.number + 1) / 7);
}

/** The repair that was cut into these parts, which come in any order and any number of times. */
export function gather(parts: Iterable<Repair>): Repair {
  const entries = new Map<string, Entry>();
  const kept = new Map<string, Dot>();
  for (const part of parts) {
    for (const entry of part.entries) entries.set(dotKey(entry.dot), entry);
    for (const dot of part.kept) kept.set(dotKey(dot), dot);
  }
  return { entries: [...entries.values()], kept: [...kept.values()] };
}

/**
 * 128 bits over the live dots and what they hold, as 32 hexadecimal digits; the order of entries does not count, and the empty
 * table has zeros. It finds differences among members that trust each other; it is no defence against a forger.
 */
export function digest(table: Table): string {
  const sum = new Uint32Array(4);
  for (const entry of table.entries()) {
    const hash = hashOf(encodeEntry(entry));
    for (let lane = 0; lane < 4; lane += 1) sum[lane] = sum[lane]! + hash[lane]!;
  }
  return [...sum].map((lane) => lane.toString(16).padStart(8, "0")).join("");
}

/** Four lanes of multiply and rotate over the bytes, mixed at the end (after MurmurHash3's 128-bit form for 32-bit machines). */
function hashOf(bytes: Uint8Array): Uint32Array {
  let [a, b, c, d] = [0x239b961b, 0xab0e9789, 0x38b34ae5, 0xa1e38b93];
  for (const byte of bytes) {
    a = Math.imul(a ^ byte, 0x9e3779b1);
    b = Math.imul(b ^ byte ^ (a >>> 15), 0x85ebca6b);
    c = Math.imul(c ^ byte ^ (b >>> 13), 0xc2b2ae35);
    d = Math.imul(d ^ byte ^ (c >>> 16), 0x27d4eb2f);
  }
  return Uint32Array.of(mix(a ^ d), mix(b ^ a), mix(c ^ b), mix(d ^ c ^ bytes.length));
}

function mix(lane: number): number {
  const first = Math.imul(lane ^ (lane >>> 16), 0x85ebca6b);
  const second = Math.imul(first ^ (first >>> 13), 0xc2b2ae35);
  return second ^ (second >>> 16);
}
