/*
 * A store that is away is not asked for every message of the queue:
 *   closed   each question goes through
 *   open     after three bookings in a row that it could not tell: the answer is "unavailable" at once, and one
 *            question at a time goes through after 0.5, 1, 2, … 30 s. The first one that is answered closes it
 * Bookings are counted, not questions: one that the store chokes on, asked for again and again, opens nothing.
 */
import { backoffMs } from "../domain/backoff.ts";
import type { BookingStatus, BookingStore } from "./store.ts";

/** Bookings in a row. */
const OPEN_AFTER = 3;
/** Until the first question that goes through again; then it doubles. */
const RETRY_MS = 500;
const MAX_RETRY_MS = 30_000;

export interface CircuitSettings {
  /** Monotonic, ms. */
  now: () => number;
  /** Called at the first failure, and not again before it has answered. */
  onDown: (reason: string) => void;
  /** Called at the first answer after that. */
  onUp: (awayMs: number) => void;
}

/**
 * @example
 * const store = withCircuit(createSqlStore(settings), {
 *   now: () => performance.now(),
 *   onDown: (reason) => log.error({ reason }, "booking store is away"),
 *   onUp: (awayMs) => log.warn({ awayMs }, "booking store is back"),
 * });
 */
export function withCircuit(store: BookingStore, settings: CircuitSettings): BookingStore {
  const { now, onDown, onUp } = settings;
  /** Bookings since the last answer; no more of them are kept than it takes to open. */
  const failed = new Set<string>();
  let lastReason = "";
  let downAt = 0;
  let retryAt = 0;
  let retries = 0;
  let probing = false;

  const isOpen = () => failed.size >= OPEN_AFTER;

  function answered(): void {
    if (failed.size === 0) return;
    failed.clear();
    onUp(Math.round(now() - downAt));
  }

  function failure(bookingId: string, reason: string, probe: boolean): void {
    if (failed.size === 0) {
      downAt = now();
      onDown(reason);
    }
    lastReason = reason;
    if (!isOpen()) {
      failed.add(bookingId);
      if (!isOpen()) return;
      retries = 0;
    } else if (!probe) return; // it was asked before the circuit opened
    retryAt = now() + backoffMs(retries, RETRY_MS, MAX_RETRY_MS);
    retries += 1;
  }

  async function ask(bookingId: string, probe: boolean): Promise<BookingStatus> {
    const status = await store.statusOf(bookingId);
    if (status.kind === "unavailable") failure(bookingId, status.reason, probe);
    else answered();
    return status;
  }

  return {
    async statusOf(bookingId) {
      if (!isOpen()) return ask(bookingId, false);
      if (probing || now() < retryAt) return { kind: "unavailable", reason: `${lastReason} (not asked again yet)` };
      probing = true;
      try {
        return await ask(bookingId, true);
      } finally {
        probing = false;
      }
    },
    isAway: isOpen,
    close: () => store.close(),
  };
}
