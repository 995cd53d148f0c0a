/* A SQLite file on the local disk. One that is damaged is put aside for a person, and a new one is begun. */
import { Database } from "bun:sqlite";
import { existsSync, renameSync } from "node:fs";
import type { Logger } from "pino";

export interface DatabaseFile {
  path: string;
  /** For the log: "journal". */
  name: string;
  /** Makes the tables, where they are not there yet. */
  schema: string;
  /** Reads all that must be readable. */
  probe: string;
}

const DAMAGED = /^SQLITE_(?:NOTADB|CORRUPT)/;

/** Throws what is no damage, a full disk say: the file is good, and must not be left for it. */
export function openDatabase(file: DatabaseFile, log: Logger): Database {
  try {
    return open(file);
  } catch (error) {
    if (!DAMAGED.test(String((error as { code?: unknown }).code))) throw error;
    const aside = `${file.path}.unreadable-${Date.now()}`;
    log.error({ err: error, keptAs: aside }, `${file.name} cannot be read, a new one is begun`);
    // With its WAL, which holds the newest entries: SQLite deletes one that it finds beside a new file.
    for (const part of ["-wal", "-shm", ""]) {
      if (existsSync(`${file.path}${part}`)) renameSync(`${file.path}${part}`, `${aside}${part}`);
    }
    return open(file);
  }
}

function open({ path, schema, probe }: DatabaseFile): Database {
  const database = new Database(path, { create: true, strict: true });
  try {
    database.run(schema);
    database.query(probe).all();
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}
