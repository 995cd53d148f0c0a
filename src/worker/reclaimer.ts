import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { type Reclaimed, type ReclaimPolicy, reclaimBefore } from "../stream/lease.ts";
import { LONGEST_BACKOFF_MS, type Loop, startLoop } from "./loop.ts";

/**
 * A reclaimer is late by so much at least before it counts as a stall: a busy machine does that each moment. With a
 * lease below 400 ms, a stall that is shorter than this but too long for the lease goes unnoticed.
 */
const LEAST_SLACK_MS = 100;

/**
 * Takes over from workers whose lease ran out, unless nobody could renew one: Redis was away or stood still, or this
 * machine did, or Redis's clock was put forward. It shows in the time between two answers, by Redis's clock. A call that
 * comes too long after the last answer reclaims nothing, and from then on the living get the time to renew.
 */
export function startReclaimer(
  redis: Redis,
  tag: string,
  consumer: string,
  leaseMs: number,
  policy: ReclaimPolicy,
  log: Logger,
): Loop {
  const whose = { except: consumer };
  const pauseMs = leaseMs / 4;
  // Together with the third of a lease that a heart lets pass between two renewals it is less than a lease.
  const longestMs = pauseMs + Math.max(leaseMs / 4, LEAST_SLACK_MS);
  const graceMs = leaseMs + LONGEST_BACKOFF_MS;
  const none = { at: 0, graceUntil: 0 };
  /** Redis's time of its last answer and of the end of the grace; none after a failure. */
  let answer = none;
  return startLoop("reclaimer", log, async () => {
    const last = answer;
    answer = none;
    const graceLeftMs = last.graceUntil - last.at;
    // A longer one: the clock was set back meanwhile.
    const minIdleMs = graceLeftMs > 0 && graceLeftMs <= graceMs ? Number.MAX_SAFE_INTEGER : leaseMs;
    const deadlineAt = last.at + longestMs;
    const { at, late, reclaimed } = await reclaimBefore(redis, tag, deadlineAt, whose, minIdleMs, policy);
    answer = { at, graceUntil: late ? at + graceMs : last.graceUntil };
    logReclaimed(reclaimed, log);
    return pauseMs;
  });
}

export function logReclaimed(reclaimed: readonly Reclaimed[], log: Logger): void {
  for (const { fate, owner, entryId, ...message } of reclaimed) {
    if (fate === "deleted")
      log.error({ owner, entryId }, "entry of a lost worker was deleted, its message stays SENDING");
    else log.warn({ ...message, owner, fate }, "message reclaimed from a lost worker");
  }
}
