import { EntityDiscovery, type EntitySpec } from "../../lib/wire/gen/cloudstate/entity_pb.ts";
import type { Caller } from "./call.ts";

/** What the function says of itself. */
export function discovered(caller: Caller): Promise<EntitySpec> {
  return caller.unary(EntityDiscovery.method.discover, {
    protocolMajorVersion: 0,
    protocolMinorVersion: 2,
    proxyName: "conformance",
    proxyVersion: "1",
    supportedEntityTypes: [
      "cloudstate.action.ActionProtocol",
      "cloudstate.valueentity.ValueEntity",
      "cloudstate.eventsourced.EventSourced",
      "cloudstate.crdt.Crdt",
    ],
  });
}
