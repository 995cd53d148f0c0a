/* The store that the configuration asks for, guarded by a breaker. */
import { time } from "../domain/time.ts";
import { guarded } from "./guarded.ts";
import { createHttpStore } from "./http.ts";
import { createSqlStore } from "./sql.ts";
import type { BookingStore } from "./store.ts";

/** BOOKING_STORE and what belongs to it. */
export type BookingSettings =
  | { kind: "sql"; url: string; query: string; timeoutMs: number }
  | { kind: "http"; urlTemplate: string; key: string; timeoutMs: number };

export interface BookingReports {
  /** The store could not say, for the first time since it could. */
  onDown: (reason: string) => void;
  /** It can again. */
  onUp: (awayMs: number) => void;
}

/**
 * Opens no connection: a store that is away at start is one that is away.
 * @throws Error that begins with the name of the variable, when a setting cannot be right
 * @example
 * const store = openBookingStore({ kind: "sql", url, query, timeoutMs: 2_000 }, { onDown, onUp });
 * await store.statusOf("BK-1042"); // { kind: "paid" }
 */
export function openBookingStore(settings: BookingSettings, reports: BookingReports): BookingStore {
  const guard = { now: () => time.monotonicMs(), ...reports };
  switch (settings.kind) {
    case "sql":
      return guarded(createSqlStore(settings), guard);
    case "http":
      return guarded(createHttpStore({ ...settings, now: () => time.epochMs() }), guard);
  }
}
