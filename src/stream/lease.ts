/* A lease is the idle time in a pending list: heartbeats set it back, and what grows old is reclaimed. */
import type { Redis } from "ioredis";
import heartbeatSource from "./heartbeat.lua" with { type: "text" };
import reclaimSource from "./reclaim.lua" with { type: "text" };
import { booleansOf, script } from "./script.ts";
import { type Claim, claimText } from "./take.ts";

const heartbeatScript = script("heartbeat", heartbeatSource, "allow-oom");
const reclaimScript = script("reclaim", reclaimSource, "allow-oom");

/** For each claim, in order: is it still ours? */
export async function heartbeat(
  redis: Redis,
  tag: string,
  consumer: string,
  claims: readonly Claim[],
): Promise<boolean[]> {
  return booleansOf(await heartbeatScript(redis, tag, [consumer, ...claims.map(claimText)]));
}

export interface Reclaimed {
  messageId: string;
  eventId: string;
  attempt: number;
  /** The worker that was lost. */
  owner: string;
  entryId: string;
  /** "deleted": the entry was taken out of its stream by hand, and nobody knows its message. */
  fate: "resend" | "hold" | "dead" | "cancelled" | "deleted";
}

export interface ReclaimPolicy {
  maxRetries: number;
  onUnknown: "resend" | "hold";
}

type Row = [string, string, string, string, string, Reclaimed["fate"]];

/** At most this many for each priority and call: more means call again. */
const RECLAIM_LIMIT = 100;

/** One consumer's entries, or those of all but one: a worker knows itself whether its own are alive. */
type Whose = { of: string } | { except: string };

/** SENDING -> UNKNOWN and on, for entries idle for `minIdleMs`. Calls until none is left. */
export async function reclaim(
  redis: Redis,
  tag: string,
  whose: Whose,
  minIdleMs: number,
  policy: ReclaimPolicy,
): Promise<Reclaimed[]> {
  return (await reclaimBefore(redis, tag, Number.MAX_SAFE_INTEGER, whose, minIdleMs, policy)).reclaimed;
}

export interface InTime {
  /** Redis's time of the last call, epoch ms. */
  at: number;
  /** It ran at or after the deadline, and did nothing. */
  late: boolean;
  reclaimed: Reclaimed[];
}

/**
 * The same, and nothing from the deadline on.
 * @param deadlineAt by Redis's clock, epoch ms
 */
export async function reclaimBefore(
  redis: Redis,
  tag: string,
  deadlineAt: number,
  whose: Whose,
  minIdleMs: number,
  policy: ReclaimPolicy,
): Promise<InTime> {
  const [of, except] = "of" in whose ? [whose.of, ""] : ["", whose.except];
  const args = [of, minIdleMs, policy.maxRetries, policy.onUnknown, RECLAIM_LIMIT, except, deadlineAt];
  const reclaimed: Reclaimed[] = [];
  for (;;) {
    const [at, found, ...reply] = (await reclaimScript(redis, tag, args)) as [number, number, ...string[]];
    for (let i = 0; i < reply.length; i += 6) {
      const [messageId, eventId, attempt, owner, entryId, fate] = reply.slice(i, i + 6) as Row;
      reclaimed.push({ messageId, eventId, attempt: Number(attempt), owner, entryId, fate });
    }
    if (found < RECLAIM_LIMIT) return { at, late: found === -1, reclaimed };
  }
}
