import type { Clock, Operation, ReplicaId, Value } from "../../crdt/index.ts";

/** One operation as it was done: its run of numbers, and what its process had seen before it. */
export interface Deed {
  readonly replica: ReplicaId;
  readonly number: number;
  readonly entity: string;
  readonly operation: Operation | "delete";
  readonly seen: Clock;
}

/** What one operation made in the world of the oracle: it lives until an operation that saw it ends it. */
interface Token {
  readonly deed: Deed;
  readonly place: string;
  readonly amount: bigint;
}

/**
 * All that was ever done, and what must come of it, reckoned from who had seen what alone, without tables, dots or joins. It
 * knows counters, sets, maps of counters, and registers with clocks of their own.
 */
export class History {
  readonly #deeds: Deed[] = [];

  get deeds(): readonly Deed[] {
    return this.#deeds;
  }

  add(deed: Deed): void {
    this.#deeds.push(deed);
  }

  entities(): Set<string> {
    return new Set(this.#deeds.map(({ entity }) => entity));
  }

  /** What an entity looks like to who stands at `clock`, as `plainValue` says it. */
  expected(entity: string, clock: Clock): string {
    const deeds = this.#deeds.filter((deed) => deed.entity === entity && deed.number <= (clock.get(deed.replica) ?? 0));
    const kind = deeds.find(({ operation }) => operation !== "delete")?.operation;
    if (kind === undefined || kind === "delete") return "nothing";
    if (kind.type === "lwwregister") return register(deeds);
    const alive = deeds
      .flatMap(tokensOf)
      .filter((token) => !deeds.some((deed) => deed !== token.deed && saw(deed, token.deed) && ends(deed, token)));
    const sums = new Map<string, bigint>();
    for (const { place, amount } of alive) sums.set(place, (sums.get(place) ?? 0n) + amount);
    return plainSums(kind.type, sums);
  }
}

/** A value as a line of text, in which what does not exist and what is empty are the same. */
export function plainValue(value: Value | undefined): string {
  if (value === undefined) return "nothing";
  switch (value.type) {
    case "gcounter":
    case "pncounter":
      return plainSums(value.type, new Map([["", value.value]]));
    case "gset":
    case "orset":
      return plainSums(value.type, new Map([...value.elements].map((element) => [element, 0n])));
    case "ormap":
      return plainSums(
        value.type,
        new Map(
          [...value.entries].map(([key, held]) => [
            key,
            "value" in held && typeof held.value === "bigint" ? held.value : 0n,
          ]),
        ),
      );
    case "lwwregister":
      return `register ${value.value}`;
    case "flag":
      return `flag ${value.value}`;
    case "vote":
      return `vote ${value.votesFor} of ${value.totalVoters}`;
  }
}

function plainSums(type: Value["type"], sums: ReadonlyMap<string, bigint>): string {
  if (type === "gcounter" || type === "pncounter") {
    const sum = sums.get("") ?? 0n;
    return sum === 0n ? "nothing" : `sum ${sum}`;
  }
  if (sums.size === 0) return "nothing";
  return [...sums]
    .map(([place, amount]) => `${place}=${amount}`)
    .sort()
    .join(" ");
}

function register(deeds: readonly Deed[]): string {
  let best: { readonly stamp: bigint; readonly deed: Deed; readonly value: string } | undefined;
  for (const deed of deeds) {
    if (deed.operation === "delete" || deed.operation.type !== "lwwregister") continue;
    const { customClock: stamp, value } = deed.operation;
    if (best === undefined || stamp > best.stamp || (stamp === best.stamp && wins(deed, best.deed))) {
      best = { stamp, deed, value };
    }
  }
  return best === undefined ? "nothing" : `register ${best.value}`;
}

function wins(left: Deed, right: Deed): boolean {
  return left.replica === right.replica ? left.number > right.number : left.replica < right.replica;
}

function tokensOf(deed: Deed): Token[] {
  const { operation } = deed;
  if (operation === "delete") return [];
  switch (operation.type) {
    case "gcounter":
      return [{ deed, place: "", amount: operation.increment }];
    case "pncounter":
      return [{ deed, place: "", amount: operation.change }];
    case "gset":
    case "orset":
      return operation.added.map((place) => ({ deed, place, amount: 0n }));
    case "ormap":
      return [...operation.updated, ...operation.added].map(({ key, operation: inner }) => ({
        deed,
        place: key,
        amount: inner.type === "pncounter" ? inner.change : 0n,
      }));
    case "lwwregister":
    case "flag":
    case "vote":
      throw new RangeError(`the oracle does not reckon with a ${operation.type} here`);
  }
}

/** Whether the later deed had seen the earlier one. */
function saw(later: Deed, earlier: Deed): boolean {
  return earlier.number <= (later.seen.get(earlier.replica) ?? 0);
}

function ends({ operation }: Deed, token: Token): boolean {
  if (operation === "delete") return true;
  if (operation.type === "orset") return [...operation.removed, ...operation.added].includes(token.place);
  return operation.type === "ormap" && operation.removed.includes(token.place);
}
