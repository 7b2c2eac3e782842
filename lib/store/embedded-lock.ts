import { hostname } from "node:os";
import { DatabaseSync } from "node:sqlite";
import { MassaError } from "../core/errors.ts";
import { isBusy } from "./embedded-errors.ts";

/** A rival may be between its two transactions: it is asked again so often before the answer is believed. */
const attemptsMax = 5;

/**
 * Takes the file for this process until the result is closed or the process ends, however it ends. Throws `unavailable` with
 * the holder's process id and host. The lock is a reserved lock on a small database beside it: the system gives it up with the
 * process, readers still see who holds it, and the file itself stays open to a database shell.
 */
export function lockFile(file: string): Disposable {
  const path = `${file}.lock`;
  const database = new DatabaseSync(path, { timeout: 100 });
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        hold(database);
        return { [Symbol.dispose]: () => database.close() };
      } catch (failure) {
        if (database.isTransaction) database.exec("ROLLBACK");
        if (!isBusy(failure)) throw failure;
        if (attempt === attemptsMax) {
          throw new MassaError(
            "unavailable",
            `${file} is in use by ${holderOf(database)}; one proxy at a time may open it`,
            {
              cause: failure,
            },
          );
        }
      }
    }
  } catch (failure) {
    database.close();
    throw failure;
  }
}

/** Between the two transactions another one may come first; then the second fails, and the other's name stands there. */
function hold(database: DatabaseSync): void {
  database.exec("BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS holder (pid INTEGER, host TEXT); DELETE FROM holder;");
  database.prepare("INSERT INTO holder VALUES (?, ?)").run(process.pid, hostname());
  database.exec("COMMIT; BEGIN IMMEDIATE;");
}

function holderOf(database: DatabaseSync): string {
  const row = database.prepare("SELECT pid, host FROM holder").get();
  return row ? `process ${String(row["pid"])} on host ${String(row["host"])}` : "another process";
}
