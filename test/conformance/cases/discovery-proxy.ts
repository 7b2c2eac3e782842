import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { same } from "../plain.ts";
import { type Case, proxyCase } from "../stage.ts";

const kinds = [
  "cloudstate.action.ActionProtocol",
  "cloudstate.crdt.Crdt",
  "cloudstate.eventsourced.EventSourced",
  "cloudstate.valueentity.ValueEntity",
];

/** P1: what the proxy says of itself, and what it is told. */
export const discoveryCases: readonly Case[] = [
  proxyCase("P1", "discovery: version 0.2, exactly the four kinds", (stage) => {
    const { info, spec } = stage.discovery;
    same([info.protocolMajorVersion, info.protocolMinorVersion], [0, 2], "the proxy's protocol version");
    same([...info.supportedEntityTypes].sort(), kinds, "the kinds that the proxy supports");
    const { file } = fromBinary(FileDescriptorSetSchema, spec.proto);
    const described = new Set(
      file.flatMap(({ package: name, service }) => service.map((declared) => `${name}.${declared.name}`)),
    );
    for (const { serviceName } of spec.entities) same(described.has(serviceName), true, `${serviceName} is described`);
    return Promise.resolve();
  }),
];
