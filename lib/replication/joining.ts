import type { ReplicaId } from "../../crdt/index.ts";
import type { Logger } from "../core/log.ts";
import type { Cancel, World } from "../core/world.ts";

/** What joining needs to know of its process. */
interface JoiningOptions {
  readonly timeoutMs: number;
  readonly world: World;
  readonly log: Logger;
  /** How many processes that all join at once are enough to begin without anybody's state. */
  neededAlone(group: string): number;
  /** Linked peers that host the group. */
  peers(group: string): readonly ReplicaId[];
  /** Members that host the group and are heard of, this process not counted. */
  alive(group: string): readonly ReplicaId[];
  opened(group: string): void;
}

interface Join {
  readonly startedMs: number;
  readonly asked: Set<ReplicaId>;
  /** Peers that are joining too and had nothing that is lacking here. */
  readonly equals: Set<ReplicaId>;
  turn: number;
}

/**
 * Whether each group has taken the state of one ready peer. It opens without it when all that are heard of, and more than half of
 * those expected, are joining too and have nothing more, or when `mesh.joinTimeout` is over.
 */
export class Joining {
  readonly #options: JoiningOptions;
  readonly #joins = new Map<string, Join>();
  readonly #open = new Set<string>();
  #listeners: (() => void)[] = [];
  #cancelTimeout: Cancel | undefined;
  #hasBegun = false;

  constructor(options: JoiningOptions) {
    this.#options = options;
  }

  /** Why this process is not ready yet. */
  get notReady(): string | undefined {
    if (!this.#hasBegun) return "replication waits for discovery";
    const [name] = this.#joins.keys();
    return name === undefined ? undefined : `waiting for a peer's state of ${JSON.stringify(name)}`;
  }

  onReady(ready: () => void): void {
    if (this.notReady === undefined) ready();
    else this.#listeners.push(ready);
  }

  /** These groups are hosted now; those that are not open yet join. */
  begin(groups: readonly string[]): void {
    const { world, timeoutMs } = this.#options;
    this.#hasBegun = true;
    for (const name of this.#joins.keys()) if (!groups.includes(name)) this.#joins.delete(name);
    const fresh = groups.filter((name) => !this.#open.has(name) && !this.#joins.has(name));
    for (const name of fresh)
      this.#joins.set(name, { startedMs: world.clock.monotonic(), asked: new Set(), equals: new Set(), turn: 0 });
    this.check();
    if (this.#joins.size > 0) this.#cancelTimeout ??= world.clock.after(timeoutMs, () => this.#timeout());
    this.#tellIfReady();
  }

  /** Whom to ask for the group's state now; those who were asked before only if `isRepeat`. */
  next(group: string, isRepeat: boolean): ReplicaId | undefined {
    const join = this.#joins.get(group);
    if (join === undefined) return undefined;
    const peers = this.#options.peers(group);
    const fresh = peers.find((replica) => !join.asked.has(replica));
    if (fresh === undefined && !isRepeat) return undefined;
    const peer = fresh ?? peers[join.turn++ % peers.length];
    if (peer !== undefined) join.asked.add(peer);
    return peer;
  }

  /** A peer has brought all that it had. */
  level(group: string, peer: ReplicaId, isReady: boolean): void {
    const join = this.#joins.get(group);
    if (join === undefined) return;
    if (isReady) this.#openGroup(group);
    else join.equals.add(peer);
    this.check();
  }

  lost(peer: ReplicaId): void {
    for (const { equals, asked } of this.#joins.values()) {
      equals.delete(peer);
      asked.delete(peer);
    }
  }

  /** Opens what need not wait for anybody. */
  check(): void {
    for (const [name, { equals }] of this.#joins) {
      const isEnough = equals.size + 1 >= this.#options.neededAlone(name);
      if (isEnough && this.#options.alive(name).every((replica) => equals.has(replica))) this.#openGroup(name);
    }
  }

  stop(): void {
    this.#cancelTimeout?.();
    this.#listeners = [];
  }

  #timeout(): void {
    const { world, timeoutMs, log } = this.#options;
    this.#cancelTimeout = undefined;
    const nowMs = world.clock.monotonic();
    for (const [group, { startedMs }] of this.#joins) {
      const leftMs = startedMs + timeoutMs - nowMs;
      if (leftMs > 0) {
        this.#cancelTimeout ??= world.clock.after(leftMs, () => this.#timeout());
        continue;
      }
      log.warn({ group, timeoutMs }, "no peer gave its state in time (mesh.joinTimeout): opened alone");
      this.#openGroup(group);
    }
  }

  #openGroup(group: string): void {
    this.#joins.delete(group);
    this.#open.add(group);
    this.#options.opened(group);
    this.#tellIfReady();
  }

  #tellIfReady(): void {
    if (this.notReady !== undefined) return;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const ready of listeners) ready();
  }
}
