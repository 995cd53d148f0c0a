/* The loops beside the taker, one of each for a partition: a shard that hangs or fails holds up no other. */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import {
  heartbeat,
  type Reclaimed,
  type ReclaimPolicy,
  reclaimBefore,
  retire,
  sweep,
  trimFeed,
} from "../stream/lease.ts";
import { type NewKind, tellNewKinds } from "../stream/newKinds.ts";
import { promote, type Taken } from "../stream/take.ts";
import { type Loop, MAX_DELAY_MS, startLoop } from "./loop.ts";

const PROMOTE_LIMIT = 200;
/** How late a message may become due: the due set can be written by others, so it is polled. */
const PROMOTE_POLL_MS = 100;

/**
 * A reclaimer is late by so much at least before it counts as a stall: a busy machine does that each moment. With a
 * lease below 400 ms, a stall that is shorter than this but too long for the lease goes unnoticed.
 */
const LEAST_SLACK_MS = 100;

/** The worker's own dead letters wake the alerter. This is for those that a lost worker, or a strange entry, leaves. */
const ALERT_POLL_MS = 2_000;

const JANITOR_INTERVAL_MS = 10_000;
/** In each interval, beside those that were forgotten. Of 300 messages each: a million are looked through in an hour. */
const CHUNKS_KEPT = 10;
/** At twenty thousand transitions a second it outgrows this by a fifth in an interval. */
const FEED_MAX_BYTES = 64 * 1024 * 1024;
const UNSEEN_CONSUMER_MS = 24 * 3_600_000;

/** SCHEDULED | DEFERRED | UNKNOWN -> QUEUED when due. */
export function startPromoter(redis: Redis, tag: string, log: Logger): Loop {
  return startLoop("promoter", log, async () => {
    const { messages, nextMs } = await promote(redis, tag, PROMOTE_LIMIT);
    for (const message of messages) log.info(message, "message queued");
    return Math.min(PROMOTE_POLL_MS, nextMs ?? PROMOTE_POLL_MS);
  });
}

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
  const none = { at: 0, graceUntil: 0 };
  /** Redis's time of its last answer and of the end of the grace; none after a failure. */
  let answer = none;
  return startLoop("reclaimer", log, async () => {
    const last = answer;
    answer = none;
    const minIdleMs = last.at < last.graceUntil ? Number.MAX_SAFE_INTEGER : leaseMs;
    const deadlineAt = last.at + longestMs;
    const { at, late, reclaimed } = await reclaimBefore(redis, tag, deadlineAt, whose, minIdleMs, policy);
    answer = { at, graceUntil: late ? at + leaseMs + MAX_DELAY_MS : last.graceUntil };
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

/** Says of each kind of dead letters, and of held UNKNOWNs, that it is there: once. */
export function startAlerter(
  redis: Redis,
  partitions: number,
  log: Logger,
  alert: ((kind: NewKind) => void) | undefined,
): Loop {
  return startLoop("alerter", log, async () => {
    await tellNewKinds(redis, partitions, (kind) => {
      log.error(kind, "dead letter of a new kind");
      alert?.(kind);
    });
    return ALERT_POLL_MS;
  });
}

/** Keeps the feed small, forgets consumers that are long gone, and what was posted and has expired. */
export function startJanitor(redis: Redis, tag: string, log: Logger): Loop {
  let lastKept: string | undefined;
  return startLoop("janitor", log, async () => {
    await trimFeed(redis, tag, FEED_MAX_BYTES);
    const consumers = await retire(redis, tag, UNSEEN_CONSUMER_MS);
    if (consumers.length > 0) log.info({ consumers }, "consumers retired");
    for (let kept = 0; kept < CHUNKS_KEPT; ) {
      const { gone, next } = await sweep(redis, tag, lastKept);
      lastKept = next;
      if (next === undefined) break;
      if (!gone) kept += 1;
    }
    return JANITOR_INTERVAL_MS;
  });
}
