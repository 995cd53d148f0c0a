/*
 * SQLite through Bun.SQL. The file is opened for each question, read-only, and closed again (a tenth of a
 * millisecond): nothing is held between two questions, a file that was replaced is seen, one that is not there yet
 * is no reason to fail at start. A file that is locked by a commit is asked again until the time is up.
 *
 * SQLite runs in this process, and no statement of it can be cut off: the time limit is for the lock alone. A query
 * that finds its row by an index takes microseconds.
 */
import { SQL } from "bun";
import { sleep, time } from "../domain/time.ts";
import type { Database, Row } from "./pool.ts";
import type { FileAddress } from "./sqlUrl.ts";

const BUSY_RETRY_MS = 20;

export function openFile(address: FileAddress, query: string, timeoutMs: number): Database {
  return {
    async rowsFor(bookingId) {
      const deadline = time.monotonicMs() + timeoutMs;
      for (;;) {
        try {
          return await askOnce(address.filename, query, bookingId);
        } catch (error) {
          if (!isBusy(error) || time.monotonicMs() + BUSY_RETRY_MS > deadline) throw error;
        }
        await sleep(BUSY_RETRY_MS);
      }
    },
    close: () => Promise.resolve(),
  };
}

async function askOnce(filename: string, query: string, bookingId: string): Promise<Row[]> {
  const file = new SQL({ adapter: "sqlite", filename, readonly: true });
  try {
    return [...(await file.unsafe<Row[]>(query, [bookingId]))];
  } finally {
    await file.close();
  }
}

/** SQLITE_BUSY and its extended codes, such as SQLITE_BUSY_SNAPSHOT. */
function isBusy(error: unknown): boolean {
  return error instanceof SQL.SQLiteError && error.code.startsWith("SQLITE_BUSY");
}
