import { Reader, Writer } from "./bytes.ts";
import { catalogue } from "./catalogue.ts";
import type { Clock, Content, Dot, Entry, NumberedChange, Path, Repair } from "./entry.ts";
import { compareDots } from "./entry.ts";
import type { Kind } from "./operation.ts";
import { depthMax } from "./ormap.ts";
import type { Type } from "./type.ts";

/** Which dots a decoder takes: named ones are part of the format, and refused until replicas keep track of names. */
type TakenDots = "numbered" | "any";

/** Contents by their number in the format, which never changes. */
const contents = ["presence", "element", "flag", "amount", "value", "vote"] as const;
const namedBit = 0x08;

/** Changes of one origin in order. Equal changes give equal bytes: drops and adds are written in the order of their dots. */
export function encodeChanges(changes: readonly NumberedChange[]): Uint8Array {
  const writer = new Writer();
  writer.count(changes.length);
  for (const { entity, from, to, drops, adds } of changes) {
    writer.text(entity);
    writer.count(from);
    writer.count(to - from);
    writeDots(writer, drops);
    writeEntries(writer, adds);
  }
  return writer.finish();
}

/** Throws `MalformedBytes`, also for runs out of order and adds outside their run. */
export function decodeChanges(bytes: Uint8Array, taken: TakenDots = "numbered"): NumberedChange[] {
  const reader = new Reader(bytes);
  const changes: NumberedChange[] = [];
  let last = 0;
  for (let left = reader.count(); left > 0; left -= 1) {
    const change = readChange(reader, taken);
    if (change.from <= last) reader.refuse(`a run from ${change.from} after one to ${last}`);
    last = change.to;
    changes.push(change);
  }
  reader.finish();
  return changes;
}

/** A repair or a slice of one; a whole table is a repair with nothing kept. */
export function encodeRepair(repair: Repair): Uint8Array {
  const writer = new Writer();
  writeDots(writer, repair.kept);
  writeEntries(writer, repair.entries);
  return writer.finish();
}

/** Throws `MalformedBytes`. */
export function decodeRepair(bytes: Uint8Array, taken: TakenDots = "numbered"): Repair {
  const reader = new Reader(bytes);
  const kept = readDots(reader, taken);
  const entries = readEntries(reader, taken);
  reader.finish();
  return { entries, kept };
}

/** Replicas that stand at 0 are not written. */
export function encodeClock(clock: Clock): Uint8Array {
  const writer = new Writer();
  const places = [...clock].filter(([, number]) => number > 0).sort(([left], [right]) => (left < right ? -1 : 1));
  writer.count(places.length);
  for (const [replica, number] of places) {
    writer.text(replica);
    writer.count(number);
  }
  return writer.finish();
}

/** Throws `MalformedBytes`. */
export function decodeClock(bytes: Uint8Array): Map<string, number> {
  const reader = new Reader(bytes);
  const clock = new Map<string, number>();
  let last: string | undefined;
  for (let left = reader.count(); left > 0; left -= 1) {
    const replica = reader.text();
    const number = reader.count();
    if (number === 0 || (last !== undefined && replica <= last)) reader.refuse("a clock out of order");
    last = replica;
    clock.set(replica, number);
  }
  reader.finish();
  return clock;
}

/** One entry alone, for digests and sizes. */
export function encodeEntry(entry: Entry): Uint8Array {
  const writer = new Writer();
  writeEntry(writer, entry);
  return writer.finish();
}

function readChange(reader: Reader, taken: TakenDots): NumberedChange {
  const entity = reader.text();
  const from = reader.count();
  const to = from + reader.count();
  if (from === 0 || !Number.isSafeInteger(to)) reader.refuse(`a run from ${from} to ${to}`);
  const drops = readDots(reader, taken);
  const adds = readEntries(reader, taken);
  for (const { dot } of adds) {
    if ("replica" in dot && (dot.number < from || dot.number > to))
      reader.refuse(`an add outside its run: ${dot.number}`);
  }
  return { entity, from, to, drops, adds };
}

/** Dots in order, grouped by origin; numbers as steps from one to the next. */
function writeDots(writer: Writer, dots: readonly Dot[]): void {
  const groups = groupsOf([...dots].sort(compareDots));
  writer.count(groups.length);
  for (const group of groups) {
    const first = group[0]!;
    writer.text(originOf(first));
    writer.count(group.length * 2 + ("replica" in first ? 0 : 1));
    let last = 0;
    for (const dot of group) {
      if ("replica" in dot) {
        writer.count(dot.number - last);
        last = dot.number;
      } else {
        writer.natural(dot.offset);
        writer.count(dot.index);
      }
    }
  }
}

function groupsOf(dots: readonly Dot[]): Dot[][] {
  const groups: Dot[][] = [];
  let last: Dot | undefined;
  for (const dot of dots) {
    const same = last !== undefined && isNamed(last) === isNamed(dot) && originOf(last) === originOf(dot);
    if (same) groups.at(-1)!.push(dot);
    else groups.push([dot]);
    last = dot;
  }
  return groups;
}

function readDots(reader: Reader, taken: TakenDots): Dot[] {
  const dots: Dot[] = [];
  let last: Dot | undefined;
  for (let left = reader.count(); left > 0; left -= 1) {
    const origin = reader.text();
    const head = reader.count();
    const named = head % 2 === 1;
    if (head < 2) reader.refuse("an origin without dots");
    if (last !== undefined && originOf(last) === origin && isNamed(last) === named) {
      reader.refuse("dots of one origin in two groups");
    }
    let number = 0;
    for (let more = Math.floor(head / 2); more > 0; more -= 1) {
      const dot = named ? readName(reader, origin, taken) : { replica: origin, number: (number += reader.count()) };
      if ("replica" in dot && !Number.isSafeInteger(dot.number)) reader.refuse("a dot above 2^53 − 1");
      last = inOrder(reader, last, dot);
      dots.push(dot);
    }
  }
  return dots;
}

function writeEntries(writer: Writer, entries: readonly Entry[]): void {
  writer.count(entries.length);
  for (const entry of [...entries].sort((left, right) => compareDots(left.dot, right.dot))) writeEntry(writer, entry);
}

function readEntries(reader: Reader, taken: TakenDots): Entry[] {
  const entries: Entry[] = [];
  let last: Dot | undefined;
  for (let left = reader.count(); left > 0; left -= 1) {
    const entry = readEntry(reader, taken);
    last = inOrder(reader, last, entry.dot);
    entries.push(entry);
  }
  return entries;
}

function writeEntry(writer: Writer, { dot, path, content }: Entry): void {
  const code = contents.indexOf(content.type);
  writer.byte("replica" in dot ? code : code | namedBit);
  writer.text(originOf(dot));
  if ("replica" in dot) writer.count(dot.number);
  else {
    writer.natural(dot.offset);
    writer.count(dot.index);
  }
  writePath(writer, path);
  writeContent(writer, content);
}

function readEntry(reader: Reader, taken: TakenDots): Entry {
  const head = reader.byte();
  const type = contents[head & ~namedBit] ?? reader.refuse(`no content ${head}`);
  const origin = reader.text();
  const dot = head & namedBit ? readName(reader, origin, taken) : { replica: origin, number: reader.count() };
  const { path, ends } = readPath(reader);
  const content = readContent(reader, type);
  if (!fits(ends, content)) reader.refuse(`${type} where a ${path.at(-1)} stands`);
  return { dot, path, content };
}

function readName(reader: Reader, source: string, taken: TakenDots): Dot {
  if (taken === "numbered") reader.refuse("a dot named after a message, which this version does not take");
  return { source, offset: reader.natural(), index: reader.count() };
}

function inOrder(reader: Reader, last: Dot | undefined, dot: Dot): Dot {
  if ("replica" in dot && dot.number === 0) reader.refuse("a dot numbered 0");
  if (last !== undefined && compareDots(last, dot) >= 0) reader.refuse("dots out of order");
  return dot;
}

function isNamed(dot: Dot): boolean {
  return !("replica" in dot);
}

function originOf(dot: Dot): string {
  return "replica" in dot ? dot.replica : dot.source;
}

/** Types by their place in the catalogue, keys and elements as strings. */
function writePath(writer: Writer, path: Path): void {
  writer.count(path.length);
  let kindNext = true;
  for (const step of path) {
    if (!kindNext) {
      writer.text(step);
      kindNext = true;
      continue;
    }
    const kind = kindOf(step);
    writer.byte(catalogue.order.indexOf(kind));
    kindNext = false;
  }
}

function kindOf(step: string): Kind {
  const kind = catalogue.order.find((known) => known === step);
  if (kind === undefined) throw new RangeError(`no type is called ${JSON.stringify(step.slice(0, 40))}`);
  return kind;
}

/** Where a path ends: at a type's name, or at an element one step below it. */
interface End {
  readonly type: Type;
  readonly atElement: boolean;
}

function readPath(reader: Reader): { path: Path; ends: End } {
  const path: string[] = [];
  const length = reader.count();
  if (length === 0 || length > 2 * depthMax + 2) reader.refuse(`a path of ${length} steps`);
  for (;;) {
    const kind = catalogue.order[reader.byte()] ?? reader.refuse("an unknown type");
    const type = catalogue.of(kind);
    path.push(kind);
    if (path.length === length) return { path, ends: { type, atElement: false } };
    if (type.below === "nothing") reader.refuse(`a path that goes on below a ${kind}`);
    path.push(reader.text());
    if (type.below === "keys" && path.length < length) continue;
    if (type.below === "keys" || path.length < length) reader.refuse(`a path that ends wrongly below a ${kind}`);
    return { path, ends: { type, atElement: true } };
  }
}

function fits({ type, atElement }: End, content: Content): boolean {
  if (content.type === "presence") return !atElement;
  return type.admits(content) && atElement === (content.type === "element");
}

function writeContent(writer: Writer, content: Content): void {
  switch (content.type) {
    case "presence":
    case "element":
    case "flag":
      return;
    case "amount":
      return writer.integer(content.amount);
    case "value":
      writer.integer(content.stamp);
      return writer.text(content.value);
    case "vote":
      return writer.byte(Number(content.vote));
  }
}

function readContent(reader: Reader, type: Content["type"]): Content {
  switch (type) {
    case "presence":
    case "element":
    case "flag":
      return { type };
    case "amount":
      return { type, amount: reader.integer() };
    case "value":
      return { type, stamp: reader.integer(), value: reader.text() };
    case "vote": {
      const vote = reader.byte();
      return vote > 1 ? reader.refuse(`a vote of ${vote}`) : { type, vote: vote === 1 };
    }
  }
}
