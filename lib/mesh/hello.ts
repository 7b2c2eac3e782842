import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import type { Hello } from "./mesh.ts";

/** The newest version of the protocol between proxies; the one before is spoken too. */
export const protocolVersion = 1;

/** A node that another one has a link to, and where it can be dialled. */
export interface Neighbour {
  readonly id: string;
  readonly addresses: readonly string[];
}

/** A hello with the nodes that its sender has links to. */
export interface Introduction {
  readonly hello: Hello;
  readonly neighbours: readonly Neighbour[];
}

/** A hello as it travels. */
export function encodeHello(hello: Hello, neighbours: readonly Neighbour[]): Uint8Array {
  const writer = new BinaryWriter();
  writer.uint32(8).uint32(hello.protocolVersion).uint32(18).string(hello.cluster).uint32(26).string(hello.nodeName);
  writer.uint32(34).bytes(Buffer.from(hello.replica, "hex")).uint32(40).uint64(hello.incarnation);
  for (const service of hello.services) writer.uint32(50).string(service);
  for (const group of hello.groups) writer.uint32(58).string(group);
  for (const address of hello.addresses) writer.uint32(66).string(address);
  if (hello.members.length > 0) writer.uint32(74).bytes(hello.members);
  for (const service of hello.unsharedServices) writer.uint32(90).string(service);
  for (const neighbour of neighbours) {
    const inner = new BinaryWriter().uint32(10).string(neighbour.id);
    for (const address of neighbour.addresses) inner.uint32(18).string(address);
    writer.uint32(82).bytes(inner.finish());
  }
  return writer.finish();
}

/** Undefined when it cannot be read or says nothing useful. */
export function decodeHello(bytes: Uint8Array): Introduction | undefined {
  try {
    const introduction = readHello(bytes);
    const { protocolVersion: version, replica } = introduction.hello;
    return version > 0 && /^[0-9a-f]{32}$/.test(replica) ? introduction : undefined;
  } catch {
    return undefined; // Not protobuf: the caller refuses and says so.
  }
}

function readHello(bytes: Uint8Array): Introduction {
  const reader = new BinaryReader(bytes);
  const lists: { [list in "services" | "groups" | "addresses" | "unsharedServices"]: string[] } = {
    services: [],
    groups: [],
    addresses: [],
    unsharedServices: [],
  };
  const neighbours: Neighbour[] = [];
  let [version, incarnation] = [0, 0];
  let [cluster, nodeName, replica] = ["", "", ""];
  let members: Uint8Array = new Uint8Array(0);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) version = reader.uint32();
    else if (field === 2) cluster = reader.string();
    else if (field === 3) nodeName = reader.string();
    else if (field === 4) replica = Buffer.from(reader.bytes()).toString("hex");
    else if (field === 5) incarnation = Number(reader.uint64());
    else if (field === 6) lists.services.push(reader.string());
    else if (field === 7) lists.groups.push(reader.string());
    else if (field === 8) lists.addresses.push(reader.string());
    else if (field === 9) members = reader.bytes().slice();
    else if (field === 10) neighbours.push(readNeighbour(reader.bytes()));
    else if (field === 11) lists.unsharedServices.push(reader.string());
    else reader.skip(wireType, field);
  }
  return {
    hello: { protocolVersion: version, cluster, nodeName, replica, incarnation, ...lists, members },
    neighbours,
  };
}

function readNeighbour(bytes: Uint8Array): Neighbour {
  const reader = new BinaryReader(bytes);
  const addresses: string[] = [];
  let id = "";
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) id = reader.string();
    else if (field === 2) addresses.push(reader.string());
    else reader.skip(wireType, field);
  }
  return { id, addresses };
}
