import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Clock, Dot, ReplicaId } from "../../crdt/index.ts";
import { decodeClock, decodeRepair, encodeClock, encodeRepair, MalformedBytes } from "../../crdt/index.ts";
import { MassaError } from "../core/errors.ts";
import type { Batch } from "./batch.ts";
import { decodeBatch } from "./batch.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { readHeartbeat, writeHeartbeat } from "./heartbeat.ts";
import type { Member } from "./members.ts";
import type { Part } from "./reading.ts";

/** What replication sends (protos/massa/replication.proto). */
export type Message =
  | { readonly type: "batch"; readonly group: string; readonly batch: Batch; readonly ask: number }
  | { readonly type: "ack"; readonly group: string; readonly number: number }
  | Ask
  | Answered
  | Slice
  | More
  | { readonly type: "members"; readonly members: readonly Member[]; readonly answer: boolean }
  | { readonly type: "heartbeat"; readonly heartbeat: Heartbeat };

export interface Ask {
  readonly type: "ask";
  readonly group: string;
  readonly id: number;
  readonly clock: Clock;
  /** Batches are of no use. */
  readonly wantsReading: boolean;
}

export interface Answered {
  readonly type: "answered";
  readonly group: string;
  readonly id: number;
  readonly isReady: boolean;
  readonly lacked: Clock;
  readonly isBusy: boolean;
}

export interface Slice {
  readonly type: "slice";
  readonly group: string;
  readonly id: number;
  readonly reading: number;
  readonly index: number;
  readonly isLast: boolean;
  readonly isReady: boolean;
  /** In the first slice. */
  readonly clock: Clock;
  /** In the first slice. */
  readonly kept: ReadonlyMap<string, readonly Dot[]>;
  readonly parts: readonly Part[];
}

export interface More {
  readonly type: "more";
  readonly group: string;
  readonly id: number;
  readonly reading: number;
  readonly taken: number;
}

const order = ["batch", "ack", "ask", "answered", "slice", "more", "members", "heartbeat"] as const;

/** A message as it travels. */
export function encodeMessage(message: Message): Uint8Array {
  const body = new BinaryWriter();
  write(body, message);
  return new BinaryWriter()
    .tag(order.indexOf(message.type) + 1, WireType.LengthDelimited)
    .bytes(body.finish())
    .finish();
}

/** Undefined for a kind of message that is newer than this process. Throws `protocol` for bytes that say nothing. */
export function decodeMessage(bytes: Uint8Array): Message | undefined {
  try {
    const outer = new BinaryReader(bytes);
    while (outer.pos < outer.len) {
      const [field, wireType] = outer.tag();
      const type = order[field - 1];
      if (type !== undefined) return read(type, new BinaryReader(outer.bytes()));
      outer.skip(wireType, field);
    }
    return undefined;
  } catch (failure) {
    const reason = failure instanceof MalformedBytes || failure instanceof Error ? failure.message : String(failure);
    throw new MassaError("protocol", `malformed replication message: ${reason}`, { cause: failure });
  }
}

function write(writer: BinaryWriter, message: Message): void {
  if (message.type === "heartbeat") return writeHeartbeat(writer, message.heartbeat);
  if (message.type === "members") {
    for (const member of message.members) writer.tag(1, WireType.LengthDelimited).bytes(encodeMember(member));
    writer.tag(2, WireType.Varint).bool(message.answer);
    return;
  }
  writer.tag(1, WireType.LengthDelimited).string(message.group);
  switch (message.type) {
    case "batch":
      writer.tag(2, WireType.LengthDelimited).bytes(replicaBytes(message.batch.origin));
      writer.tag(3, WireType.LengthDelimited).bytes(message.batch.bytes);
      writer.tag(4, WireType.Varint).uint64(message.ask);
      return;
    case "ack":
      writer.tag(2, WireType.Varint).uint64(message.number);
      return;
    case "ask":
      writer.tag(2, WireType.Varint).uint64(message.id);
      writer.tag(3, WireType.LengthDelimited).bytes(encodeClock(message.clock));
      writer.tag(4, WireType.Varint).bool(message.wantsReading);
      return;
    case "answered":
      writer.tag(2, WireType.Varint).uint64(message.id);
      writer.tag(3, WireType.Varint).bool(message.isReady);
      writer.tag(4, WireType.LengthDelimited).bytes(encodeClock(message.lacked));
      writer.tag(5, WireType.Varint).bool(message.isBusy);
      return;
    case "slice":
      return writeSlice(writer, message);
    case "more":
      writer.tag(2, WireType.Varint).uint64(message.id);
      writer.tag(3, WireType.Varint).uint64(message.reading);
      writer.tag(4, WireType.Varint).uint32(message.taken);
      return;
  }
}

function writeSlice(writer: BinaryWriter, slice: Slice): void {
  writer.tag(2, WireType.Varint).uint64(slice.id);
  writer.tag(3, WireType.Varint).uint64(slice.reading);
  writer.tag(4, WireType.Varint).uint32(slice.index);
  writer.tag(5, WireType.Varint).bool(slice.isLast);
  writer.tag(6, WireType.Varint).bool(slice.isReady);
  if (slice.clock.size > 0) writer.tag(7, WireType.LengthDelimited).bytes(encodeClock(slice.clock));
  for (const [entity, kept] of slice.kept) writePart(writer, 8, { entity, repair: { entries: [], kept } });
  for (const part of slice.parts) writePart(writer, 9, part);
}

function writePart(writer: BinaryWriter, field: number, { entity, repair }: Part): void {
  const part = new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .string(entity)
    .tag(2, WireType.LengthDelimited)
    .bytes(encodeRepair(repair));
  writer.tag(field, WireType.LengthDelimited).bytes(part.finish());
}

/** The fields of one message, by number: the last of a number and all of it. */
class Fields {
  readonly #numbers = new Map<number, number>();
  readonly #bytes = new Map<number, Uint8Array[]>();

  constructor(reader: BinaryReader) {
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (wireType === WireType.Varint) this.#numbers.set(field, safe(reader.uint64()));
      else if (wireType === WireType.LengthDelimited) {
        const held = this.#bytes.get(field);
        if (held === undefined) this.#bytes.set(field, [reader.bytes()]);
        else held.push(reader.bytes());
      } else reader.skip(wireType, field);
    }
  }

  number(field: number): number {
    return this.#numbers.get(field) ?? 0;
  }

  flag(field: number): boolean {
    return this.number(field) !== 0;
  }

  all(field: number): readonly Uint8Array[] {
    return this.#bytes.get(field) ?? [];
  }

  bytes(field: number): Uint8Array {
    return this.all(field).at(-1) ?? new Uint8Array(0);
  }

  text(field: number): string {
    return texts.decode(this.bytes(field));
  }
}

const texts = new TextDecoder("utf-8", { fatal: true });

function read(type: (typeof order)[number], reader: BinaryReader): Message {
  if (type === "heartbeat") return { type, heartbeat: readHeartbeat(reader) };
  const fields = new Fields(reader);
  const group = type === "members" ? "" : fields.text(1);
  const id = fields.number(2);
  switch (type) {
    case "batch":
      return {
        type,
        group,
        batch: decodeBatch(readReplica(fields.bytes(2)), fields.bytes(3)),
        ask: fields.number(4),
      };
    case "ack":
      return { type, group, number: id };
    case "ask":
      return { type, group, id, clock: clockOf(fields.bytes(3)), wantsReading: fields.flag(4) };
    case "answered":
      return { type, group, id, isReady: fields.flag(3), lacked: clockOf(fields.bytes(4)), isBusy: fields.flag(5) };
    case "slice":
      return readSlice(group, fields);
    case "more":
      return { type, group, id, reading: fields.number(3), taken: fields.number(4) };
    case "members":
      return { type, members: fields.all(1).map(readMember), answer: fields.flag(2) };
  }
}

function readSlice(group: string, fields: Fields): Slice {
  const kept = fields.all(8).map(readPart);
  return {
    type: "slice",
    group,
    id: fields.number(2),
    reading: fields.number(3),
    index: fields.number(4),
    isLast: fields.flag(5),
    isReady: fields.flag(6),
    clock: clockOf(fields.bytes(7)),
    kept: new Map(kept.map(({ entity, repair }) => [entity, repair.kept])),
    parts: fields.all(9).map(readPart),
  };
}

function readPart(bytes: Uint8Array): Part {
  const fields = new Fields(new BinaryReader(bytes));
  return { entity: fields.text(1), repair: decodeRepair(fields.bytes(2)) };
}

function clockOf(bytes: Uint8Array): Clock {
  return bytes.length === 0 ? new Map<ReplicaId, number>() : decodeClock(bytes);
}

function encodeMember(member: Member): Uint8Array {
  const writer = new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .bytes(replicaBytes(member.replica))
    .tag(2, WireType.Varint)
    .uint64(member.incarnation);
  if (member.isOut) return writer.tag(3, WireType.Varint).bool(true).finish();
  writer.tag(4, WireType.LengthDelimited).string(member.nodeName);
  for (const group of member.groups ?? []) writer.tag(5, WireType.LengthDelimited).string(group);
  return writer
    .tag(6, WireType.Varint)
    .bool(member.groups !== undefined)
    .tag(7, WireType.Varint)
    .uint64(member.startedMs)
    .finish();
}

function readMember(bytes: Uint8Array): Member {
  const fields = new Fields(new BinaryReader(bytes));
  const isOut = fields.flag(3);
  const groups = fields.all(5).map((group) => texts.decode(group));
  return {
    replica: readReplica(fields.bytes(1)),
    incarnation: fields.number(2),
    isOut,
    nodeName: isOut ? "" : fields.text(4),
    startedMs: isOut ? 0 : fields.number(7),
    groups: isOut || fields.flag(6) ? groups : undefined,
  };
}

/** The members' table alone, for a hello. */
export function encodeMembers(members: Iterable<Member>): Uint8Array {
  return encodeMessage({ type: "members", members: [...members], answer: false });
}

/** Throws `protocol`; nothing at all is an empty table. */
export function decodeMembers(bytes: Uint8Array): readonly Member[] {
  const message = bytes.length === 0 ? undefined : decodeMessage(bytes);
  return message?.type === "members" ? message.members : [];
}

function replicaBytes(replica: ReplicaId): Uint8Array {
  return Buffer.from(replica, "hex");
}

function readReplica(bytes: Uint8Array): ReplicaId {
  if (bytes.length !== 16) throw new RangeError(`a replica id of ${bytes.length} bytes instead of 16`);
  return Buffer.from(bytes).toString("hex");
}

function safe(value: string | bigint | number): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError("a number above 2^53 − 1");
  return number;
}
