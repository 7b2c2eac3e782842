import type { Clock, Operation, ReplicaId, Value } from "../../crdt/index.ts";
import { dropAll, mutate, view } from "../../crdt/index.ts";
import { silentLogger } from "../core/log.ts";
import { silentTelemetry } from "../core/telemetry.ts";
import type { Random } from "../core/world.ts";
import type { Mesh, MeshListener } from "../mesh/mesh.ts";
import { channels } from "../mesh/mesh.ts";
import type { Message } from "../replication/frames.ts";
import { decodeMessage, encodeMessage } from "../replication/frames.ts";
import type { ReplicationOptions } from "../replication/options.ts";
import type { Consistency, ReplicaGroup } from "../replication/port.ts";
import type { OwnedReplication } from "../replication/replication.ts";
import { createReplication } from "../replication/replication.ts";
import type { Rules } from "../replication/rules.ts";
import type { Deed } from "./history.ts";
import { plainValue } from "./history.ts";
import type { VirtualTime } from "./virtual-time.ts";
import { ProcessClock } from "./virtual-time.ts";

/** The one group that simulated processes host. */
export const groupName = "entities";

/** What became of a write that waited for others. */
export interface Written {
  readonly replica: ReplicaId;
  readonly number: number;
  /** Undefined while it waits. */
  isConfirmed: boolean | undefined;
}

/** What a process needs of the world around it. */
interface Around {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly intercept: ((to: SimulatedNode, from: ReplicaId, message: Message) => boolean) | undefined;
  clockOf(node: SimulatedNode): Clock;
  did(deed: Deed): void;
  noted(written: Written): void;
  ended(node: SimulatedNode): void;
  refreshCuts(): void;
  traced(where: string, kind: string, from: string, bytes: Uint8Array): void;
}

interface NodeParts {
  readonly world: Around;
  readonly name: string;
  readonly replica: ReplicaId;
  readonly mesh: Mesh;
  readonly options: ReplicationOptions;
  readonly rules: Rules;
  readonly skewMs: number;
}

/** One process of the simulated world: the real replication over the simulated mesh, and a user who does operations. */
export class SimulatedNode {
  readonly name: string;
  readonly replica: ReplicaId;
  readonly mesh: Mesh;
  readonly clock: ProcessClock;
  readonly replication: OwnedReplication;
  /** The view of each watched entity after each change from elsewhere, for who wants to see what users saw. */
  readonly seen = new Map<string, string[]>();
  readonly #world: Around;
  #state: "running" | "stopped" | "over" = "running";

  constructor({ world, name, replica, mesh, options, rules, skewMs }: NodeParts) {
    this.#world = world;
    this.name = name;
    this.replica = replica;
    this.mesh = mesh;
    this.clock = new ProcessClock(world.time, skewMs);
    this.replication = createReplication({
      mesh,
      world: { clock: this.clock, random: world.random },
      log: silentLogger,
      telemetry: silentTelemetry,
      options,
      rules,
    });
  }

  get isRunning(): boolean {
    return this.#state === "running";
  }

  get isOver(): boolean {
    return this.#state === "over";
  }

  get isReady(): boolean {
    return this.replication.notReady === undefined;
  }

  get group(): ReplicaGroup {
    return this.replication.group(groupName);
  }

  /** Called by the world once the process takes part. */
  begin(): void {
    this.mesh.start(this.#listener()).catch((failure: unknown) => {
      throw failure;
    });
    this.replication.start();
  }

  /** Does an operation on what the entity looks like here. */
  does(entity: string, operation: Operation | "delete"): number {
    const { group } = this;
    const seen = this.#world.clockOf(this);
    const table = group.table(entity);
    const { number } = group.change(entity, (dots) =>
      operation === "delete" ? dropAll(table) : mutate(operation, table, dots, this.clock.now()),
    );
    this.#world.did({ replica: this.replica, number, entity, operation, seen });
    return number;
  }

  increment(entity: string, change: number): number {
    return this.does(entity, { type: "pncounter", change: BigInt(change) });
  }

  /** An increment that waits until others have it. */
  write(entity: string, change: number, consistency: Consistency): Written {
    const number = this.increment(entity, change);
    const written: Written = { replica: this.replica, number, isConfirmed: undefined };
    this.group.confirm(number, consistency, (isConfirmed) => {
      written.isConfirmed = isConfirmed;
      this.#world.noted(written);
    });
    return written;
  }

  value(entity: string): Value | undefined {
    return view(this.group.table(entity), this.group.seat());
  }

  plain(entity: string): string {
    return plainValue(this.value(entity));
  }

  /** Remembers what a user who looks after every change sees. */
  watch(entity: string): void {
    const seen: string[] = [];
    this.seen.set(entity, seen);
    this.group.watch(entity, {
      changed: () => void seen.push(this.plain(entity)),
      members: () => undefined,
    });
  }

  /** Ends without a word, and with it all that it held. */
  crash(): void {
    this.#state = "over";
    this.clock.end();
    this.#world.ended(this);
  }

  /** Stands still, its links with it, until `goOn`. */
  stop(): void {
    this.#state = "stopped";
    this.clock.stop();
    this.#world.refreshCuts();
  }

  goOn(): void {
    this.#state = "running";
    this.#world.refreshCuts();
    this.clock.goOn();
  }

  /** Leaves in good order, as long as that takes. */
  leave(): void {
    this.replication.leave().catch((failure: unknown) => {
      throw failure;
    });
    const cancel = this.clock.every(10, () => {
      if (!this.replication.hasLeft) return;
      cancel();
      this.clock.after(100, () => this.crash());
    });
  }

  /** Hands over a message as if it had just come from a linked peer. */
  deliver(from: ReplicaId, message: Message): void {
    const peer = this.mesh.peers().find(({ hello }) => hello.replica === from);
    if (peer !== undefined) this.replication.listener.frame(peer, encodeMessage(message));
  }

  #listener(): MeshListener {
    const { listener } = this.replication;
    const trace = (kind: string, from: string, bytes: Uint8Array = new Uint8Array(0)) =>
      this.#world.traced(this.name, kind, from, bytes);
    return {
      admitted: (peer) => {
        trace("admitted", peer.id);
        listener.admitted(peer);
      },
      changed: (peer) => {
        trace("changed", peer.id);
        listener.changed(peer);
      },
      lost: (peer, reason) => {
        trace("lost", peer.id);
        listener.lost(peer, reason);
      },
      frame: (peer, channel, body) => {
        trace("frame", peer.id, body);
        if (channel !== channels.replication) return;
        const { intercept } = this.#world;
        const message = intercept === undefined ? undefined : decodeMessage(body);
        const isLost =
          intercept !== undefined && message !== undefined && !intercept(this, peer.hello.replica, message);
        if (!isLost) listener.frame(peer, body);
      },
      gossip: (topic, from, body) => {
        trace("gossip", from, body);
        listener.gossip(topic, from, body);
      },
      request: (_peer, request) => {
        request.end();
        const nothing = () => undefined;
        return { message: nothing, halfClose: nothing, cancel: nothing, drain: nothing };
      },
    };
  }
}
