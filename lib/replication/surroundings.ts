import type { ReplicaId } from "../../crdt/index.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import type { Message } from "./frames.ts";
import type { Members } from "./members.ts";
import type { ReplicationOptions } from "./options.ts";
import type { Rules } from "./rules.ts";

/** What a group needs of the process it is in. */
export interface Surroundings {
  readonly replica: ReplicaId;
  readonly members: Members;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly options: ReplicationOptions;
  readonly rules: Rules;
  /** Linked peers that host the group. */
  peers(group: string): readonly ReplicaId[];
  /** Whether a member hosts the group without being linked. */
  hasUnlinked(group: string): boolean;
  /** False: no link, or no room on it. */
  send(to: ReplicaId, message: Message): boolean;
  /** Sends to everybody by gossip. */
  publish(group: string, message: Message): void;
  /** How many processes are expected to host the group. */
  expect(group: string): number;
  /** The group's clock or state has changed in a way that others wait for: say so soon. */
  beatSoon(): void;
}
