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
import { time } from "../domain/time.ts";
import { openDatabase } from "./database.ts";
import type { Entry, KeptEntry } from "./entry.ts";
import { fileAt, type Place, placeOf } from "./place.ts";

interface Sums {
  /** Entries, those put aside not counted. */
  depth: number;
  rejected: number;
  bytes: number;
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

export class Table {
  readonly #path: string;
  readonly #log: Logger;
  #open: Opened;
  /** What took the path and could not be used. Written by #beginAnew. */
  #unusable: string | undefined;
  /** The log has said that the file is not where it was. */
  #said = false;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
    this.#open = openAt(path, log);
  }

  /** As at a start: what is damaged is put aside, and a new file begun. */
  reopen(): void {
    const next = openAt(this.#path, this.#log);
    close(this.#open);
    this.#open = next;
  }

  /** Before a write that is to count. @throws when the file is not where it was and cannot be begun anew */
  keepInPlace(): void {
    const now = placeOf(this.#path);
    if (this.#open.place.every((file, part) => file === now[part])) return;
    const path = this.#path;
    if (!this.#said) this.#log.error({ path }, "journal was deleted or replaced while it is open, it is begun anew");
    this.#said = true;
    this.#beginAnew();
    this.#said = false;
  }

  add(entries: readonly Entry[]): void {
    const { database, insert } = this.#open;
    database.transaction(() => {
      for (const { kind, eventId, bodyHash, json, at } of entries) insert.run(kind, eventId, bodyHash, json, at);
    })();
  }

  ofEvent(eventId: string): KeptEntry[] {
    return this.#open.byEvent.all(eventId);
  }

  oldest(limit: number, after: number): KeptEntry[] {
    return this.#open.first.all(after, limit);
  }

  remove(entries: readonly KeptEntry[]): void {
    const { database, drop } = this.#open;
    database.transaction(() => {
      for (const { seq } of entries) drop.run(seq);
    })();
  }

  reject({ seq }: KeptEntry): void {
    this.#open.database.run("UPDATE entries SET rejected = 1 WHERE seq = ?", [seq]);
  }

  /** @throws when it cannot be written */
  touch(): void {
    this.#open.database.run("PRAGMA user_version = 0"); // a page that is written, whatever it was before
  }

  /** @param overhead bytes of an entry beside its texts */
  sums(overhead: number): Sums {
    const query = this.#open.database.query(
      `SELECT count(*) - coalesce(sum(rejected), 0) AS depth, coalesce(sum(rejected), 0) AS rejected,
         coalesce(sum(length(CAST(eventId AS BLOB)) + length(CAST(json AS BLOB)) + ${overhead}), 0) AS bytes
       FROM entries`,
    );
    return query.get() as Sums;
  }

  close(): void {
    close(this.#open);
  }

  #beginAnew(): void {
    const { database } = this.#open;
    this.#putCopyInPlace();
    const next = openAt(this.#path, this.#log);
    const [before, after] = [countIn(database), countIn(next.database)];
    if (before !== after) {
      this.#unusable = next.place[0];
      close(next);
      throw new Error(`of ${before} entries the new file has ${after}`);
    }
    close(this.#open);
    this.#open = next;
    this.#unusable = undefined;
    this.#log.warn({ entries: after }, "journal is begun anew, with all its entries");
  }

  #putCopyInPlace(): void {
    const { database, place } = this.#open;
    const path = this.#path;
    const copy = `${path}.new`;
    rmSync(copy, { force: true });
    database.run("VACUUM INTO ?", [copy]);
    sync(copy);
    const inTheWay = fileAt(path);
    if (inTheWay === place[0]) {
      database.run("PRAGMA wal_checkpoint(FULL)"); // it is good but for its WAL, which is removed now
    } else if (inTheWay !== undefined && inTheWay !== this.#unusable) {
      renameSync(path, `${path}.replaced-${time.epochMs()}`);
    }
    for (const part of ["-wal", "-shm"]) rmSync(`${path}${part}`, { force: true });
    renameSync(copy, path);
    this.#unusable = fileAt(path);
    sync(dirname(path));
  }
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
