import type { ReplicaId } from "../../crdt/index.ts";
import type { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Mesh, Peer } from "../mesh/mesh.ts";
import { channels } from "../mesh/mesh.ts";
import type { Message } from "./frames.ts";
import { encodeMessage } from "./frames.ts";

/** What the links of a process need. */
interface LinksParts {
  readonly mesh: Mesh;
  readonly cluster: string;
  readonly gossipBytesMax: number;
  readonly log: Logger;
  readonly telemetry: Telemetry;
}

/** The mesh as replication uses it: peers by replica, messages instead of bytes, one topic for all and one for each group. */
export class Links {
  readonly #parts: LinksParts;
  readonly #linked = new Map<ReplicaId, Peer>();
  readonly #lost = new Set<ReplicaId>();

  constructor(parts: LinksParts) {
    this.#parts = parts;
  }

  /** A peer is linked, or has changed what it says of itself. */
  admitted(peer: Peer): void {
    this.#linked.set(peer.hello.replica, peer);
    this.#lost.delete(peer.hello.replica);
  }

  /** False: the replica has another link already. */
  lost({ id, hello: { replica } }: Peer): boolean {
    if (this.#linked.get(replica)?.id !== id) return false;
    this.#linked.delete(replica);
    this.#lost.add(replica);
    return true;
  }

  /** Nobody asks any more whether the link to this one was lost. */
  forget(replica: ReplicaId): void {
    this.#lost.delete(replica);
  }

  has(replica: ReplicaId): boolean {
    return this.#linked.has(replica);
  }

  /** Whether there was a link, and is none any more. */
  hasLost(replica: ReplicaId): boolean {
    return this.#lost.has(replica);
  }

  replicas(): ReplicaId[] {
    return [...this.#linked.keys()];
  }

  /** Linked peers that say they host the group. */
  peers(group: string): ReplicaId[] {
    return [...this.#linked].filter(([, { hello }]) => hello.groups.includes(group)).map(([replica]) => replica);
  }

  /** False: no link, or no room on it. */
  send(to: ReplicaId, message: Message): boolean {
    const peer = this.#linked.get(to);
    return peer !== undefined && this.#parts.mesh.send(peer.id, channels.replication, encodeMessage(message));
  }

  /** Sends to all by gossip, or to all that host a group; false: it is too long for that. */
  publish(message: Message, group?: string): boolean {
    const bytes = encodeMessage(message);
    if (bytes.length > this.#parts.gossipBytesMax) return false;
    this.#parts.mesh.publish(this.#topic(group), bytes);
    return true;
  }

  subscribe(group?: string): void {
    this.#parts.mesh.subscribe(this.#topic(group));
  }

  unsubscribe(group: string): void {
    this.#parts.mesh.unsubscribe(this.#topic(group));
  }

  /** What another node sent and cannot be read is counted, logged and dropped. */
  read<T>(decode: () => T, from: string): T | undefined {
    try {
      return decode();
    } catch (failure) {
      this.#parts.telemetry.count("massa_replication_malformed_total");
      this.#parts.log.warn({ from, reason: (failure as MassaError).message }, "message of another node cannot be read");
      return undefined;
    }
  }

  #topic(group: string | undefined): string {
    return group === undefined ? `massa/${this.#parts.cluster}` : `massa/${this.#parts.cluster}/${group}`;
  }
}
