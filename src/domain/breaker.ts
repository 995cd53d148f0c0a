/*
 * A breaker keeps us from asking again and again one that is away: the relay, the booking store, a partition. Pure.
 *   closed     everything may go
 *   open       nothing may go before `retryAt`
 *   half_open  one may go, to find out: its answer closes the breaker, its failure opens it for longer
 *
 *   closed ──failed, `openAfter` in a row──▶ open ──tried, at retryAt──▶ half_open ──answered──▶ closed
 *                                             ▲                              │
 *                                             └──────────── failed ──────────┘
 * The caller has the clock, counts what it calls a failure, and decides what an answer from before the opening means.
 */
export type Breaker =
  | { kind: "closed"; failures: number }
  /** `since`: when it was closed last. */
  | { kind: "open"; since: number; retries: number; retryAt: number }
  /** `triedAt`: when the one that finds out was let go. */
  | { kind: "half_open"; since: number; retries: number; triedAt: number };

export interface BreakerPolicy {
  /** Failures in a row. */
  openAfter: number;
  /** How long nothing goes, ms. @param retries that have failed since it opened */
  delayMs(retries: number): number;
}

export const CLOSED: Breaker = { kind: "closed", failures: 0 };

/** @example failed(CLOSED, 1_000, { openAfter: 1, delayMs: () => 500 }).kind // "open" until 1_500 */
export function failed(breaker: Breaker, now: number, { openAfter, delayMs }: BreakerPolicy): Breaker {
  switch (breaker.kind) {
    case "closed": {
      const failures = breaker.failures + 1;
      if (failures < openAfter) return { kind: "closed", failures };
      return { kind: "open", since: now, retries: 0, retryAt: now + delayMs(0) };
    }
    case "open":
      return breaker; // what failed had gone before it opened
    case "half_open": {
      const retries = breaker.retries + 1;
      return { kind: "open", since: breaker.since, retries, retryAt: now + delayMs(retries) };
    }
  }
}

/** Lets the one go that finds out. Not before its time, and not while another one does. */
export function tried(breaker: Breaker, now: number): Breaker {
  if (breaker.kind !== "open" || now < breaker.retryAt) return breaker;
  return { kind: "half_open", since: breaker.since, retries: breaker.retries, triedAt: now };
}
