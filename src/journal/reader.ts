/* The worker's view of the service's journal: a rollback that waits there wins already. */
import { Database, type Statement } from "bun:sqlite";
import { existsSync } from "node:fs";
import { journalFile } from "./journal.ts";

export interface RollbackReader {
  /** Was this event rolled back while Redis was away, and is Redis not told yet? */
  isRolledBack(eventId: string): boolean;
  close(): void;
}

/** Nothing is rolled back as long as there is no journal: the service may be on another machine. */
export function openRollbackReader(directory: string): RollbackReader {
  const file = journalFile(directory);
  let database: Database | undefined;
  let statement: Statement<unknown, [string]> | undefined;

  function prepared(): Statement<unknown, [string]> | undefined {
    if (statement === undefined && existsSync(file)) {
      database = new Database(file, { readonly: true });
      statement = database.prepare("SELECT 1 FROM entries WHERE kind = 'rollback' AND eventId = ? LIMIT 1");
    }
    return statement;
  }

  return {
    isRolledBack: (eventId) => prepared()?.get(eventId) != null,
    close: () => database?.close(),
  };
}
