import type { Kind, Operation, Value } from "../crdt/index.ts";
import { kinds } from "./crdt-arbitrary.ts";

/** Thrown where a function's operation must be refused. */
export class OracleRefusal extends Error {}

type Content =
  | { readonly type: "nothing" | "element" | "flag" }
  | { readonly type: "amount"; readonly amount: bigint }
  | { readonly type: "write"; readonly stamp: bigint; readonly value: string; readonly spares: Atom | undefined }
  | { readonly type: "vote"; readonly vote: boolean };

/** The least part of an operation: everything seen at or below a path ends, or something is said at a path. */
interface Atom {
  readonly event: number;
  readonly path: readonly string[];
  readonly content: Content | "removal";
  /** The atoms that came before it in its own operation. */
  readonly earlier: ReadonlySet<Atom>;
}

interface Event {
  readonly site: string;
  readonly saw: ReadonlySet<number>;
  readonly atoms: Atom[];
}

/**
 * What must be shown, worked out from the history of operations and from who had seen which of them, with no dots, drops, tables
 * or presences: something said counts until an operation that had seen it removes its path.
 */
export class Oracle {
  readonly #events: Event[] = [];

  /** Adds an operation by a site whose function had seen these events; gives its name. Throws `OracleRefusal`, adding nothing. */
  does(site: string, operation: Operation | "delete", saw: ReadonlySet<number>, nowMs: number): number {
    const event: Event = { site, saw: new Set(saw), atoms: [] };
    const number = this.#events.push(event) - 1;
    try {
      if (operation === "delete") this.#say(number, [], "removal");
      else this.#interpret(number, [], operation, nowMs);
    } catch (refusal) {
      this.#events.pop();
      throw refusal;
    }
    return number;
  }

  saw(event: number): ReadonlySet<number> {
    return this.#events[event]!.saw;
  }

  view(seen: ReadonlySet<number>, self: string, members: ReadonlySet<string>): Value | undefined {
    return this.#viewAt(this.#alive([...seen].flatMap((event) => this.#events[event]!.atoms)), [], self, members);
  }

  #interpret(event: number, place: readonly string[], operation: Operation, nowMs: number): void {
    const now = (): Atom[] => this.#alive(this.#before(event));
    const path = [...place, operation.type];
    const shown = kindAt(now(), place);
    if (shown !== undefined && shown !== operation.type) throw new OracleRefusal();
    switch (operation.type) {
      case "gcounter":
        return this.#say(event, path, { type: "amount", amount: operation.increment });
      case "pncounter":
        return this.#say(event, path, { type: "amount", amount: operation.change });
      case "gset":
        for (const element of operation.added) this.#say(event, [...path, element], { type: "element" });
        return this.#say(event, path, { type: "nothing" });
      case "orset":
        if (operation.cleared) this.#say(event, path, "removal");
        for (const element of operation.removed) this.#say(event, [...path, element], "removal");
        for (const element of operation.added) this.#say(event, [...path, element], { type: "element" });
        return this.#say(event, path, { type: "nothing" });
      case "flag": {
        const on = now().some((atom) => at(atom, path) && typeOf(atom) === "flag");
        if (on && !operation.value) throw new OracleRefusal();
        return this.#say(event, path, { type: operation.value ? "flag" : "nothing" });
      }
      case "vote":
        return this.#say(event, path, { type: "vote", vote: operation.selfVote });
      case "lwwregister": {
        const winner = this.#winner(this.#before(event), path);
        const stamp = stampOf(operation, winner?.stamp ?? 0n, BigInt(nowMs));
        const spares = winner && this.#isLater(winner.atom, winner.stamp, event, stamp) ? winner.atom : undefined;
        return this.#say(event, path, { type: "write", stamp, value: operation.value, spares });
      }
      case "ormap":
        if (operation.cleared) this.#say(event, path, "removal");
        for (const key of operation.removed) this.#say(event, [...path, key], "removal");
        for (const { key, operation: nested } of operation.updated) {
          if (kindAt(now(), [...path, key]) === nested.type) this.#interpret(event, [...path, key], nested, nowMs);
        }
        for (const { key, operation: nested } of operation.added) {
          this.#interpret(event, [...path, key], nested, nowMs);
        }
        return this.#say(event, path, { type: "nothing" });
    }
  }

  #say(event: number, path: readonly string[], content: Atom["content"]): void {
    const { atoms } = this.#events[event]!;
    atoms.push({ event, path, content, earlier: new Set(atoms) });
  }

  /** All that an event has seen, with what it said itself so far. */
  #before(event: number): Atom[] {
    const { saw, atoms } = this.#events[event]!;
    return [...[...saw].flatMap((seen) => this.#events[seen]!.atoms), ...atoms];
  }

  #sees(later: Atom, earlier: Atom): boolean {
    return later.earlier.has(earlier) || this.#events[later.event]!.saw.has(earlier.event);
  }

  #alive(atoms: readonly Atom[]): Atom[] {
    const removals = atoms.filter(({ content }) => content === "removal");
    return atoms.filter(
      (atom) =>
        atom.content !== "removal" && !removals.some((end) => covers(end.path, atom.path) && this.#sees(end, atom)),
    );
  }

  #winner(atoms: readonly Atom[], path: readonly string[]): { atom: Atom; stamp: bigint; value: string } | undefined {
    const writes = atoms.filter((atom) => at(atom, path) && typeOf(atom) === "write");
    let winner: { atom: Atom; stamp: bigint; value: string } | undefined;
    for (const atom of this.#alive(atoms)) {
      if (!writes.includes(atom)) continue;
      const { content } = atom;
      if (content === "removal" || content.type !== "write") continue;
      const overwritten = writes.some(
        (other) =>
          other.content !== "removal" &&
          other.content.type === "write" &&
          other.content.spares !== atom &&
          this.#sees(other, atom),
      );
      if (overwritten || (winner && !this.#later(atom, content.stamp, winner.atom, winner.stamp))) continue;
      winner = { atom, stamp: content.stamp, value: content.value };
    }
    return winner;
  }

  /** Whether a write stands against one that is being made. */
  #isLater(held: Atom, stamp: bigint, event: number, newStamp: bigint): boolean {
    if (stamp !== newStamp) return stamp > newStamp;
    return this.#events[held.event]!.site < this.#events[event]!.site;
  }

  #later(left: Atom, leftStamp: bigint, right: Atom, rightStamp: bigint): boolean {
    if (leftStamp !== rightStamp) return leftStamp > rightStamp;
    const [leftSite, rightSite] = [this.#events[left.event]!.site, this.#events[right.event]!.site];
    if (leftSite !== rightSite) return leftSite < rightSite;
    return this.#sees(left, right);
  }

  #viewAt(
    alive: readonly Atom[],
    place: readonly string[],
    self: string,
    members: ReadonlySet<string>,
  ): Value | undefined {
    const kind = kindAt(alive, place);
    if (kind === undefined) return undefined;
    const path = [...place, kind];
    const here = alive.filter((atom) => at(atom, path));
    const below = new Set(
      alive
        .filter(({ path: held }) => held.length > path.length && covers(path, held))
        .map((atom) => atom.path[path.length]!),
    );
    switch (kind) {
      case "gcounter":
      case "pncounter":
        return { type: kind, value: here.reduce((sum, atom) => sum + amountOf(atom), 0n) };
      case "gset":
      case "orset":
        return { type: kind, elements: below };
      case "flag":
        return { type: kind, value: here.some((atom) => typeOf(atom) === "flag") };
      case "lwwregister":
        return { type: kind, value: this.#winner(alive, path)!.value };
      case "vote": {
        const votes = new Map(here.map((atom) => [this.#events[atom.event]!.site, voteOf(atom)]));
        const votesFor = [...members].filter((member) => votes.get(member)).length;
        return { type: kind, selfVote: votes.get(self) ?? false, votesFor, totalVoters: members.size };
      }
      case "ormap": {
        const entries = new Map<string, Value>();
        for (const key of below) entries.set(key, this.#viewAt(alive, [...path, key], self, members)!);
        return { type: kind, entries };
      }
    }
  }
}

function kindAt(alive: readonly Atom[], place: readonly string[]): Kind | undefined {
  return kinds.find((kind) => alive.some(({ path }) => covers([...place, kind], path)));
}

function covers(prefix: readonly string[], path: readonly string[]): boolean {
  return prefix.every((step, index) => path[index] === step);
}

function at(atom: Atom, path: readonly string[]): boolean {
  return atom.path.length === path.length && covers(path, atom.path);
}

function typeOf({ content }: Atom): string {
  return content === "removal" ? content : content.type;
}

function amountOf({ content }: Atom): bigint {
  return content !== "removal" && content.type === "amount" ? content.amount : 0n;
}

function voteOf({ content }: Atom): boolean {
  return content !== "removal" && content.type === "vote" && content.vote;
}

function stampOf(operation: Extract<Operation, { type: "lwwregister" }>, current: bigint, now: bigint): bigint {
  const larger = (left: bigint, right: bigint): bigint => (left > right ? left : right);
  switch (operation.clock) {
    case "default":
      return larger(current + 1n, now);
    case "reverse":
      return -larger(-(current - 1n), now);
    case "custom":
      return operation.customClock;
    case "custom-auto-increment":
      return larger(operation.customClock, current + 1n);
  }
}
