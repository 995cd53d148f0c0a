/*
 * What the relay has taken and Redis has not been told yet. The fact is written to a local file while the first
 * settlement is on its way, so a worker that is killed before Redis has it knows after its restart, and does not
 * send again. Written survives kill -9; it is synced, to survive a power loss too, when that settlement has failed.
 * One row for a batch, which is removed with the next one when it is settled. A fact that is settled twice meets
 * the fence of its script and does no harm.
 */
import type { Database } from "bun:sqlite";
import { join } from "node:path";
import type { Logger } from "pino";
import { openDatabase } from "./database.ts";

interface SentFact {
  tag: string;
  rank: string;
  entryId: string;
  messageId: string;
  attempt: number;
  /** What the relay said. */
  reply: string;
}

/** Undefined: the disk could not take it. */
type BatchId = number | undefined;

export interface Outbox {
  /** Returns when they are written. A disk that cannot take them is logged, and the mail is settled all the same. */
  record(facts: readonly SentFact[]): BatchId;
  /** Returns when all that was recorded is on the disk. */
  sync(): void;
  /** All of it was settled. */
  forget(id: BatchId): void;
  /** What an earlier life of this worker left. */
  left(): { id: number; facts: SentFact[] }[];
  close(): void;
}

export function openOutbox(directory: string, log: Logger): Outbox {
  const database = openFile(directory, log);
  const insert = database.prepare("INSERT INTO batches (facts) VALUES (?)");
  const remove = database.prepare("DELETE FROM batches WHERE id = ?");
  let settled: number[] = [];

  const write = database.transaction((facts: readonly SentFact[]): BatchId => {
    for (const id of settled) remove.run(id);
    return facts.length === 0 ? undefined : Number(insert.run(textOf(facts)).lastInsertRowid);
  });

  function orLog<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      log.error({ err: error }, "outbox cannot be written");
      return undefined;
    }
  }

  function record(facts: readonly SentFact[]): BatchId {
    return orLog(() => {
      const id = write(facts);
      settled = [];
      return id;
    });
  }

  return {
    record,
    // It syncs the WAL before it copies it (sqlite.org/pragma.html#pragma_synchronous, NORMAL).
    sync: () => void orLog(() => database.run("PRAGMA wal_checkpoint(PASSIVE)")),
    forget(id) {
      if (id !== undefined) settled.push(id);
    },
    left() {
      const rows = database.query("SELECT id, facts FROM batches ORDER BY id").all() as { id: number; facts: string }[];
      return rows.map(({ id, facts }) => ({ id, facts: JSON.parse(facts) as SentFact[] }));
    },
    close() {
      if (settled.length > 0) record([]);
      database.close();
    },
  };
}

/** The fields of a fact alone, whatever else its object has. */
function textOf(facts: readonly SentFact[]): string {
  return JSON.stringify(
    facts.map(({ tag, rank, entryId, messageId, attempt, reply }) => ({
      tag,
      rank,
      entryId,
      messageId,
      attempt,
      reply,
    })),
  );
}

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS batches (id INTEGER PRIMARY KEY, facts TEXT NOT NULL);
`;

/** A disk without room must not keep the mail back: then the facts are in memory, which is said. */
function openFile(directory: string, log: Logger): Database {
  const probe = "SELECT sum(length(facts)) FROM batches";
  const file = { path: join(directory, "outbox.sqlite"), name: "outbox", schema: SCHEMA, probe };
  try {
    return openDatabase(file, log);
  } catch (error) {
    log.error({ err: error }, "outbox cannot be opened: what a kill -9 interrupts may be sent twice");
    return openDatabase({ ...file, path: ":memory:" }, log);
  }
}
