import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { realWorld } from "../core/world.ts";
import { storeError } from "./embedded-errors.ts";
import { openFile, type StoreFile } from "./embedded-file.ts";
import { type Answer, type FromThread, plainError, type Read, type ToThread } from "./embedded-messages.ts";
import { StoreTables } from "./embedded-tables.ts";

interface ThreadData {
  readonly massaStore: string;
}

/**
 * Starts the thread that has the file, where a slow disk holds up nobody else. It says `opened` or `refused` first. This module is
 * its own worker, so that it is found in a bundle too.
 */
export function startThread(file: string): Worker {
  const data: ThreadData = { massaStore: file };
  return new Worker(new URL(import.meta.url), { workerData: data, name: "massa-store", execArgv: [] });
}

type Port = NonNullable<typeof parentPort>;

function serve(port: Port, named: string): void {
  const say = (message: FromThread) => port.postMessage(message);
  let file: StoreFile;
  let tables: StoreTables;
  try {
    file = openFile(named);
    tables = new StoreTables(file.database);
  } catch (failure) {
    say({ type: "refused", error: plainError(storeError(failure, named)) });
    port.close();
    return;
  }
  port.on("message", (message: ToThread) => {
    switch (message.type) {
      case "commit":
        return say(commit(tables, file.path, message.writes));
      case "read":
        return say({ type: "answers", answers: message.reads.map((read) => answer(tables, file.path, read)) });
      case "close":
        say({ type: "closed", error: close(file) });
        return port.close();
    }
  });
  say({ type: "opened", path: file.path });
}

function commit(tables: StoreTables, path: string, writes: Parameters<StoreTables["commit"]>[0]): FromThread {
  const { clock } = realWorld;
  const begin = clock.monotonic();
  try {
    const conflicts = tables.commit(writes);
    return { type: "committed", conflicts, seconds: (clock.monotonic() - begin) / 1_000 };
  } catch (failure) {
    return { type: "failed", error: plainError(storeError(failure, path)) };
  }
}

function answer(tables: StoreTables, path: string, read: Read): Answer {
  try {
    return { value: ask(tables, read) };
  } catch (failure) {
    return { error: plainError(storeError(failure, path)) };
  }
}

function ask(tables: StoreTables, read: Read): unknown {
  switch (read.type) {
    case "value":
      return tables.value(read.key);
    case "head":
      return tables.head(read.key);
    case "events":
      return tables.events(read.key, read.afterSequence, read.max);
    case "log":
      return tables.log(read.persistenceId, read.afterOffset, read.max);
    case "offset":
      return tables.offset(read.consumer);
    case "message":
      return tables.hasMessage(read.record);
  }
}

function close(file: StoreFile) {
  try {
    file[Symbol.dispose]();
    return undefined;
  } catch (failure) {
    return plainError(storeError(failure, file.path));
  }
}

/** Another program may run the proxy in a worker of its own, and that one is no thread of ours. */
function dataOf(data: unknown): ThreadData | undefined {
  return typeof data === "object" && data !== null && "massaStore" in data ? (data as ThreadData) : undefined;
}

const data = isMainThread ? undefined : dataOf(workerData);
if (data && parentPort) serve(parentPort, data.massaStore);
