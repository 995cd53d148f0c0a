/*
 * The team's own database, asked with the team's own query. The booking id is its only parameter, and is bound by
 * the database: whatever an event has in it stays one value.
 *   no row                                      not_found
 *   one row: its column `status`, or its first  paid, pending or cancelled
 *   several rows, another value, any fault      unavailable, with the value or the database's words as the reason
 *
 * Compare text with text. Where the column is a number, MySQL makes a number of the id, and takes the booking 1 for
 * the id "1x": write `WHERE CAST(id AS CHAR) = ?`. Postgres refuses such an id, which is a fault each time: write
 * `WHERE id::text = $1`.
 */
import { type Database, openPool, type Row } from "./pool.ts";
import { openFile } from "./sqlite.ts";
import { checkSqlQuery, parseSqlUrl } from "./sqlUrl.ts";
import { faultOf, readStatus, unavailable } from "./status.ts";
import type { BookingStatus, BookingStore } from "./store.ts";

export interface SqlSettings {
  /** See parseSqlUrl. */
  url: string;
  /** See checkSqlQuery. */
  query: string;
  /** For connection and answer together. */
  timeoutMs: number;
}

/**
 * Connects with the first question, keeps at most four connections, and comes back by itself after the database was
 * away.
 * @throws when `url` or `query` cannot be right; after that, never
 * @example
 * const store = createSqlStore({
 *   url: "postgres://app:pass@db.example/shop",
 *   query: "SELECT status FROM bookings WHERE id = $1",
 *   timeoutMs: 2000,
 * });
 * await store.statusOf("BK-1042"); // { kind: "paid" }
 */
export function createSqlStore({ url, query, timeoutMs }: SqlSettings): BookingStore {
  const address = parseSqlUrl(url);
  checkSqlQuery(query, address.kind);
  const database: Database =
    address.kind === "sqlite" ? openFile(address, query, timeoutMs) : openPool(address, query, timeoutMs);
  return {
    async statusOf(bookingId) {
      try {
        return statusIn(await database.rowsFor(bookingId), address.label);
      } catch (error) {
        return unavailable(address.label, faultOf(error));
      }
    },
    close: () => database.close(),
  };
}

function statusIn(rows: readonly Row[], source: string): BookingStatus {
  const [row] = rows;
  if (row === undefined) return { kind: "not_found" };
  if (rows.length > 1) return unavailable(source, `the query gave ${rows.length} rows, must give one or none`);
  const columns = Object.keys(row);
  const column = columns.find((name) => name.toLowerCase() === "status") ?? columns[0];
  return readStatus(column === undefined ? undefined : row[column], source);
}
