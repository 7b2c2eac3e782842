import { type AnyValue, readAnyField, writeAnyField } from "./protocol.ts";
import { grown, none, type ProtobufReader } from "./protobuf-reader.ts";
import type { ProtobufWriter } from "./protobuf-writer.ts";

/** How a register's write is stamped. */
type CrdtClock = (typeof clocks)[number];

/** What happens to one key of a map. */
export interface KeyedDelta {
  readonly key: AnyValue;
  readonly operation: CrdtDelta;
}

/** What a CRDT is told or has done: the shape of an operation of `crdt/`, with Anys where that has elements. */
export type CrdtDelta =
  | { readonly type: "gcounter"; readonly increment: bigint }
  | { readonly type: "pncounter"; readonly change: bigint }
  | { readonly type: "gset"; readonly added: readonly AnyValue[] }
  | {
      readonly type: "orset";
      readonly cleared: boolean;
      readonly removed: readonly AnyValue[];
      readonly added: readonly AnyValue[];
    }
  | {
      readonly type: "lwwregister";
      readonly value: AnyValue;
      readonly clock: CrdtClock;
      readonly customClock: bigint;
    }
  | { readonly type: "flag"; readonly value: boolean }
  | {
      readonly type: "ormap";
      readonly cleared: boolean;
      readonly removed: readonly AnyValue[];
      readonly updated: readonly KeyedDelta[];
      readonly added: readonly KeyedDelta[];
    }
  | { readonly type: "vote"; readonly selfVote: boolean; readonly votesFor: number; readonly totalVoters: number };

/** Reads the content of a field that holds a CrdtDelta; one in which no type, key or value is set is refused. */
export function readDelta(reader: ProtobufReader, before: CrdtDelta | undefined, depth = 0): CrdtDelta {
  const outer = reader.enter();
  let delta = before;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    const type = kinds[field];
    if (type === undefined) {
      reader.skip();
      continue;
    }
    const inner = reader.enter();
    delta = readKind(reader, delta?.type === type ? delta : empty[type], depth);
    reader.leave(inner);
  }
  if (delta === undefined) reader.refuse("Empty delta");
  reader.leave(outer);
  return delta;
}

/** A field that holds a CrdtDelta. */
export function writeDeltaField(writer: ProtobufWriter, field: number, delta: CrdtDelta): void {
  const mark = writer.mark;
  writeKind(writer, delta);
  writer.close(kinds.indexOf(delta.type), mark);
  writer.close(field, mark);
}

const clocks = ["default", "reverse", "custom", "custom-auto-increment"] as const;
/** Maps in maps; what any function needs is far below, and reading takes stack. */
const depthMax = 64;
const noAny: AnyValue = { typeUrl: "", value: new Uint8Array(0) };

/** The kinds of delta by field number. */
const kinds = [
  undefined,
  "gcounter",
  "pncounter",
  "gset",
  "orset",
  "lwwregister",
  "flag",
  "ormap",
  "vote",
] as const satisfies readonly (CrdtDelta["type"] | undefined)[];

const empty: { readonly [K in CrdtDelta["type"]]: Extract<CrdtDelta, { readonly type: K }> } = {
  gcounter: { type: "gcounter", increment: 0n },
  pncounter: { type: "pncounter", change: 0n },
  gset: { type: "gset", added: none },
  orset: { type: "orset", cleared: false, removed: none, added: none },
  lwwregister: { type: "lwwregister", value: noAny, clock: "default", customClock: 0n },
  flag: { type: "flag", value: false },
  ormap: { type: "ormap", cleared: false, removed: none, updated: none, added: none },
  vote: { type: "vote", selfVote: false, votesFor: 0, totalVoters: 0 },
};

function readKind(reader: ProtobufReader, before: CrdtDelta, depth: number): CrdtDelta {
  switch (before.type) {
    case "gcounter": {
      let { increment } = before;
      for (let field = reader.field(); field !== 0; field = reader.field()) {
        if (field === 1) increment = reader.uint64();
        else reader.skip();
      }
      return { type: "gcounter", increment };
    }
    case "pncounter": {
      let { change } = before;
      for (let field = reader.field(); field !== 0; field = reader.field()) {
        if (field === 1) change = reader.sint64();
        else reader.skip();
      }
      return { type: "pncounter", change };
    }
    case "gset": {
      let { added } = before;
      for (let field = reader.field(); field !== 0; field = reader.field()) {
        if (field === 1) added = grown(added, readAnyField(reader));
        else reader.skip();
      }
      return { type: "gset", added };
    }
    case "orset": {
      let { cleared, removed, added } = before;
      for (let field = reader.field(); field !== 0; field = reader.field()) {
        if (field === 1) cleared = reader.bool();
        else if (field === 2) removed = grown(removed, readAnyField(reader));
        else if (field === 3) added = grown(added, readAnyField(reader));
        else reader.skip();
      }
      return { type: "orset", cleared, removed, added };
    }
    case "lwwregister": {
      let { value, clock, customClock } = before;
      for (let field = reader.field(); field !== 0; field = reader.field()) {
        if (field === 1) value = readAnyField(reader, value);
        else if (field === 2) {
          const number = reader.int32();
          clock = clocks[number] ?? reader.refuse(`register clock ${number}`);
        } else if (field === 3) customClock = reader.int64();
        else reader.skip();
      }
      return { type: "lwwregister", value, clock, customClock };
    }
    case "flag": {
      let { value } = before;
      for (let field = reader.field(); field !== 0; field = reader.field()) {
        if (field === 1) value = reader.bool();
        else reader.skip();
      }
      return { type: "flag", value };
    }
    case "ormap": {
      let { cleared, removed, updated, added } = before;
      for (let field = reader.field(); field !== 0; field = reader.field()) {
        if (field === 1) cleared = reader.bool();
        else if (field === 2) removed = grown(removed, readAnyField(reader));
        else if (field === 3) updated = grown(updated, readKeyed(reader, depth));
        else if (field === 4) added = grown(added, readKeyed(reader, depth));
        else reader.skip();
      }
      return { type: "ormap", cleared, removed, updated, added };
    }
    case "vote": {
      let { selfVote, votesFor, totalVoters } = before;
      for (let field = reader.field(); field !== 0; field = reader.field()) {
        if (field === 1) selfVote = reader.bool();
        else if (field === 2) votesFor = reader.int32();
        else if (field === 3) totalVoters = reader.int32();
        else reader.skip();
      }
      return { type: "vote", selfVote, votesFor, totalVoters };
    }
  }
}

function readKeyed(reader: ProtobufReader, depth: number): KeyedDelta {
  if (depth >= depthMax) reader.refuse(`maps more than ${depthMax} deep`);
  const outer = reader.enter();
  let key: AnyValue | undefined;
  let operation: CrdtDelta | undefined;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) key = readAnyField(reader, key);
    else if (field === 2) operation = readDelta(reader, operation, depth + 1);
    else reader.skip();
  }
  if (key === undefined) reader.refuse("a map entry without a key");
  if (operation === undefined) reader.refuse("a map entry without a delta");
  reader.leave(outer);
  return { key, operation };
}

function writeKind(writer: ProtobufWriter, delta: CrdtDelta): void {
  switch (delta.type) {
    case "gcounter":
      if (delta.increment !== 0n) writer.int64(1, delta.increment);
      return;
    case "pncounter":
      if (delta.change !== 0n) writer.sint64(1, delta.change);
      return;
    case "gset":
      writeAnys(writer, 1, delta.added);
      return;
    case "orset":
      writeAnys(writer, 3, delta.added);
      writeAnys(writer, 2, delta.removed);
      if (delta.cleared) writer.bool(1, true);
      return;
    case "lwwregister":
      if (delta.customClock !== 0n) writer.int64(3, delta.customClock);
      if (delta.clock !== "default") writer.number(2, clocks.indexOf(delta.clock));
      writeAnyField(writer, 1, delta.value);
      return;
    case "flag":
      if (delta.value) writer.bool(1, true);
      return;
    case "ormap":
      writeKeyed(writer, 4, delta.added);
      writeKeyed(writer, 3, delta.updated);
      writeAnys(writer, 2, delta.removed);
      if (delta.cleared) writer.bool(1, true);
      return;
    case "vote":
      if (delta.totalVoters !== 0) writer.int32(3, delta.totalVoters);
      if (delta.votesFor !== 0) writer.int32(2, delta.votesFor);
      if (delta.selfVote) writer.bool(1, true);
      return;
  }
}

function writeAnys(writer: ProtobufWriter, field: number, anys: readonly AnyValue[]): void {
  for (let at = anys.length - 1; at >= 0; at -= 1) writeAnyField(writer, field, anys[at]);
}

function writeKeyed(writer: ProtobufWriter, field: number, entries: readonly KeyedDelta[]): void {
  for (let at = entries.length - 1; at >= 0; at -= 1) {
    const { key, operation } = entries[at]!;
    const mark = writer.mark;
    writeDeltaField(writer, 2, operation);
    writeAnyField(writer, 1, key);
    writer.close(field, mark);
  }
}
