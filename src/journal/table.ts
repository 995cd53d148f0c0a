/*
 * The journal's file, and all that is asked of it. Who deletes or replaces the file, its WAL or the index of that while
 * it is open, takes it from everybody but us: what is written then dies with this process. So the file is begun anew:
 *   1. All that the open one holds is copied, synced.
 *   2. What stands in the way at the path is put aside, and a WAL of the old file removed: SQLite would read it into
 *      the new one.
 *   3. The copy takes the path and is opened; only then the old one is closed.
 * A kill before the copy has taken the path leaves no less than one before all this. When a step fails, the old one
 * stays open, and the next caller tries again.
 */
import type { Database, Statement } from "bun:sqlite";
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Logger } from "pino";
import { openDatabase } from "./database.ts";
import type { Entry, KeptEntry } from "./journal.ts";
import { fileAt, type Place, placeOf } from "./place.ts";

interface Sums {
  /** Entries, those put aside not counted. */
  depth: number;
  rejected: number;
  bytes: number;
}

interface Table {
  /** As at a start: what is damaged is put aside, and a new file begun. */
  reopen(): void;
  /** Before a write that is to count. Throws when the file is not where it was and cannot be begun anew. */
  keepInPlace(): void;
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
  place: Place;
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
  let open = openAt(path, log);
  /** What took the path and could not be used. */
  let unusable: string | undefined;
  let said = false;

  function beginAnew(): void {
    const { database, place } = open;
    const copy = `${path}.new`;
    rmSync(copy, { force: true });
    database.run("VACUUM INTO ?", [copy]);
    sync(copy);
    const inTheWay = fileAt(path);
    if (inTheWay === place[0]) {
      database.run("PRAGMA wal_checkpoint(FULL)"); // it is good but for its WAL, which is removed now
    } else if (inTheWay !== undefined && inTheWay !== unusable) {
      renameSync(path, `${path}.replaced-${Date.now()}`);
    }
    for (const part of ["-wal", "-shm"]) rmSync(`${path}${part}`, { force: true });
    renameSync(copy, path);
    unusable = fileAt(path);
    sync(dirname(path));
    const next = openAt(path, log);
    const [before, after] = [countIn(database), countIn(next.database)];
    if (before !== after) {
      unusable = next.place[0];
      close(next);
      throw new Error(`of ${before} entries the new file has ${after}`);
    }
    close(open);
    open = next;
    unusable = undefined;
    log.warn({ entries: after }, "journal is begun anew, with all its entries");
  }

  return {
    reopen() {
      const next = openAt(path, log);
      close(open);
      open = next;
    },
    keepInPlace() {
      const now = placeOf(path);
      if (open.place.every((file, part) => file === now[part])) return;
      if (!said) log.error({ path }, "journal was deleted or replaced while it is open, it is begun anew");
      said = true;
      beginAnew();
      said = false;
    },
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
  const database = openDatabase(path, SCHEMA, log);
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
    place: placeOf(path),
  };
}

/** SQLite leaves the WAL at the path, which is another file's by now, when the path does not name this file. */
function close({ database, insert, byEvent, first, drop }: Opened): void {
  for (const statement of [insert, byEvent, first, drop]) statement.finalize(); // or it would stay open
  database.close();
}

function countIn(database: Database): number {
  return (database.query("SELECT count(*) AS entries FROM entries").get() as { entries: number }).entries;
}

function sync(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
