/*
 * What the relay has taken and Redis has not been told yet. The fact is synced to the local disk while the first
 * settlement is on its way, so a worker that is killed before Redis has it knows after its restart, and does not
 * send again.
 * One transaction, so one sync, for a batch; facts that were settled are removed with the next one. A fact that
 * is settled twice meets the fence of its script and does no harm.
 */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import type { Logger } from "pino";

interface SentFact {
  tag: string;
  rank: string;
  entryId: string;
  messageId: string;
  attempt: number;
  /** What the relay said. */
  reply: string;
}

export interface Outbox {
  /** Returns when they are on the disk. A disk that cannot take them is logged, and the mail is settled all the same. */
  record(facts: readonly SentFact[]): void;
  /** They were settled. */
  forget(facts: readonly SentFact[]): void;
  /** What an earlier life of this worker left. */
  left(): SentFact[];
  close(): void;
}

export function openOutbox(directory: string, log: Logger): Outbox {
  const database = openDatabase(join(directory, "outbox.sqlite"), log);
  const insert = database.prepare(
    "INSERT OR REPLACE INTO facts (messageId, attempt, tag, rank, entryId, reply) VALUES (?, ?, ?, ?, ?, ?)",
  );
  const remove = database.prepare("DELETE FROM facts WHERE messageId = ? AND attempt = ?");
  let settled: SentFact[] = [];

  const write = database.transaction((facts: readonly SentFact[]) => {
    for (const { messageId, attempt } of settled) remove.run(messageId, attempt);
    for (const { messageId, attempt, tag, rank, entryId, reply } of facts) {
      insert.run(messageId, attempt, tag, rank, entryId, reply);
    }
  });

  function record(facts: readonly SentFact[]): void {
    try {
      write(facts);
      settled = [];
    } catch (error) {
      log.error({ err: error }, "outbox cannot be written");
    }
  }

  return {
    record,
    forget(facts) {
      settled.push(...facts);
    },
    left: () => database.query("SELECT * FROM facts").all() as SentFact[],
    close() {
      if (settled.length > 0) record([]);
      database.close();
    },
  };
}

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS facts (
    messageId TEXT NOT NULL, attempt INTEGER NOT NULL, tag TEXT NOT NULL, rank TEXT NOT NULL,
    entryId TEXT NOT NULL, reply TEXT NOT NULL, PRIMARY KEY (messageId, attempt)) WITHOUT ROWID;
`;

/** A disk without room must not keep the mail back: then the facts are in memory, which is said. */
function openDatabase(file: string, log: Logger): Database {
  try {
    return open(file);
  } catch (error) {
    log.error({ err: error }, "outbox cannot be opened: what a kill -9 interrupts may be sent twice");
    return open(":memory:");
  }
}

function open(file: string): Database {
  const database = new Database(file, { create: true, strict: true });
  database.run(SCHEMA);
  return database;
}
