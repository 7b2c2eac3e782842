/**
 * Appends to 64 entities at once until it is killed. Checks first that what is in the file is whole. Says `head <entity> <sequence>`
 * for each, then `acknowledged <entity> <sequence>` for each event that the store has confirmed.
 */
import assert from "node:assert/strict";

// On demand, as the proxy does: the store's thread runs the module that starts it, and must not run this one.
const { openEmbedded, provable } = await import("./store-harness.ts");
const [file = ""] = process.argv.slice(2);
const { events } = await openEmbedded(file);
const entities = await Promise.all(Array.from({ length: 64 }, (_, index) => checked(`entity-${index}`)));
for (const { entityId, sequence } of entities) say(`head ${entityId} ${sequence}`);
say("checked");
await Promise.all(entities.map(appendForEver));

async function checked(entityId: string): Promise<{ readonly entityId: string; readonly sequence: number }> {
  const key = { persistenceId: "kill", entityId };
  const { sequence } = await events.head(key);
  // The rest was looked at by those before, and is by the one that comes last.
  let at = Math.max(0, sequence - 100);
  let left = -1;
  while (at < sequence) {
    for (const { typeUrl, value } of await events.read(key, at, 1_000)) {
      at += 1;
      const [, index, count] = /^[^:]+:\d+:(\d+)\/(\d+):/.exec(Buffer.from(value).toString())!.map(Number);
      assert.equal(typeUrl, `kill/${at}`);
      assert.ok(Buffer.compare(value, provable(entityId, at, index!, count!)) === 0, `${entityId} ${at} is torn`);
      if (left >= 0) assert.equal(index, left === 0 ? 1 : count! - left + 1, `${entityId} ${at} is of another append`);
      left = count! - index!;
    }
  }
  assert.equal(at, sequence);
  assert.ok(left <= 0, `the last append of ${entityId} is not whole`);
  return { entityId, sequence };
}

async function appendForEver({ entityId, sequence }: { readonly entityId: string; readonly sequence: number }) {
  const key = { persistenceId: "kill", entityId };
  for (let at = sequence; ;) {
    const count = 1 + (at % 3);
    const list = Array.from({ length: count }, (_, index) => ({
      typeUrl: `kill/${at + index + 1}`,
      value: provable(entityId, at + index + 1, index + 1, count),
    }));
    await events.append(key, at, list);
    at += count;
    say(`acknowledged ${entityId} ${at}`);
  }
}

/** Writing to a pipe is synchronous: nothing that was acknowledged is lost on its way out of this process. */
function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
