/*
 * A store that is away is not asked for every message of the queue. After three bookings in a row that it could not
 * tell, the answer is "unavailable" at once, and one question at a time goes through after 0.5, 1, 2, … 30 s. The first
 * one that is answered ends that, also one from before.
 * Bookings are counted, not questions: one that the store chokes on, asked for again and again, opens nothing.
 */
import { backoffMs } from "../domain/backoff.ts";
import { type Breaker, type BreakerPolicy, CLOSED, failed, tried } from "../domain/breaker.ts";
import type { BookingStatus, BookingStore } from "./store.ts";

const POLICY: BreakerPolicy = { openAfter: 3, delayMs: (retries) => backoffMs(retries, 500, 30_000) };

export interface GuardSettings {
  /** Monotonic, ms. */
  now: () => number;
  /** Called at the first failure, and not again before it has answered. */
  onDown: (reason: string) => void;
  /** Called at the first answer after that. */
  onUp: (awayMs: number) => void;
}

/**
 * @example
 * const store = guarded(createSqlStore(settings), {
 *   now: () => time.monotonicMs(),
 *   onDown: (reason) => log.error({ reason }, "booking store is away"),
 *   onUp: (awayMs) => log.warn({ awayMs }, "booking store is back"),
 * });
 */
export function guarded(store: BookingStore, { now, onDown, onUp }: GuardSettings): BookingStore {
  let breaker: Breaker = CLOSED;
  /** Since the last answer; `bookings` are those that count. */
  let trouble: { at: number; reason: string; bookings: Set<string> } | undefined;

  function answered(): void {
    breaker = CLOSED;
    if (trouble !== undefined) onUp(Math.round(now() - trouble.at));
    trouble = undefined;
  }

  function unavailable(bookingId: string, reason: string): void {
    if (trouble === undefined) onDown(reason);
    trouble = { at: trouble?.at ?? now(), reason, bookings: trouble?.bookings ?? new Set() };
    if (breaker.kind === "closed" && trouble.bookings.has(bookingId)) return;
    if (breaker.kind === "closed") trouble.bookings.add(bookingId);
    breaker = failed(breaker, now(), POLICY);
  }

  async function ask(bookingId: string, isProbe: boolean): Promise<BookingStatus> {
    const status = await store.statusOf(bookingId);
    if (status.kind !== "unavailable") answered();
    else if (isProbe || breaker.kind !== "half_open") unavailable(bookingId, status.reason);
    return status;
  }

  return {
    async statusOf(bookingId) {
      if (breaker.kind === "closed") return ask(bookingId, false);
      const before = breaker;
      breaker = tried(breaker, now());
      if (breaker !== before) return ask(bookingId, true);
      return { kind: "unavailable", reason: `${trouble?.reason} (not asked again yet)` };
    },
    isAway: () => breaker.kind !== "closed",
    close: () => store.close(),
  };
}
