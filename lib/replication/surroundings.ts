import type { ReplicaId } from "../../crdt/index.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import type { Links } from "./links.ts";
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
  readonly links: Links;
  /** Whether a member that is heard of hosts the group without being linked. */
  hasUnlinked(group: string): boolean;
  /** How many processes are expected to host the group. */
  expect(group: string): number;
  /** The group's clock or state has changed in a way that others wait for: say so soon. */
  beatSoon(): void;
}
