/** What a node's heartbeats say of it. A hint for routing and retries; what counts is the members' table. */
export type Health = "alive" | "suspect" | "silent";

/** Times of a failure detector. */
interface FailureDetectorOptions {
  /** No heartbeat for this long: suspect. */
  readonly suspectAfterMs: number;
  /** No heartbeat for this long: silent (`mesh.silentAfter`). */
  readonly silentAfterMs: number;
}

/** A change that time or a heartbeat has brought. */
interface HealthChange {
  readonly node: string;
  readonly health: Health;
}

/** Judges nodes by when their heartbeats came. Without clock: every call is told the time, in milliseconds that never go back. */
export class FailureDetector {
  readonly #options: FailureDetectorOptions;
  readonly #nodes = new Map<string, { heardAtMs: number; health: Health }>();

  constructor(options: FailureDetectorOptions) {
    this.#options = options;
  }

  /** A sign of life of `node`; the change, if it was not alive before. */
  heard(node: string, nowMs: number): HealthChange | undefined {
    const known = this.#nodes.get(node);
    if (!known) this.#nodes.set(node, { heardAtMs: nowMs, health: "alive" });
    else {
      known.heardAtMs = Math.max(known.heardAtMs, nowMs);
      if (known.health === "alive") return undefined;
      known.health = "alive";
    }
    return { node, health: "alive" };
  }

  /** Judges everybody anew; what has changed. Call it a few times within `suspectAfterMs`. */
  judge(nowMs: number): readonly HealthChange[] {
    const changes: HealthChange[] = [];
    for (const [node, known] of this.#nodes) {
      const health = this.#judged(nowMs - known.heardAtMs);
      if (health === known.health) continue;
      known.health = health;
      changes.push({ node, health });
    }
    return changes;
  }

  /** As of the last call; who was never heard is silent. */
  health(node: string): Health {
    return this.#nodes.get(node)?.health ?? "silent";
  }

  /** Milliseconds since the last heartbeat; Infinity for who was never heard. */
  silenceMs(node: string, nowMs: number): number {
    const known = this.#nodes.get(node);
    return known ? Math.max(0, nowMs - known.heardAtMs) : Infinity;
  }

  /** Nothing is expected of `node` any more. */
  forget(node: string): void {
    this.#nodes.delete(node);
  }

  #judged(silenceMs: number): Health {
    if (silenceMs >= this.#options.silentAfterMs) return "silent";
    return silenceMs >= this.#options.suspectAfterMs ? "suspect" : "alive";
  }
}
