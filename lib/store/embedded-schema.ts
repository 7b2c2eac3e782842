import type { DatabaseSync } from "node:sqlite";
import { MassaError } from "../core/errors.ts";

/** What the header of the file says it belongs to: "MSSA". */
const applicationId = 0x4d535341;

/**
 * Each brings the file one version on; what was released is never changed again. A row of `events` is never updated, and its
 * `log_offset` is greater than that of every event before it.
 */
const migrations: readonly string[] = [
  `
  CREATE TABLE value_entities (
    persistence_id TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    type_url TEXT,
    payload BLOB,
    PRIMARY KEY (persistence_id, entity_id)
  ) STRICT;
  CREATE TABLE events (
    log_offset INTEGER PRIMARY KEY AUTOINCREMENT,
    persistence_id TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    type_url TEXT NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (persistence_id, entity_id, sequence)
  ) STRICT;
  CREATE INDEX events_by_log ON events (persistence_id);
  CREATE TABLE snapshots (
    persistence_id TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    type_url TEXT NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (persistence_id, entity_id)
  ) STRICT;
  CREATE TABLE consumer_offsets (
    consumer TEXT NOT NULL PRIMARY KEY,
    log_offset TEXT NOT NULL
  ) STRICT;
  CREATE TABLE inbox (
    subscription TEXT NOT NULL,
    message_id TEXT NOT NULL,
    PRIMARY KEY (subscription, message_id)
  ) STRICT, WITHOUT ROWID;
  `,
];

/** Brings an empty or older file to the newest version. Throws `invalid` for another program's database and for a newer version. */
export function migrate(database: DatabaseSync, file: string): void {
  const owner = numberOf(database, "PRAGMA application_id");
  const isEmpty = numberOf(database, "SELECT count(*) FROM sqlite_schema") === 0;
  if (owner !== applicationId && !isEmpty) {
    throw new MassaError("invalid", `${file} is another program's database: let MASSA_STORE name a file of its own`);
  }
  const version = numberOf(database, "PRAGMA user_version");
  if (version > migrations.length) {
    throw new MassaError(
      "invalid",
      `${file} was written by a newer massa (version ${version} of its tables, this one knows ${migrations.length}): ` +
        `run that one, or restore a backup from before`,
    );
  }
  for (const [index, migration] of migrations.entries()) {
    if (index < version) continue;
    database.exec(
      `BEGIN IMMEDIATE; ${migration}; PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${index + 1}; COMMIT;`,
    );
  }
}

function numberOf(database: DatabaseSync, sql: string): number {
  return Number(Object.values(database.prepare(sql).get() ?? {})[0]);
}
