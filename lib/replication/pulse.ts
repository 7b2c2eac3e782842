import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, World } from "../core/world.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Links } from "./links.ts";

/** What heartbeats are made with. */
interface PulseParts {
  readonly periodMs: number;
  readonly links: Links;
  readonly world: World;
  readonly telemetry: Telemetry;
  /** All of a heartbeat but its number. */
  compose(): Omit<Heartbeat, "number">;
  /** Called before each regular heartbeat. */
  tick(): void;
}

const soonMs = 5;

/** The heartbeats of a process, each with the next number. */
export class Pulse {
  readonly #parts: PulseParts;
  #number = 0;
  #cancelRegular: Cancel | undefined;
  #cancelSoon: Cancel | undefined;

  constructor(parts: PulseParts) {
    this.#parts = parts;
  }

  start(): void {
    const { world, periodMs } = this.#parts;
    this.#cancelRegular = world.clock.every(periodMs, () => {
      this.#parts.tick();
      this.beat();
    });
    this.beat();
  }

  stop(): void {
    this.#cancelRegular?.();
    this.#cancelRegular = undefined;
    this.#cancelSoon?.();
  }

  /** The heartbeat of now, for a link. */
  next(): Heartbeat {
    this.#number += 1;
    return { ...this.#parts.compose(), number: this.#number };
  }

  /** Publishes a heartbeat now, if the process has started and not stopped. */
  beat(): void {
    if (this.#cancelRegular !== undefined) this.#publish(this.next());
  }

  /** Publishes one in a moment: others wait for what it says. */
  soon(): void {
    this.#cancelSoon ??= this.#parts.world.clock.after(soonMs, () => {
      this.#cancelSoon = undefined;
      this.beat();
    });
  }

  /** A heartbeat too long for gossip goes in two, each with half of the groups. */
  #publish(beat: Heartbeat): void {
    const { groups } = beat;
    if (this.#parts.links.publish({ type: "heartbeat", heartbeat: beat })) return;
    if (groups.length < 2) {
      this.#parts.telemetry.count("massa_limit_reached_total", { limit: "mesh.gossipBytes" });
      return;
    }
    const half = groups.length >> 1;
    this.#publish({ ...beat, groups: groups.slice(0, half) });
    this.#number += 1;
    this.#publish({ ...beat, number: this.#number, groups: groups.slice(half) });
  }
}
