import { createHash } from "node:crypto";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Clock, ReplicaId } from "../../crdt/index.ts";

/** What a process says of itself twice a second. */
export interface Heartbeat {
  readonly replica: ReplicaId;
  readonly incarnation: number;
  /** Rises with every heartbeat of a process; an older one that comes late is of no use. */
  readonly number: number;
  /** It wants to go, and stays until others have all that it has. */
  readonly isLeaving: boolean;
  /** Its last word. */
  readonly isGone: boolean;
  /** Whether it is open: who joins takes its state. */
  readonly isReady: boolean;
  readonly membersHash: string;
  /** Members it has not heard of for `mesh.forgetAfter`. */
  readonly silent: readonly ReplicaId[];
  /** Members it knows to be leaving: an answer to their wish. */
  readonly leavers: readonly ReplicaId[];
  readonly groups: readonly GroupClock[];
}

/** A group's clock in short: the entries of members that are in, and one hash over the others. */
export interface GroupClock {
  readonly group: string;
  readonly entries: Clock;
  readonly restHash: string;
}

/** How one clock stands to what a heartbeat says of another one. */
export interface Standing {
  /** The rest differs: the other may have something that is lacking here. */
  readonly differs: boolean;
  /** The other has everything that is here, for certain. */
  readonly isCovered: boolean;
}

/** A group's clock as a heartbeat says it; `members` are the replicas to be named. */
export function shortClock(group: string, clock: Clock, members: readonly ReplicaId[]): GroupClock {
  const named = new Set(members);
  const entries = new Map(members.map((replica) => [replica, clock.get(replica) ?? 0]));
  return { group, entries, restHash: hashOfRest(clock, named) };
}

/** Compares a clock with another's in short. */
export function compare(clock: Clock, other: GroupClock): Standing {
  const differs = hashOfRest(clock, other.entries) !== other.restHash;
  let isCovered = !differs;
  for (const [replica, number] of other.entries) if (number < (clock.get(replica) ?? 0)) isCovered = false;
  return { differs, isCovered };
}

/** 64 bits over the entries of a clock that are not named elsewhere. */
function hashOfRest(clock: Clock, named: { has(replica: ReplicaId): boolean }): string {
  const rest = [...clock].filter(([replica, number]) => number > 0 && !named.has(replica));
  if (rest.length === 0) return "";
  const lines = rest.map(([replica, number]) => `${replica}:${number}`).sort();
  return createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 16);
}

/** Writes the fields of a heartbeat (protos/massa/replication.proto). */
export function writeHeartbeat(writer: BinaryWriter, beat: Heartbeat): void {
  const replicas = [...new Set(beat.groups.flatMap(({ entries }) => [...entries.keys()]))];
  writer.tag(1, WireType.LengthDelimited).bytes(Buffer.from(beat.replica, "hex"));
  writer.tag(2, WireType.Varint).uint64(beat.incarnation).tag(3, WireType.Varint).uint64(beat.number);
  if (beat.isLeaving) writer.tag(4, WireType.Varint).bool(true);
  if (beat.isGone) writer.tag(5, WireType.Varint).bool(true);
  for (const replica of replicas) writer.tag(6, WireType.LengthDelimited).bytes(Buffer.from(replica, "hex"));
  for (const group of beat.groups) writer.tag(7, WireType.LengthDelimited).bytes(encodeGroupClock(group, replicas));
  writer.tag(8, WireType.LengthDelimited).bytes(Buffer.from(beat.membersHash, "hex"));
  for (const replica of beat.silent) writer.tag(9, WireType.LengthDelimited).bytes(Buffer.from(replica, "hex"));
  for (const replica of beat.leavers) writer.tag(10, WireType.LengthDelimited).bytes(Buffer.from(replica, "hex"));
  if (beat.isReady) writer.tag(11, WireType.Varint).bool(true);
}

function encodeGroupClock({ group, entries, restHash }: GroupClock, replicas: readonly ReplicaId[]): Uint8Array {
  const numbers = new BinaryWriter();
  for (const replica of replicas) numbers.uint64(entries.get(replica) ?? 0);
  return new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .string(group)
    .tag(2, WireType.LengthDelimited)
    .bytes(numbers.finish())
    .tag(3, WireType.LengthDelimited)
    .bytes(Buffer.from(restHash, "hex"))
    .finish();
}

/** Reads the fields of a heartbeat; throws on what cannot be one. */
export function readHeartbeat(reader: BinaryReader): Heartbeat {
  const lists = { silent: [] as ReplicaId[], leavers: [] as ReplicaId[] };
  const replicas: ReplicaId[] = [];
  const clocks: Uint8Array[] = [];
  let [replica, membersHash] = ["", ""];
  let [incarnation, number] = [0, 0];
  let [isLeaving, isGone, isReady] = [false, false, false];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) replica = hex(reader.bytes(), 16);
    else if (field === 2) incarnation = Number(reader.uint64());
    else if (field === 3) number = Number(reader.uint64());
    else if (field === 4) isLeaving = reader.bool();
    else if (field === 5) isGone = reader.bool();
    else if (field === 6) replicas.push(hex(reader.bytes(), 16));
    else if (field === 7) clocks.push(reader.bytes());
    else if (field === 8) membersHash = hex(reader.bytes(), 16);
    else if (field === 9) lists.silent.push(hex(reader.bytes(), 16));
    else if (field === 10) lists.leavers.push(hex(reader.bytes(), 16));
    else if (field === 11) isReady = reader.bool();
    else reader.skip(wireType, field);
  }
  if (replica === "") throw new RangeError("a heartbeat of nobody");
  const groups = clocks.map((bytes) => readGroupClock(bytes, replicas));
  return { replica, incarnation, number, isLeaving, isGone, isReady, membersHash, ...lists, groups };
}

function readGroupClock(bytes: Uint8Array, replicas: readonly ReplicaId[]): GroupClock {
  const reader = new BinaryReader(bytes);
  const entries = new Map<ReplicaId, number>();
  let [group, restHash] = ["", ""];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) group = reader.string();
    else if (field === 2) {
      const numbers = new BinaryReader(reader.bytes());
      for (const replica of replicas) {
        if (numbers.pos >= numbers.len) throw new RangeError("a clock with fewer numbers than replicas");
        entries.set(replica, Number(numbers.uint64()));
      }
    } else if (field === 3) restHash = Buffer.from(reader.bytes()).toString("hex");
    else reader.skip(wireType, field);
  }
  return { group, entries, restHash };
}

function hex(bytes: Uint8Array, length: number): string {
  if (bytes.length !== length) throw new RangeError(`${bytes.length} bytes where ${length} belong`);
  return Buffer.from(bytes).toString("hex");
}
