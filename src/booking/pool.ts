/*
 * Postgres and MySQL through Bun.SQL. Each question has one of at most four connections to itself, so that one that
 * hangs holds up no other, and can be cut off alone:
 *   Postgres  the server is told to cancel, and the connection goes back to the pool once it has said that it did
 *   MySQL     Bun cannot cancel: the connection is closed, and the server may run the statement to its end. Its own
 *             limit can stand in the query: SET STATEMENT max_statement_time=2 FOR SELECT … on MariaDB, the hint
 *             MAX_EXECUTION_TIME(2000) on MySQL
 * A server that says nothing at all loses the connection, too. Nothing is opened before the first question. A
 * connection that broke is replaced by the next question; the one that it broke under is answered with the fault.
 */
import { type ReservedSQL, SQL } from "bun";
import { within } from "../domain/time.ts";
import { withDeadline } from "./deadline.ts";
import type { ServerAddress } from "./sqlUrl.ts";

export type Row = Record<string, unknown>;

export interface Database {
  /** @throws Error with the database's own words, or "no answer within … ms" */
  rowsFor(bookingId: string): Promise<Row[]>;
  /** Waits for nothing that runs. */
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 4;

/** How long a server may take to say that it cancelled. */
const CANCEL_MS = 1_000;

/** SQLSTATE */
const QUERY_CANCELED = "57014";

/** Below what firewalls and poolers forget a silent connection after. */
const IDLE_S = 60;

/** After a failover, so long at most does a connection stay with a server that is the wrong one now. */
const LIFETIME_S = 600;

/** @param query one statement with one parameter; the id is bound to it by the database, never written into it */
export function openPool(address: ServerAddress, query: string, timeoutMs: number): Database {
  const postgres = address.kind === "postgres";
  const pool = new SQL(address.url, {
    max: MAX_CONNECTIONS,
    connectionTimeout: timeoutMs / 1_000,
    idleTimeout: IDLE_S,
    maxLifetime: LIFETIME_S,
    // Else PGDATABASE or MYSQL_DATABASE of the environment would win over the URL.
    ...(address.database !== undefined && { database: address.database }),
    // A named statement breaks behind a transaction pooler, and when a column's type is altered.
    ...(postgres && { prepare: false }),
  });
  const freeing = new Set<Promise<void>>();

  async function cutOff(connection: ReservedSQL, statement: SQL.Query<Row[]>): Promise<void> {
    if (postgres) {
      statement.cancel();
      if (await wasCancelled(statement)) return connection.release();
    }
    await connection.close({ timeout: 0 });
  }

  function free(connection: ReservedSQL, statement: SQL.Query<Row[]>): void {
    const done: Promise<void> = cutOff(connection, statement)
      .catch(() => undefined) // it is gone already
      .finally(() => freeing.delete(done));
    freeing.add(done);
  }

  return {
    rowsFor: (bookingId) =>
      withDeadline(timeoutMs, async (signal) => {
        const connection = await pool.reserve({ signal });
        if (signal.aborted) {
          await connection.release();
          throw signal.reason;
        }
        const statement = connection.unsafe<Row[]>(query, [bookingId]);
        const late = () => free(connection, statement);
        signal.addEventListener("abort", late);
        try {
          return [...(await statement)];
        } finally {
          signal.removeEventListener("abort", late);
          if (!signal.aborted) await connection.release();
        }
      }),
    async close() {
      await pool.close({ timeout: 0 });
      await Promise.all(freeing);
    },
  };
}

/**
 * False when the connection said nothing: who knows what it would answer to the next question. False, too, when the
 * statement ended by itself just then: the cancel is still on its way, and would hit the next one.
 */
async function wasCancelled(statement: SQL.Query<Row[]>): Promise<boolean> {
  const cancelled = statement.then(
    () => false,
    (error: unknown) => error instanceof SQL.PostgresError && error.errno === QUERY_CANCELED,
  );
  return (await within(CANCEL_MS, cancelled)) ?? false;
}
