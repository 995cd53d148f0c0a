import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { heartbeat, type ReclaimPolicy, reclaimBefore } from "../stream/lease.ts";
import type { Taken } from "../stream/take.ts";
import { type Loop, startLoop } from "./loop.ts";
import { logReclaimed } from "./reclaimer.ts";

/**
 * Keeps the leases of what is in flight. What is ours and was not renewed for a lease is not in flight here: a take
 * that ran late, or a settlement that a failover lost. Nobody else would reclaim it.
 * That holds if Redis's last answer before we looked at what is in flight is less than a lease old when the reclaiming
 * runs: with it came the answers to all earlier takes. If not, they may still be on the way, and the next round sees to it.
 */
export function startHeart(
  redis: Redis,
  tag: string,
  consumer: string,
  inFlight: () => readonly Taken[],
  leaseMs: number,
  policy: ReclaimPolicy,
  log: Logger,
): Loop {
  /** Redis's time of its last answer; 0 after a failure. */
  let answeredAt = 0;
  return startLoop("heart", log, async () => {
    const deadlineAt = answeredAt + leaseMs;
    answeredAt = 0;
    const claims = inFlight().filter((taken) => taken.tag === tag);
    const held = claims.length === 0 ? [] : await heartbeat(redis, tag, consumer, claims);
    claims.forEach(({ messageId, attempt }, i) => {
      if (held[i] === false) log.debug({ messageId, attempt }, "lease not renewed, settled or lost meanwhile");
    });
    const { at, reclaimed } = await reclaimBefore(redis, tag, deadlineAt, { of: consumer }, leaseMs, policy);
    answeredAt = at;
    logReclaimed(reclaimed, log);
    return leaseMs / 3;
  });
}
