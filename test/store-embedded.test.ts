import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { DatabaseSync } from "node:sqlite";
import { suite, test } from "node:test";
import { createTelemetry } from "../lib/core/telemetry.ts";
import { storeConformance } from "../lib/store/conformance.ts";
import { openFile } from "../lib/store/embedded-file.ts";
import { StoreTables } from "../lib/store/embedded-tables.ts";
import type { Store } from "../lib/store/store.ts";
import { bundled, openEmbedded, temporaryFolder } from "./store-harness.ts";

storeConformance("embedded", async () => {
  const folder = temporaryFolder();
  const open = () => openEmbedded(join(folder.path, "deep/er/massa.db"));
  const harness = {
    store: await open(),
    async reopen() {
      await harness.store[Symbol.asyncDispose]();
      return (harness.store = await open());
    },
    async [Symbol.asyncDispose]() {
      await harness.store[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
  return harness;
});

const key = { persistenceId: "carts", entityId: "one" };
const event = { typeUrl: "example.com/T", value: Buffer.from("payload") };
const large = (bytes: number) => ({ typeUrl: "t", value: new Uint8Array(bytes) });

/** Appends one event at a time. */
async function fill({ events }: Store, count: number): Promise<void> {
  const { sequence } = await events.head(key);
  for (let at = sequence; at < sequence + count; at++) await events.append(key, at, [event]);
}

suite("embedded store: its file", () => {
  const inFolder = (title: string, body: (file: string) => Promise<void>) => {
    test(title, async () => {
      using folder = temporaryFolder();
      await body(join(folder.path, "massa.db"));
    });
  };
  /** What is said names the file. */
  const refused = async (file: string, message: RegExp) => {
    // One that opens all the same must not keep this process.
    const closed = openEmbedded(file).then((store) => store[Symbol.asyncDispose]());
    await assert.rejects(closed, (failure: Error) => {
      assert.ok(failure.message.includes(file), failure.message);
      assert.match(failure.message, message);
      return true;
    });
  };

  inFolder("a second store of this process is refused, by a link too, until the first is closed", async (file) => {
    const first = await openEmbedded(file);
    const holder = new RegExp(`in use by process ${process.pid} on host ${hostname()}; one proxy`);
    await refused(file, holder);
    await assert.rejects(openEmbedded(join(file, "..", ".", "massa.db")), holder);
    await first.events.append(key, 0, [event]);
    await first[Symbol.asyncDispose]();
    await using second = await openEmbedded(file);
    assert.equal((await second.events.head(key)).sequence, 1);
  });

  inFolder("a second process is refused by name, and comes in when the first was killed", async (file) => {
    const child = spawn(
      process.execPath,
      ["--conditions=massa-source", join(import.meta.dirname, "store-kill-child.ts"), file],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const exited = once(child, "exit");
    try {
      await once(child.stdout, "data");
      await refused(file, new RegExp(`in use by process ${child.pid} on host ${hostname()}`));
    } finally {
      child.kill("SIGKILL");
      await exited;
    }
    await using store = await openEmbedded(file);
    assert.ok((await store.events.log("kill", undefined, 1)).length <= 1);
  });

  inFolder("a link to a file that is yet to be made is one name of it", async (file) => {
    const link = join(file, "..", "link.db");
    symlinkSync("./middle.db", link);
    symlinkSync("./massa.db", join(file, "..", "middle.db"));
    await using first = await openEmbedded(link);
    await refused(file, /in use by process/);
    await first.events.append(key, 0, [event]);
    assert.ok(statSync(file).isFile());
    await assert.rejects(openEmbedded(link), /in use by process/);
  });

  inFolder("an event that is missing between two is damage, and is not passed over", async (file) => {
    await withStore(file, (store) => fill(store, 8));
    shell(file, (database) => database.exec("DELETE FROM events WHERE sequence = 3"));
    await using store = await openEmbedded(file);
    assert.equal((await store.events.read(key, 3, 100)).length, 5);
    for (const after of [0, 2]) {
      await assert.rejects(store.events.read(key, after, 100), (failure: Error) => {
        assert.ok(
          failure.message.startsWith(`${file} is damaged (event 3 of one of carts is missing)`),
          failure.message,
        );
        return true;
      });
    }
  });

  test("a directory that cannot be made is said so", { skip: !existsSync("/proc/self") }, async () => {
    await assert.rejects(openEmbedded("/proc/none/massa.db"), /cannot be opened: E(NOENT|ACCES|PERM)/);
  });

  inFolder("what is no database, or another program's, is left as it is", async (file) => {
    writeFileSync(file, "Dear diary, ".repeat(1_000));
    await refused(file, /is no database: let MASSA_STORE name another file/);
    assert.equal(readFileSync(file, "utf8"), "Dear diary, ".repeat(1_000));

    const other = `${file}.other`;
    const database = new DatabaseSync(other);
    database.exec("CREATE TABLE bookmarks (url TEXT)");
    database.close();
    const before = readFileSync(other);
    await refused(other, /is another program's database/);
    assert.deepEqual(readFileSync(other), before);
  });

  inFolder("a path that cannot be a file says so", async (file) => {
    mkdirSync(file);
    await refused(file, /is no file: let MASSA_STORE name one, such as file:.*massa\.db/);
    writeFileSync(join(file, "plain"), "");
    await refused(join(file, "plain", "massa.db"), /cannot be opened: E(EXIST|NOTDIR)/);
  });

  inFolder("a file of a newer version is refused, an older one is brought up to date", async (file) => {
    await (await openEmbedded(file))[Symbol.asyncDispose]();
    const database = new DatabaseSync(file);
    const newest = Number(database.prepare("PRAGMA user_version").get()!["user_version"]);
    database.exec("PRAGMA user_version = 99");
    database.close();
    await refused(file, new RegExp(`newer massa \\(version 99 of its tables, this one knows ${newest}\\)`));
    const again = new DatabaseSync(file);
    assert.equal(Number(again.prepare("PRAGMA user_version").get()!["user_version"]), 99);
    again.exec(`PRAGMA user_version = ${newest}`);
    again.close();
    await using store = await openEmbedded(file);
    await fill(store, 1);
  });

  inFolder("a truncated file is reported", async (file) => {
    await withStore(file, (store) => fill(store, 500));
    truncateSync(file, statSync(file).size - 3 * 4_096);
    await refused(file, /is damaged .*keep a copy of it with its -wal file, and restore a backup/);
  });

  inFolder("a page written over is reported", async (file) => {
    await withStore(file, (store) => fill(store, 500));
    for (let page = 2; page < 12; page++) overwrite(file, page * 4_096, Buffer.alloc(200, 0xee));
    await refused(file, /is damaged/);
  });

  inFolder("damage that is met later is reported by the call that meets it, and others go on", async (file) => {
    await using store = await openEmbedded(file);
    await fill(store, 500);
    await store.values.put(key, 0, event);
    // Written back, so that the pages are read from the file.
    shell(file, (database) => database.exec("PRAGMA wal_checkpoint(TRUNCATE)"));
    const root = shell(file, (database) =>
      Number(
        database.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_snapshots_1'").get()![
          "rootpage"
        ],
      ),
    );
    overwrite(file, (root - 1) * 4_096, Buffer.alloc(100, 0xee));
    // Another connection changed the file, as far as SQLite knows: its cache is thrown away.
    shell(file, (database) => database.exec("DELETE FROM inbox; INSERT INTO inbox VALUES ('x', 'y')"));
    await assert.rejects(store.events.head(key), { code: "internal", message: /massa\.db is damaged/ });
    assert.equal((await store.values.get(key)).version, 1);
  });

  inFolder("a log without its file is not thrown away", async (file) => {
    const copy = `${file}.copy`;
    await using store = await openEmbedded(file);
    await fill(store, 3);
    writeFileSync(copy, "");
    copyFileSync(`${file}-wal`, `${copy}-wal`);
    await refused(copy, /is empty or gone, but its log .*-wal is not/);
    assert.ok(statSync(`${copy}-wal`).size > 0);
  });

  inFolder("a torn end of the log costs what was not acknowledged, and nothing before it", async (file) => {
    const copy = `${file}.copy`;
    await using store = await openEmbedded(file);
    await fill(store, 20);
    const whole = statSync(`${file}-wal`).size;
    await store.events.append(key, 20, [event, event, event]);
    copyFileSync(file, copy);
    copyFileSync(`${file}-wal`, `${copy}-wal`);
    truncateSync(`${copy}-wal`, whole + 2_000);
    await using torn = await openEmbedded(copy);
    assert.equal((await torn.events.head(key)).sequence, 20);
    assert.equal((await torn.events.read(key, 0, 100)).length, 20);
    await fill(torn, 1);
  });

  inFolder("a database shell reads it while it is in use, and one that holds it is named", async (file) => {
    await using store = await openEmbedded(file);
    await fill(store, 2);
    const rows = shell(file, (database) =>
      database
        .prepare("SELECT persistence_id, entity_id, sequence, type_url, CAST(payload AS TEXT) AS text FROM events")
        .all(),
    );
    assert.deepEqual(
      rows.map((row) => ({ ...row })),
      [1, 2].map((sequence) => ({
        persistence_id: "carts",
        entity_id: "one",
        sequence,
        type_url: "example.com/T",
        text: "payload",
      })),
    );
    const holder = new DatabaseSync(file);
    holder.exec("BEGIN IMMEDIATE");
    const held = { code: "unavailable", message: /massa\.db is held by another program, such as a database shell/ };
    await assert.rejects(store.events.append(key, 2, [event]), held);
    holder.close();
    await fill(store, 1);
  });

  inFolder("a disk without room: the write fails whole, and the store goes on once there is some", async (file) => {
    using opened = openFile(file);
    const tables = new StoreTables(opened.database);
    const append = (expectedSequence: number, events: { typeUrl: string; value: Uint8Array }[]) =>
      tables.commit([{ type: "append", key, expectedSequence, events, inbox: undefined }]);
    append(0, [event]);
    opened.database.exec("PRAGMA max_page_count = 100");
    assert.throws(() => append(1, [event, large(1_000_000)]), /full/);
    assert.deepEqual(tables.head(key).sequence, 1);
    assert.deepEqual(append(1, [event]), [undefined]);
    opened.database.exec("PRAGMA max_page_count = 100000");
    assert.deepEqual(append(2, [event, large(1_000_000)]), [undefined]);
    assert.equal(tables.head(key).sequence, 4);
  });

  const canLimit = existsSync("/usr/bin/prlimit");
  test(
    "a write that the system refuses is unavailable, and later ones are not",
    { skip: !canLimit && "no prlimit" },
    async () => {
      using folder = temporaryFolder();
      const told: string[] = [];
      const note = (_: object, message: string) => void told.push(message);
      const log = { debug: note, info: note, warn: note, error: note, child: () => log };
      const file = join(folder.path, "massa.db");
      await using store = await openEmbedded(file, {}, { log });
      await fill(store, 5);
      const limit = (bytes: string) =>
        execFileSync("prlimit", ["--pid", `${process.pid}`, `--fsize=${bytes}:unlimited`]);
      limit("2000000");
      try {
        for (const times of [1, 2]) {
          await assert.rejects(
            store.events.append(key, 5, [large(4_000_000)]),
            { code: "unavailable", message: /disk .*massa\.db/ },
            `${times}`,
          );
        }
        await fill(store, 1);
      } finally {
        limit("unlimited");
      }
      await store.events.append(key, 6, [large(4_000_000)]);
      assert.equal((await store.events.head(key)).sequence, 7);
      assert.deepEqual(told, ["store is open", "store cannot write", "store writes again"]);
    },
  );
});

suite("embedded store: its commits", () => {
  const entity = (index: number) => ({ persistenceId: "carts", entityId: `e${index}` });

  test("writes of many entities share commits", async () => {
    using folder = temporaryFolder();
    const { telemetry, registry } = createTelemetry();
    await using store = await openEmbedded(join(folder.path, "massa.db"), {}, { telemetry });
    const write = async (index: number) => {
      for (let at = 0; at < 10; at++) await store.events.append(entity(index), at, [event]);
    };
    await Promise.all(Array.from({ length: 64 }, (_, index) => write(index)));
    await assert.rejects(store.events.append(entity(0), 0, [event]), { code: "conflict" });
    const metrics = await registry.metrics();
    const numberOf = (name: string) => Number(new RegExp(`^${name} ([\\d.e-]+)$`, "m").exec(metrics)?.[1]);
    assert.equal(numberOf("massa_store_commit_writes_sum"), 641);
    assert.ok(numberOf("massa_store_commit_writes_count") <= 100, "at least six to a commit");
    assert.ok(numberOf("massa_store_commit_seconds_sum") > 0);
    assert.equal(numberOf(`massa_store_writes_total\\{outcome="written"\\}`), 640);
    assert.equal(numberOf(`massa_store_writes_total\\{outcome="conflict"\\}`), 1);
    assert.equal(numberOf("massa_store_waiting"), 0);
    assert.ok(numberOf("massa_store_bytes") > 640 * 10);
  });

  test("a commit has no more writes than it may", async () => {
    using folder = temporaryFolder();
    const { telemetry, registry } = createTelemetry();
    await using store = await openEmbedded(join(folder.path, "massa.db"), { commitMax: 7 }, { telemetry });
    await Promise.all(Array.from({ length: 50 }, (_, index) => store.events.append(entity(index), 0, [event])));
    assert.match(await registry.metrics(), /^massa_store_commit_writes_count 8$/m);
    assert.equal((await store.events.log("carts", undefined, 100)).length, 50);
  });

  test("too many requests, or bytes, that wait are refused at once; what was taken is written", async () => {
    using folder = temporaryFolder();
    const { telemetry, registry } = createTelemetry();
    const limits = { waitingMax: 10, waitingBytesMax: 100_000 };
    await using store = await openEmbedded(join(folder.path, "massa.db"), limits, { telemetry });
    const many = Array.from({ length: 12 }, (_, index) => store.events.append(entity(index), 0, [event]));
    await assert.rejects(store.events.head(entity(0)), { code: "exhausted", message: /store\.waiting of 10 requests/ });
    const outcomes = await Promise.allSettled(many);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      [...Array<string>(10).fill("fulfilled"), "rejected", "rejected"],
    );
    const alone = store.values.put(entity(0), 0, large(1_000_000));
    await assert.rejects(store.values.put(entity(1), 0, event), {
      code: "exhausted",
      message: /store\.waitingBytes of 100000 bytes/,
    });
    await alone;
    await store.values.put(entity(1), 0, event);
    const metrics = await registry.metrics();
    assert.match(metrics, /^massa_limit_reached_total\{limit="store.waiting"\} 3$/m);
    assert.match(metrics, /^massa_limit_reached_total\{limit="store.waitingBytes"\} 1$/m);
  });
});

test("the end of its thread is told once to whoever can begin anew, what waits fails, and a close is no loss", async () => {
  using folder = temporaryFolder();
  const key = { persistenceId: "p", entityId: "e" };
  const lost: string[] = [];
  const threads: Worker[] = [];
  const started = (thread: Worker) => threads.push(thread);
  process.on("worker", started);
  const store = await openEmbedded(join(folder.path, "a.db"), {}, { lost: ({ message }) => lost.push(message) });
  const other = await openEmbedded(join(folder.path, "b.db"), {}, { lost: ({ message }) => lost.push(message) });
  process.off("worker", started);
  await other[Symbol.asyncDispose]();
  assert.deepEqual(lost, []);
  await threads[0]!.terminate();
  await assert.rejects(store.values.get(key), { code: "unavailable" });
  assert.deepEqual(lost, ["the store's thread has ended"]);
  await store[Symbol.asyncDispose]();
});

test("the embedded store finds its thread in a bundle", async () => {
  using folder = temporaryFolder();
  const module = await bundled(join(import.meta.dirname, "../lib/store/open.ts"), folder.path);
  const script = `
    import { openStore } from ${JSON.stringify(module)};
    const quiet = { info() {}, warn() {}, error() {} };
    const telemetry = { count() {}, gauge() {}, observe() {} };
    const place = { type: "file", path: ${JSON.stringify(join(folder.path, "massa.db"))} };
    const file = { waitingMax: 10, waitingBytesMax: 10000, commitMax: 10 };
    await using store = await openStore({ place, memory: { bytesMax: 1 }, file }, { log: quiet, telemetry, lost() {} });
    await store.values.put({ persistenceId: "a", entityId: "b" }, 0, { typeUrl: "t", value: new Uint8Array(3) });
    console.log(JSON.stringify(await store.values.get({ persistenceId: "a", entityId: "b" })));`;
  const said = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  assert.deepEqual(JSON.parse(said), { version: 1, value: { typeUrl: "t", value: { 0: 0, 1: 0, 2: 0 } } });
});

async function withStore(file: string, use: (store: Store) => Promise<void>): Promise<void> {
  await using store = await openEmbedded(file);
  await use(store);
}

/** What a database shell beside the proxy does. */
function shell<T>(file: string, use: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(file);
  try {
    return use(database);
  } finally {
    database.close();
  }
}

function overwrite(file: string, position: number, bytes: Uint8Array): void {
  const handle = openSync(file, "r+");
  writeSync(handle, bytes, 0, bytes.byteLength, position);
  closeSync(handle);
}
