/* The journal's file, and all that is asked of it. */
import type { Database, Statement } from "bun:sqlite";
import type { Logger } from "pino";
import { openDatabase } from "./database.ts";
import type { Entry, KeptEntry } from "./journal.ts";

interface Sums {
  /** Entries, those put aside not counted. */
  depth: number;
  rejected: number;
  bytes: number;
}

interface Table {
  add(entries: readonly Entry[]): void;
  ofEvent(eventId: string): KeptEntry[];
  oldest(limit: number, after: number): KeptEntry[];
  remove(entries: readonly KeptEntry[]): void;
  reject(entry: KeptEntry): void;
  /** Throws when it cannot be written. */
  touch(): void;
  /** @param overhead bytes of an entry beside its texts */
  sums(overhead: number): Sums;
  close(): void;
}

interface Opened {
  database: Database;
  insert: Statement;
  byEvent: Statement<KeptEntry, [string]>;
  first: Statement<KeptEntry, [number, number]>;
  drop: Statement;
}

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, eventId TEXT NOT NULL, bodyHash TEXT NOT NULL, json TEXT NOT NULL, at INTEGER NOT NULL,
    rejected INTEGER NOT NULL DEFAULT 0);
  CREATE INDEX IF NOT EXISTS entries_by_event ON entries (eventId);
  CREATE INDEX IF NOT EXISTS entries_by_kind ON entries (kind, eventId);
`;

export function openTable(path: string, log: Logger): Table {
  const open = openAt(path, log);

  return {
    add(entries) {
      open.database.transaction(() => {
        for (const { kind, eventId, bodyHash, json, at } of entries) open.insert.run(kind, eventId, bodyHash, json, at);
      })();
    },
    ofEvent: (eventId) => open.byEvent.all(eventId),
    oldest: (limit, after) => open.first.all(after, limit),
    remove(entries) {
      open.database.transaction(() => {
        for (const { seq } of entries) open.drop.run(seq);
      })();
    },
    reject: ({ seq }) => void open.database.run("UPDATE entries SET rejected = 1 WHERE seq = ?", [seq]),
    touch: () => void open.database.run("PRAGMA user_version = 0"), // a page that is written, whatever it was before
    sums: (overhead) =>
      open.database
        .query(
          `SELECT count(*) - coalesce(sum(rejected), 0) AS depth, coalesce(sum(rejected), 0) AS rejected,
             coalesce(sum(length(CAST(eventId AS BLOB)) + length(CAST(json AS BLOB)) + ${overhead}), 0) AS bytes
           FROM entries`,
        )
        .get() as Sums,
    close: () => close(open),
  };
}

function openAt(path: string, log: Logger): Opened {
  const database = openDatabase({ path, name: "journal", schema: SCHEMA }, log);
  return {
    database,
    insert: database.prepare("INSERT INTO entries (kind, eventId, bodyHash, json, at) VALUES (?, ?, ?, ?, ?)"),
    byEvent: database.prepare(
      "SELECT seq, kind, eventId, bodyHash, json, at FROM entries WHERE eventId = ? AND NOT rejected ORDER BY seq",
    ),
    first: database.prepare(
      "SELECT seq, kind, eventId, bodyHash, json, at FROM entries WHERE seq > ? AND NOT rejected ORDER BY seq LIMIT ?",
    ),
    drop: database.prepare("DELETE FROM entries WHERE seq = ?"),
  };
}

function close({ database, insert, byEvent, first, drop }: Opened): void {
  for (const statement of [insert, byEvent, first, drop]) statement.finalize(); // or it would stay open
  database.close();
}
