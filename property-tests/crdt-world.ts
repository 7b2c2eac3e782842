import assert from "node:assert/strict";
import type {
  Correction,
  Dots,
  Effect,
  NumberedChange,
  Operation,
  Reading,
  Repair,
  Seat,
  Seen,
  Value,
} from "../crdt/index.ts";
import {
  Belief,
  dotKey,
  dropAll,
  foldSent,
  foldUnsent,
  initial,
  Known,
  mutate,
  seenBy,
  since,
  Table,
  view,
} from "../crdt/index.ts";

/** What one replica does at the places where hazards have a naive rule; a mutant overrides one of them. */
export interface Rules {
  /** What a function's operation is judged against. */
  base(site: Site): Reading;
  mutate(operation: Operation, known: Reading, dots: Dots, nowMs: number): Effect;
  /** After every change of the table. */
  settle(site: Site): void;
  /** After every operation here. */
  rewrite(site: Site): void;
  correct(site: Site): Correction;
  since(table: Table, asker: Seen): Repair;
  /** What the other side of a repair is taken to have seen. */
  otherSeen(other: Site): Seen;
  flushBeforeRepair: boolean;
}

export const rightRules: Rules = {
  base: (site) => site.known,
  mutate,
  settle: () => undefined,
  rewrite: () => undefined,
  correct: (site) => site.belief.catchUp(site.table, site.seat),
  since,
  otherSeen: (other) => other.seen,
  flushBeforeRepair: true,
};

/** One replica with a user function that keeps its own copy, told and telling only what the wire can say. */
export class Site {
  readonly id: string;
  readonly table = new Table();
  readonly clock = new Map<string, number>();
  /** Drops of dots not yet seen. */
  readonly ahead = new Set<string>();
  readonly known = new Known(this.table);
  readonly sent: NumberedChange[] = [];
  readonly corrections: Correction[] = [];
  members: ReadonlySet<string>;
  belief = new Belief();
  /** The function's own copy. */
  copy: Value | undefined;
  nowMs = 0;
  #unsent: NumberedChange[] = [];
  #last = 0;
  #out = false;
  readonly #rules: Rules;

  constructor(
    id: string,
    rules: Partial<Rules> = {},
    members: ReadonlySet<string> = new Set(["A", "B", "C", "D", "E"]),
  ) {
    this.id = id;
    this.#rules = { ...rightRules, ...rules };
    this.members = members;
  }

  get seat(): Seat {
    return { self: this.id, members: this.members };
  }

  get seen(): Seen {
    return seenBy(this.clock, this.ahead);
  }

  get value(): Value | undefined {
    return view(this.table, this.seat);
  }

  /** A command goes to the function; from here to `answered` changes from elsewhere are withheld. */
  command(): void {
    this.catchUp();
    this.#out = true;
  }

  answered(): void {
    this.#out = false;
    this.catchUp();
  }

  /** The function does something; outside of a command it is a command of its own. */
  does(operation: Operation): void {
    if (!this.#out) this.catchUp();
    const effect = this.#rules.mutate(operation, this.#rules.base(this), this.#dots(), this.nowMs);
    this.copy = copyTold(this.copy, operation, "function");
    this.#change(effect);
    this.belief.own(operation);
    this.#rules.rewrite(this);
    if (!this.#out) this.catchUp();
  }

  deletes(): void {
    if (!this.#out) this.catchUp();
    this.#change(dropAll(this.#rules.base(this)));
    this.#restart();
  }

  folds(limit: number): void {
    this.flush();
    const effect = foldSent(this.table, this.id, limit, this.#dots());
    if (effect !== undefined) this.#change(effect);
  }

  flush(): void {
    const { changes, folds } = foldUnsent(this.#unsent);
    for (const fold of folds) this.table.fold(fold);
    this.sent.push(...changes);
    this.#unsent = [];
  }

  /** Takes another's next changes in sequence, all of them unless told how many. */
  takes(other: Site, count = Infinity): void {
    other.flush();
    const from = this.clock.get(other.id) ?? 0;
    for (const change of other.sent.filter((held) => held.from > from).slice(0, count)) this.receives(other.id, change);
  }

  receives(origin: string, change: NumberedChange): void {
    assert.equal(change.from, (this.clock.get(origin) ?? 0) + 1, "in sequence");
    for (const dot of change.drops) if (!seenBy(this.clock).covers(dot)) this.ahead.add(dotKey(dot));
    const adds = change.adds.filter(({ dot }) => !this.ahead.delete(dotKey(dot)));
    this.clock.set(origin, change.to);
    this.#elsewhere(this.table.apply({ drops: change.drops, adds }));
  }

  /** Takes all that another has, as one repair. */
  repairsFrom(other: Site): void {
    if (this.#rules.flushBeforeRepair) other.flush();
    this.flush();
    const repair = this.#rules.since(other.table, this.seen);
    this.#elsewhere(this.table.joinInto(this.seen, repair, this.#rules.otherSeen(other)));
    for (const [replica, number] of other.clock) {
      if (number > (this.clock.get(replica) ?? 0)) this.clock.set(replica, number);
    }
    for (const key of other.ahead) this.ahead.add(key);
    for (const key of this.ahead) {
      const [replica, number] = key.split(":");
      if (Number(number) <= (this.clock.get(replica!) ?? 0)) this.ahead.delete(key);
    }
  }

  catchUp(): void {
    const correction = this.#rules.correct(this);
    this.corrections.push(correction);
    this.known.caughtUp();
    if (correction === "restart" || correction === "delete") return this.#restart();
    if (correction !== undefined) this.copy = copyTold(this.copy, correction, "proxy");
  }

  #elsewhere(applied: Parameters<Known["note"]>[0]): void {
    this.known.note(applied);
    this.belief.touch(applied);
    this.#rules.settle(this);
    if (!this.#out) this.catchUp();
  }

  #change(effect: Effect): void {
    const from = (this.clock.get(this.id) ?? 0) + 1;
    this.#last = Math.max(this.#last, from);
    this.clock.set(this.id, this.#last);
    this.#unsent.push({ entity: "e", from, to: this.#last, ...effect });
    this.belief.touch(this.table.apply(effect));
    this.known.own(effect);
    this.#rules.settle(this);
  }

  #restart(): void {
    this.belief = new Belief();
    this.copy = undefined;
    this.#out = false;
    this.known.caughtUp();
    const now = this.belief.catchUp(this.table, this.seat);
    assert.ok(now === undefined || typeof now === "object", "a new belief is told the whole");
    if (now !== undefined) this.copy = copyTold(undefined, now, "proxy");
  }

  #dots(): Dots {
    return { replica: this.id, next: () => (this.#last += 1) };
  }
}

/**
 * A user function's copy as an SDK keeps it, written apart from the kernel and strict: it throws where the wire gave it what its
 * type cannot do, such as a smaller counter, an update of an absent key, or an add of one that is there.
 */
export function copyTold(copy: Value | undefined, operation: Operation, by: "function" | "proxy"): Value {
  const strict = by === "proxy";
  if (strict && copy !== undefined) assert.equal(operation.type, copy.type, "told of another type");
  switch (operation.type) {
    case "gcounter":
      assert.ok(operation.increment >= 0n, "a growing counter was told to shrink");
      return { type: "gcounter", value: (copy?.type === "gcounter" ? copy.value : 0n) + operation.increment };
    case "pncounter":
      return { type: "pncounter", value: (copy?.type === "pncounter" ? copy.value : 0n) + operation.change };
    case "gset":
      return { type: "gset", elements: new Set([...(copy?.type === "gset" ? copy.elements : []), ...operation.added]) };
    case "orset": {
      const elements = new Set(copy?.type === "orset" && !operation.cleared ? copy.elements : []);
      for (const element of operation.removed)
        assert.ok(elements.delete(element) || !strict, "removed what is not there");
      for (const element of operation.added) elements.add(element);
      return { type: "orset", elements };
    }
    case "lwwregister":
      return { type: "lwwregister", value: operation.value };
    case "flag":
      return { type: "flag", value: operation.value || (copy?.type === "flag" && copy.value) };
    case "vote": {
      if (strict) return { ...operation };
      const held = copy?.type === "vote" ? copy : { selfVote: false, votesFor: 0, totalVoters: 1 };
      const votesFor = held.votesFor + (operation.selfVote ? 1 : 0) - (held.selfVote ? 1 : 0);
      return { type: "vote", selfVote: operation.selfVote, votesFor, totalVoters: held.totalVoters };
    }
    case "ormap": {
      const entries = new Map(copy?.type === "ormap" && !operation.cleared ? copy.entries : []);
      for (const key of operation.removed) assert.ok(entries.delete(key) || !strict, "removed a key that is not there");
      for (const { key, operation: nested } of operation.updated) {
        const held = entries.get(key);
        assert.ok(held !== undefined || !strict, "told to update a key that is not there");
        if (held?.type === nested.type) entries.set(key, copyTold(held, nested, by));
      }
      for (const { key, operation: nested } of operation.added) {
        assert.ok(!entries.has(key) || !strict, "told to add a key that is there");
        entries.set(key, copyTold(entries.get(key), nested, by));
      }
      return { type: "ormap", entries };
    }
  }
}

/** Everything that everybody has goes to everybody, in sequence. */
export function settleAll(sites: readonly Site[]): void {
  for (const site of sites) for (const other of sites) if (site !== other) site.takes(other);
}

/** Live dots with what they hold, in a fixed order, for comparison. */
export function entriesOf(table: Pick<Table, "entries">): unknown[] {
  return [...table.entries()].sort((left, right) => (dotKey(left.dot) < dotKey(right.dot) ? -1 : 1));
}

/** A value made of nothing but its own initial delta. */
export function rebuilt(value: Value): Value {
  return copyTold(undefined, initial(value), "proxy");
}
