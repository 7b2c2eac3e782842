import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, suite, test } from "node:test";
import { seededRandom } from "../lib/core/world.ts";
import { bundled, openEmbedded, provable, temporaryFolder } from "./store-harness.ts";

const roundsOfTest = 10;

suite("50 × kill -9 under load", () => {
  const folder = temporaryFolder();
  const file = join(folder.path, "massa.db");
  const random = seededRandom(7);
  /** The last event confirmed, by entity. */
  const acknowledged = new Map<string, number>();
  let script = "";
  let confirmed = 0;
  before(async () => {
    script = await bundled(join(import.meta.dirname, "store-kill-child.ts"), folder.path);
  });
  after(() => folder[Symbol.dispose]());

  for (let first = 1; first <= 50; first += roundsOfTest) {
    test(`each restart finds all that was acknowledged, kills ${first} to ${first + roundsOfTest - 1}`, async (t) => {
      for (let round = 0; round < roundsOfTest; round++) await live(t.signal, 20 + random.int(600));
    });
  }

  test("in the end the log has every acknowledged event, in order and whole", async (t) => {
    await using store = await openEmbedded(file);
    const last = new Map<string, number>();
    let offset: string | undefined;
    for (let page = await store.events.log("kill", offset, 1_000); page.length > 0;) {
      for (const { entityId, sequence, payload } of page) {
        assert.equal(sequence, (last.get(entityId) ?? 0) + 1, `the log has ${entityId} in order`);
        const [, index, count] = /^[^:]+:\d+:(\d)\/(\d):/.exec(Buffer.from(payload.value).toString())!.map(Number);
        const isWhole = Buffer.compare(payload.value, provable(entityId, sequence, index!, count!)) === 0;
        assert.ok(isWhole, `${entityId} ${sequence} is whole`);
        last.set(entityId, sequence);
      }
      offset = page.at(-1)!.offset;
      page = await store.events.log("kill", offset, 1_000);
    }
    for (const [entityId, sequence] of acknowledged) assert.ok(last.get(entityId)! >= sequence, `all of ${entityId}`);
    assert.ok(confirmed > 1_000);
    t.diagnostic(`${confirmed} acknowledged appends`);
  });

  /** One life of the child: it finds all that was acknowledged before, and is killed after so many more. */
  async function live(signal: AbortSignal, killAfter: number): Promise<void> {
    const child = spawn(process.execPath, [script, file], {
      stdio: ["ignore", "pipe", "pipe"],
      signal,
      killSignal: "SIGKILL",
    });
    const exited = once(child, "exit");
    let complaint = "";
    child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
    let isChecked = false;
    let left = killAfter;
    // The lines that came out before the kill are read to their end.
    for await (const line of createInterface({ input: child.stdout })) {
      const [word, entityId = "", sequence = ""] = line.split(" ");
      if (word === "checked") isChecked = true;
      else if (word === "head") {
        const wanted = acknowledged.get(entityId) ?? 0;
        assert.ok(Number(sequence) >= wanted, `${entityId} has ${sequence} events of ${wanted} acknowledged`);
      } else {
        acknowledged.set(entityId, Number(sequence));
        confirmed += 1;
        left -= 1;
        if (left === 0) child.kill("SIGKILL");
      }
    }
    const [, by] = (await exited) as [number | null, string | null];
    assert.ok(isChecked, `the child found what was written before: ${complaint}`);
    assert.equal(by, "SIGKILL", complaint);
  }
});
