import { existsSync, lstatSync, mkdirSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { MassaError } from "../core/errors.ts";
import { damaged, storeError } from "./embedded-errors.ts";
import { lockFile } from "./embedded-lock.ts";
import { migrate } from "./embedded-schema.ts";

/** Up to this size the structure of the whole file is checked when it is opened: about 0.1 s. */
const checkedBytesMax = 64 * 1024 * 1024;
/** How long a database shell may hold the file before a commit gives up. */
const busyTimeoutMs = 2_000;

/**
 * `synchronous FULL` is one fdatasync of the log per commit; `fullfsync` makes macOS do as much. The log is written back every
 * 16 MiB, and cut to 64 MiB when something large had made it longer.
 */
const pragmas = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA fullfsync = ON;
  PRAGMA checkpoint_fullfsync = ON;
  PRAGMA wal_autocheckpoint = 4096;
  PRAGMA journal_size_limit = 67108864;
  PRAGMA cache_size = -16384;
  PRAGMA trusted_schema = OFF;
`;

/** An open file that belongs to this process. */
export interface StoreFile extends Disposable {
  /** Its full path, links resolved. */
  readonly path: string;
  readonly database: DatabaseSync;
}

/**
 * Opens the file, or makes it with its directory, and brings its tables up to date. Throws a `MassaError` that names the file and
 * says what to do when it is held by another process, is no store, is of a newer version or damaged.
 */
export function openFile(named: string): StoreFile {
  let path = resolve(named);
  const opened: Disposable[] = [];
  try {
    path = place(path);
    const lock = lockFile(path);
    opened.push(lock);
    refuseOrphanedLog(path);
    const database = new DatabaseSync(path, { timeout: busyTimeoutMs });
    opened.push({ [Symbol.dispose]: () => database.close() });
    migrateAndCheck(database, path);
    return { path, database, [Symbol.dispose]: () => close(opened) };
  } catch (failure) {
    close(opened);
    throw storeError(failure, path);
  }
}

/** The lock goes last. */
function close(opened: Disposable[]): void {
  for (let part = opened.pop(); part; part = opened.pop()) part[Symbol.dispose]();
}

/** Two names of one file must find one lock, also of a file that is yet to be made. */
function place(path: string): string {
  makeDirectory(dirname(path));
  const stat = statSync(path, { throwIfNoEntry: false });
  const target = stat ? undefined : targetOf(path);
  if (target !== undefined) return place(resolve(dirname(path), target));
  if (stat && !stat.isFile()) {
    throw new MassaError(
      "invalid",
      `${path} is no file: let MASSA_STORE name one, such as file:${join(path, "massa.db")}`,
    );
  }
  return stat ? realpathSync(path) : join(realpathSync(dirname(path)), basename(path));
}

/** Where a link leads; undefined for what is none. */
function targetOf(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true ? readlinkSync(path) : undefined;
}

/** `recursive` of Node's would try for ever where a directory takes no other, as in /proc. */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  mkdirSync(path);
}

/** SQLite would delete the log of a file that is empty or gone, and with it what was committed last. */
function refuseOrphanedLog(path: string): void {
  const sizeOf = (name: string) => statSync(name, { throwIfNoEntry: false })?.size ?? 0;
  if (sizeOf(path) > 0 || sizeOf(`${path}-wal`) === 0) return;
  throw new MassaError(
    "internal",
    `${path} is empty or gone, but its log ${path}-wal is not: restore both from a backup, or move the log away to begin anew`,
  );
}

function migrateAndCheck(database: DatabaseSync, path: string): void {
  // Reads the header, before the first pragma would change it.
  database.prepare("SELECT count(*) FROM sqlite_schema").get();
  migrate(database, path);
  database.exec(pragmas);
  if (statSync(path).size > checkedBytesMax) return;
  const row = database.prepare("PRAGMA quick_check(1)").get();
  const answer = String(row?.["quick_check"]);
  if (answer !== "ok") throw damaged(path, answer.replaceAll("\n", " "));
}
