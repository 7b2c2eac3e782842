import { MassaError } from "../core/errors.ts";

/** Primary result codes of SQLite (https://www.sqlite.org/rescode.html). */
const codes = { busy: 5, readOnly: 8, io: 10, corrupt: 11, full: 13, cantOpen: 14, notDatabase: 26 };

/** What is in the file contradicts itself; the message says how. */
export class Contradiction extends Error {}

/** Whether another connection holds the lock that was wanted. */
export function isBusy(failure: unknown): boolean {
  return primaryCode(failure) === codes.busy;
}

/** Brings what SQLite or the file system threw into the family: what happened to which file, and what to do about it. */
export function storeError(failure: unknown, file: string): MassaError {
  if (failure instanceof MassaError) return failure;
  const reason = failure instanceof Error ? failure.message : String(failure);
  if (failure instanceof Contradiction) return damaged(file, reason, failure);
  const unavailable = (text: string) => new MassaError("unavailable", text, { cause: failure });
  switch (primaryCode(failure)) {
    case codes.busy:
      return unavailable(`${file} is held by another program, such as a database shell in a transaction: end that`);
    case codes.full:
      return unavailable(`no room on the disk for ${file}: make some; nothing of the write was kept`);
    case codes.io:
      return unavailable(`the disk of ${file} fails or is full (${reason}): see to it; nothing of the write was kept`);
    case codes.readOnly:
    case codes.cantOpen:
      return unavailable(`${file} cannot be opened for writing (${reason}): check the path and its permissions`);
    case codes.notDatabase:
      return new MassaError(
        "invalid",
        `${file} is no database: let MASSA_STORE name another file, or restore a backup`,
        { cause: failure },
      );
    case codes.corrupt:
      return damaged(file, reason, failure);
    case undefined:
      return isFileSystem(failure)
        ? unavailable(`${file} cannot be opened: ${reason}`)
        : new MassaError("internal", `the store failed: ${reason}`, { cause: failure });
    default:
      return unavailable(`${file} cannot be used: ${reason}`);
  }
}

/** What is in the file cannot be trusted. Nothing is repaired or deleted by itself. */
export function damaged(file: string, reason: string, cause?: unknown): MassaError {
  return new MassaError(
    "internal",
    `${file} is damaged (${reason}): stop, keep a copy of it with its -wal file, and restore a backup or try ` +
      `\`sqlite3 ${file} .recover\``,
    { cause },
  );
}

function primaryCode(failure: unknown): number | undefined {
  if (!(failure instanceof Error) || !("errcode" in failure) || typeof failure.errcode !== "number") return undefined;
  return failure.errcode & 0xff;
}

function isFileSystem(failure: unknown): boolean {
  return failure instanceof Error && "syscall" in failure;
}
