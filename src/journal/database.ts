/* A SQLite file on the local disk. One that is damaged is put aside for a person, and a new one is begun. */
import { Database } from "bun:sqlite";
import { existsSync, renameSync } from "node:fs";
import type { Logger } from "pino";
import { time } from "../domain/time.ts";

/**
 * The worker reads the file meanwhile, and who opens or closes it has it for a moment. Without this a write that falls
 * into that moment fails.
 */
export const BUSY_TIMEOUT = "PRAGMA busy_timeout = 250";

export function isDamage(error: unknown): boolean {
  return /^SQLITE_(?:NOTADB|CORRUPT)/.test(String((error as { code?: unknown }).code));
}

/**
 * Throws what is no damage, a full disk say: the file is good, and must not be left for it.
 * @param schema makes the tables, where they are not there yet
 */
export function openDatabase(path: string, schema: string, log: Logger): Database {
  try {
    return open(path, schema);
  } catch (error) {
    if (!isDamage(error)) {
      throw new Error(`journal ${path} cannot be opened: ${(error as Error).message}`, { cause: error });
    }
    const aside = `${path}.unreadable-${time.epochMs()}`;
    log.error({ err: error, keptAs: aside }, "journal cannot be read, a new one is begun");
    // With its WAL, which holds the newest entries: SQLite deletes one that it finds beside a new file.
    for (const part of ["-wal", "-shm", ""]) {
      if (existsSync(`${path}${part}`)) renameSync(`${path}${part}`, `${aside}${part}`);
    }
    return open(path, schema);
  }
}

function open(path: string, schema: string): Database {
  const database = new Database(path, { create: true, strict: true });
  try {
    database.run(BUSY_TIMEOUT);
    database.run(schema);
    // Reads every page: a query may be answered from an index, and not see a damaged page of the table.
    const { quick_check: found } = database.query("PRAGMA quick_check(1)").get() as { quick_check: string };
    if (found !== "ok") throw Object.assign(new Error(found), { code: "SQLITE_CORRUPT" });
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}
