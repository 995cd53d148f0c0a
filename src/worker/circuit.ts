/*
 * The relay's faults are not the messages': when it is down, nothing is taken until it answers again.
 *   closed     mail flows
 *   open       nothing is taken; the relay is probed after 0, 0.5, 1, 2, … 30 s
 *   half open  a probe was fine: one message at a time, until one was really handed over. Those that were asked for
 *              before, and one that takes long, do not count: they may wait for the final reply for minutes
 * But a relay may close on one message alone, whatever it says to others and to a probe. Where it did so three
 * times in a row, the message is to blame from then on: that tells nothing of the relay, and holds nothing back.
 */
import type { Logger } from "pino";
import { backoffMs } from "../domain/backoff.ts";

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** Where one message at a time is tried, the next one need not wait for one that takes longer. */
const LONG_MS = 10_000;
const MAX_FAULTS_IN_A_ROW = 3;
/** Messages whose faults are counted; the one that had none for longest is forgotten first. */
const MAX_COUNTED = 10_000;

/**
 * How many messages in flight were asked for at that time or later, performance.now(), with all that are being asked for
 * now.
 */
export type AskedSince = (at: number) => number;

export interface Circuit {
  /** How many of `free` slots may be filled now. */
  allowance(free: number, askedSince: AskedSince): number;
  /** The relay failed. */
  fault(reason: string): void;
  /** The relay failed in the middle of this message. True: once too often, it is the message's own failure. */
  blames(messageId: string): boolean;
  /** The message was not the cause of what happened to it. */
  clears(messageId: string): void;
  /** The relay answered for a message, well or badly. */
  answered(messageId: string): void;
  stop(): void;
}

/**
 * @param probe what is wrong with the relay, or undefined
 * @param onReady called when messages may be taken again
 */
export function createCircuit(probe: () => Promise<string | undefined>, onReady: () => void, log: Logger): Circuit {
  let state: "closed" | "open" | "half open" = "closed";
  /** Since mail last flowed. */
  let probes = 0;
  let openedAt = 0;
  let halfOpenAt = 0;
  /** By message id, in the order of the last fault. */
  const faults = new Map<string, number>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;

  function probeLater(): void {
    if (stopped) return;
    timer = setTimeout(() => void check(), probeDelayMs(probes));
    probes += 1;
  }

  async function check(): Promise<void> {
    const reason = await probe().catch((error: unknown) => `the probe failed: ${error}`);
    if (stopped) return;
    if (reason !== undefined) return probeLater();
    state = "half open";
    halfOpenAt = performance.now();
    onReady();
  }

  return {
    allowance(free, askedSince) {
      if (state === "closed") return free;
      return state === "half open" ? Math.min(free, oneAtATime(halfOpenAt, askedSince)) : 0;
    },
    fault(reason) {
      if (stopped || state === "open") return;
      if (probes === 0) {
        openedAt = performance.now();
        log.error({ reason }, "relay is away, the queue waits");
      }
      state = "open";
      probeLater();
    },
    blames(messageId) {
      const inARow = (faults.get(messageId) ?? 0) + 1;
      faults.delete(messageId);
      faults.set(messageId, inARow);
      if (faults.size > MAX_COUNTED) faults.delete(faults.keys().next().value as string);
      return inARow > MAX_FAULTS_IN_A_ROW;
    },
    clears(messageId) {
      faults.delete(messageId);
    },
    answered(messageId) {
      faults.delete(messageId);
      if (state === "half open") {
        log.warn({ awayMs: Math.round(performance.now() - openedAt) }, "relay is back");
        state = "closed";
        probes = 0;
        onReady();
      }
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/**
 * How many may be tried now where one at a time is. Those that were asked for before may wait for the relay's final
 * reply, for minutes.
 * @param since performance.now()
 */
export function oneAtATime(since: number, askedSince: AskedSince): 0 | 1 {
  return askedSince(Math.max(since, performance.now() - LONG_MS)) === 0 ? 1 : 0;
}

/** The first probe comes at once: often only an idle connection had been closed. */
export function probeDelayMs(probes: number): number {
  return probes === 0 ? 0 : backoffMs(probes - 1, FIRST_DELAY_MS, MAX_DELAY_MS);
}
