/* The worker's view of the service's journal: a rollback that waits there wins already. */
import { Database, type Statement } from "bun:sqlite";
import { existsSync } from "node:fs";
import { BUSY_TIMEOUT } from "./database.ts";
import { journalFile } from "./journal.ts";

export interface RollbackReader {
  /**
   * Was this event rolled back while Redis was away, and is Redis not told yet? Nor will it ever be of one that was put
   * aside. Throws when that cannot be read.
   */
  isRolledBack(eventId: string): boolean;
  close(): void;
}

/** Nothing is rolled back as long as there is no journal: the service may be on another machine. */
export function openRollbackReader(directory: string): RollbackReader {
  const file = journalFile(directory);
  let open: { database: Database; statement: Statement<unknown, [string]> } | undefined;

  function opened(): typeof open {
    if (open !== undefined || !existsSync(file)) return open;
    const database = new Database(file, { readonly: true });
    try {
      database.run(BUSY_TIMEOUT);
      const statement: Statement<unknown, [string]> = database.prepare(
        "SELECT 1 FROM entries WHERE kind = 'rollback' AND eventId = ? LIMIT 1",
      );
      open = { database, statement };
      return open;
    } catch (error) {
      database.close();
      if (String(error).includes("no such table")) return undefined; // it is being made
      throw error;
    }
  }

  return {
    isRolledBack: (eventId) => opened()?.statement.get(eventId) != null,
    close: () => open?.database.close(),
  };
}
