import type { Random } from "../../lib/core/world.ts";
import { chance, pick, several } from "./weapon.ts";

const numbers = [
  0, 1, 2, 4, 5, 0x7f, 0x80, 0xff, 0x3fff, 0x4000, 0xffff, 0xff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
];

/** Some bytes changed, cut out, doubled, inserted, or all after a place cut off. */
export function mutated(random: Random, bytes: Uint8Array): Buffer {
  let changed: Buffer = Buffer.from(bytes);
  several(random, 4, () => (changed = once(random, changed)));
  return changed;
}

/** In pieces of any size. */
export function pieces(random: Random, bytes: Uint8Array): Buffer[] {
  const cut: Buffer[] = [];
  let rest = Buffer.from(bytes);
  while (rest.length > 0 && cut.length < 8 && chance(random, 60)) {
    const length = chance(random, 30) ? 1 : random.int(rest.length + 1);
    cut.push(rest.subarray(0, length));
    rest = rest.subarray(length);
  }
  return [...cut, rest];
}

function once(random: Random, bytes: Buffer): Buffer {
  const at = random.int(bytes.length + 1);
  const length = 1 + random.int(chance(random, 80) ? 8 : 200);
  const before = bytes.subarray(0, at);
  switch (random.int(7)) {
    case 0:
      return changed(bytes, at, (byte) => byte ^ (1 << random.int(8)));
    case 1:
      return changed(bytes, at, () => random.int(256));
    case 2:
      return Buffer.concat([before, bytes.subarray(at + length)]);
    case 3:
      return Buffer.concat([before, bytes.subarray(at, at + length), bytes.subarray(at)]);
    case 4:
      return Buffer.concat([before, random.bytes(length), bytes.subarray(at)]);
    case 5:
      return Buffer.from(before);
    default: {
      const copy = Buffer.from(bytes);
      if (at + 4 <= copy.length) copy.writeUInt32BE(pick(random, numbers), at);
      return copy;
    }
  }
}

function changed(bytes: Buffer, at: number, change: (byte: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  if (at < copy.length) copy[at] = change(copy[at]!);
  return copy;
}
