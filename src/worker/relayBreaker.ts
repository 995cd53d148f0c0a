/*
 * The relay's faults are not the messages': when it is down, nothing is taken until it answers again. It is probed
 * after 0, 0.5, 1, 2, … 30 s. After a probe that was fine one message at a time is tried, until one was really handed
 * over. Those that were asked for before, and one that takes long, do not count: they may wait for the final reply for
 * minutes.
 */
import type { Logger } from "pino";
import { backoffMs } from "../domain/backoff.ts";
import { type Breaker, CLOSED, failed, tried } from "../domain/breaker.ts";
import { type Timer, time } from "../domain/time.ts";

/** Where one message at a time is tried, the next one need not wait for one that takes longer. */
const LONG_MS = 10_000;

/**
 * How many messages in flight were asked for at that time or later, time.monotonicMs(), with all that are being asked for
 * now.
 */
export type AskedSince = (at: number) => number;

export interface RelayBreaker {
  /** How many of `free` slots may be filled now. */
  allowance(free: number, askedSince: AskedSince): number;
  /** The relay failed. */
  fault(reason: string): void;
  /** The relay answered for a message, well or badly. */
  answered(): void;
  stop(): void;
}

/**
 * @param probe what is wrong with the relay, or undefined
 * @param onReady called when messages may be taken again
 */
export function createRelayBreaker(
  probe: () => Promise<string | undefined>,
  onReady: () => void,
  log: Logger,
): RelayBreaker {
  const policy = { openAfter: 1, delayMs: probeDelayMs };
  let breaker: Breaker = CLOSED;
  /** When the last probe was fine; undefined while one is due or under way. */
  let wellAt: number | undefined;
  let timer: Timer | undefined;
  let stopped = false;

  function open(): void {
    breaker = failed(breaker, time.monotonicMs(), policy);
    wellAt = undefined;
    if (breaker.kind === "open") timer = time.after(breaker.retryAt - time.monotonicMs(), () => void check());
  }

  async function check(): Promise<void> {
    breaker = tried(breaker, Number.POSITIVE_INFINITY); // the timer is the clock
    const reason = await probe().catch((error: unknown) => `the probe failed: ${error}`);
    if (stopped) return;
    if (reason !== undefined) return open();
    wellAt = time.monotonicMs();
    onReady();
  }

  return {
    allowance(free, askedSince) {
      if (breaker.kind === "closed") return free;
      return wellAt === undefined ? 0 : Math.min(free, oneAtATime(wellAt, askedSince));
    },
    fault(reason) {
      if (stopped || (breaker.kind !== "closed" && wellAt === undefined)) return;
      if (breaker.kind === "closed") log.error({ reason }, "relay is away, the queue waits");
      open();
    },
    answered() {
      if (breaker.kind === "closed" || wellAt === undefined) return; // an attempt from before the fault
      log.warn({ awayMs: Math.round(time.monotonicMs() - breaker.since) }, "relay is back");
      breaker = CLOSED;
      wellAt = undefined;
      onReady();
    },
    stop() {
      stopped = true;
      timer?.cancel();
    },
  };
}

/**
 * How many may be tried now where one at a time is. Those that were asked for before may wait for the relay's final
 * reply, for minutes.
 * @param since time.monotonicMs()
 */
export function oneAtATime(since: number, askedSince: AskedSince): 0 | 1 {
  return askedSince(Math.max(since, time.monotonicMs() - LONG_MS)) === 0 ? 1 : 0;
}

/** The first probe comes at once: often only an idle connection had been closed. */
export function probeDelayMs(probes: number): number {
  return probes === 0 ? 0 : backoffMs(probes - 1, 500, 30_000);
}
