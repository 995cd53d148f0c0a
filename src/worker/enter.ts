/*
 * What a worker does in a partition before it takes anything there: it settles what an earlier life of it had sent, and
 * gives up what that life had begun. In this order: what was sent must not be sent again.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import type { Batch, Outbox } from "../journal/outbox.ts";
import { RedisAway } from "../stream/fault.ts";
import { type ReclaimPolicy, reclaim } from "../stream/lease.ts";
import { settleSent } from "../stream/settle.ts";
import { logReclaimed } from "./reclaimer.ts";

export interface EntryOptions {
  redis: Redis;
  consumer: string;
  retentionMs: number;
  policy: ReclaimPolicy;
  outbox: Outbox;
  log: Logger;
}

/** @throws RedisAway: nothing may be taken there yet, try again */
export async function enter(tag: string, left: readonly Batch[], options: EntryOptions): Promise<void> {
  for (const { id, facts } of left) {
    if (facts[0]?.tag !== tag) continue; // a batch is of one partition
    for (const fact of facts) await settle(fact, options);
    options.outbox.forget(id);
  }
  logReclaimed(await reclaim(options.redis, tag, { of: options.consumer }, 0, options.policy), options.log);
}

async function settle(
  fact: Batch["facts"][number],
  { redis, consumer, retentionMs, log }: EntryOptions,
): Promise<void> {
  const { tag, messageId, attempt, reply } = fact;
  try {
    const [settled] = await settleSent({ redis, tag, consumer, retentionMs }, [fact]);
    if (settled) log.warn({ messageId, attempt, reply }, "message sent, settled after a restart");
  } catch (error) {
    if (error instanceof RedisAway) throw error;
    // One that cannot be settled is no reason to send nothing any more.
    log.error({ err: error, messageId, attempt, reply }, "message sent, and could not be settled after a restart");
  }
}
