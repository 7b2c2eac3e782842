import {
  type Applied,
  Belief,
  dropAll,
  type Effect,
  Known,
  mutate,
  type Operation,
  type Table,
} from "../../crdt/index.ts";
import type { ReplicaGroup, Watcher } from "../replication/port.ts";

/** What an entity hears of changes from elsewhere. */
export interface KnowledgeListener {
  /** There is something that the function does not know yet. */
  remoteChange(): void;
  /** The entity that the function knows exists no more. */
  deletedElsewhere(): void;
}

/**
 * What the function of one entity knows of the replicated state: its changes are judged against what it knew, and what it is
 * told starts from what it must believe.
 */
export class Knowledge implements Watcher {
  readonly #group: ReplicaGroup;
  readonly #entityId: string;
  readonly #table: Table;
  readonly #known: Known;
  readonly #belief = new Belief();
  readonly #listener: KnowledgeListener;

  constructor(group: ReplicaGroup, entityId: string, listener: KnowledgeListener) {
    this.#group = group;
    this.#entityId = entityId;
    this.#listener = listener;
    group.watch(entityId, this);
    this.#table = group.table(entityId);
    this.#known = new Known(this.#table);
  }

  /** The group tells of a change that was made elsewhere. */
  changed(applied: Applied): void {
    this.#known.note(applied);
    this.#belief.touch(applied);
    if (this.#table.size === 0 && this.#belief.value !== undefined) this.#listener.deletedElsewhere();
    else this.#listener.remoteChange();
  }

  /** The group tells of members that came or went, which a vote shows. */
  members(): void {
    this.#listener.remoteChange();
  }

  /** The delta of the init; undefined: no state exists. */
  initial(): Operation | undefined {
    const news = this.catchUp();
    return typeof news === "object" ? news : undefined;
  }

  /** What the function must be told now; from here on it knows. */
  catchUp(): Operation | "restart" | undefined {
    const news = this.#belief.catchUp(this.#table, this.#group.seat());
    this.#known.caughtUp();
    // An entity that was deleted while the function held it: a new stream begins without state.
    return news === "delete" ? "restart" : news;
  }

  /** Applies what the function did; the last number the change took. Throws the kernel's `Refusal`. */
  update(operation: Operation, nowMs: number): number {
    const number = this.#change((dots) => mutate(operation, this.#known, dots, nowMs));
    this.#belief.own(operation);
    return number;
  }

  /** Deletes the entity as the function knew it. */
  delete(): number {
    return this.#change(() => dropAll(this.#known));
  }

  close(): void {
    this.#group.unwatch(this.#entityId, this);
  }

  #change(make: (dots: { readonly replica: string; next(): number }) => Effect): number {
    let effect: Effect | undefined;
    const { number, applied } = this.#group.change(this.#entityId, (dots) => (effect = make(dots)), this);
    this.#known.own(effect!);
    this.#belief.touch(applied);
    return number;
  }
}
