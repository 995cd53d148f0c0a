/*
 * One owner for a role in DATA_DIR. SQLite holds an operating-system lock that ends with the process, also
 * on kill -9, so no stale pid file has to be guessed at, and a successor can wait for its predecessor.
 */
import { Database } from "bun:sqlite";
import { join } from "node:path";

export interface DirectoryLock {
  release(): void;
}

/** Undefined when another process holds it. */
export function lockDirectory(directory: string, role: string): DirectoryLock | undefined {
  const file = join(directory, `${role}.lock`);
  let database: Database | undefined;
  try {
    database = new Database(file, { create: true });
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    database.run("PRAGMA journal_mode = MEMORY");
    database.run("BEGIN EXCLUSIVE");
    database.run("CREATE TABLE IF NOT EXISTS held (since TEXT)");
  } catch (error) {
    database?.close();
    if (error instanceof Error && (error as { code?: string }).code === "SQLITE_BUSY") return undefined;
    throw new Error(`cannot lock ${file}`, { cause: error });
  }
  return { release: () => database.close() };
}
