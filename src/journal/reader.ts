/*
 * The worker's view of the service's journal: a rollback that waits there wins already. One that has just left it is in
 * Redis, so who took a message before must ask there. The service may begin a new file meanwhile, so each answer looks
 * first which one the path names. While it names none, the one that is open holds all there is: the service has that one
 * too, or is not there.
 */
import { Database, type Statement } from "bun:sqlite";
import type { Logger } from "pino";
import { time } from "../domain/time.ts";
import { BUSY_TIMEOUT } from "./database.ts";
import { journalFile } from "./journal.ts";
import { type Place, placeOf } from "./place.ts";

export interface RollbackReader {
  /**
   * Was this event rolled back while Redis was away, and is Redis not told yet? Nor will it ever be of one that was put
   * aside. Throws when that cannot be read.
   */
  isRolledBack(eventId: string): boolean;
  /**
   * Whether a rollback may have left the journal since then, for Redis: as far as the last answer of isRolledBack has seen.
   * @param at time.monotonicMs()
   */
  hasChangedSince(at: number): boolean;
  close(): void;
}

interface Answer {
  found: 0 | 1;
  /** Of what others have written. https://www.sqlite.org/pragma.html#pragma_data_version */
  version: number;
}

interface Open {
  database: Database;
  statement: Statement<Answer, [string]>;
  seenVersion: number | undefined;
  /** From before it was opened: where that has changed meanwhile, it is opened once more than needed. */
  place: Place;
}

/** One look at both: a rollback that had left before it has changed the version. */
const ASK = `
  SELECT EXISTS (SELECT 1 FROM entries WHERE kind = 'rollback' AND eventId = ?) AS found, data_version AS version
  FROM pragma_data_version`;

/** Nothing is rolled back as long as there is no journal: the service may be on another machine. */
export function openRollbackReader(directory: string, log: Logger): RollbackReader {
  const file = journalFile(directory);
  let open: Open | undefined;
  let failed = false;
  /** When a change was noticed last, time.monotonicMs(). */
  let changedAt = Number.NEGATIVE_INFINITY;

  function opened(): Open | undefined {
    const place = placeOf(file);
    if (place[0] === undefined || (open !== undefined && !isElsewhere(open.place, place))) return open;
    if (open !== undefined && open.place[0] !== place[0]) log.warn("journal is another file now, that one is read");
    close();
    const database = new Database(file, { readonly: true });
    try {
      database.run(BUSY_TIMEOUT);
      const statement: Statement<Answer, [string]> = database.prepare(ASK);
      open = { database, statement, seenVersion: undefined, place };
      return open;
    } catch (error) {
      database.close();
      if (String(error).includes("no such table")) return undefined; // it is being made
      throw error;
    }
  }

  function close(): void {
    open?.statement.finalize(); // or the file would stay open
    open?.database.close();
    open = undefined;
  }

  return {
    isRolledBack(eventId) {
      try {
        const file = opened();
        const answer = file?.statement.get(eventId);
        if (file !== undefined && answer?.version !== file.seenVersion) {
          file.seenVersion = answer?.version;
          changedAt = time.monotonicMs();
        }
        if (failed) log.warn("journal can be read again");
        failed = false;
        return answer?.found === 1;
      } catch (error) {
        if (!failed) log.error({ err: error }, "journal cannot be read for rollbacks, no mail is sent meanwhile");
        failed = true;
        close();
        throw error;
      }
    },
    hasChangedSince: (at) => changedAt >= at,
    close,
  };
}

/** A path that names none says nothing: what is open is all there is. */
function isElsewhere(opened: Place, now: Place): boolean {
  return now.some((file, part) => file !== undefined && file !== opened[part]);
}
