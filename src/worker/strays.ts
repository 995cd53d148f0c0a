/*
 * A reply to `take` that was lost leaves entries that Redis says are ours and nobody here knows: before the
 * next take they are given back, without spending an attempt.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { settle } from "../stream/settle.ts";
import { type Claim, readHoldings } from "../stream/take.ts";

/** At least so many are known: a second of the fastest drain, which a failover can lose. */
const MIN_BEGUN = 20_000;

export interface Strays {
  /** This entry has been begun here: ours again, its settlement was lost, and it was tried (heart.ts). */
  begun(entryKey: string): void;
  /** The reply to a take from this partition was lost. */
  lost(tag: string): void;
  /** A partition where such a reply was lost. */
  mayBeIn(tag: string): boolean;
  giveBack(tag: string): Promise<void>;
}

export function createStrays(options: {
  redis: Redis;
  consumer: string;
  retentionMs: number;
  /** The most that may be owned at once. */
  limit: number;
  /** Under way, however long ago it was begun: an attempt may take minutes. */
  isInFlight: (claim: Claim) => boolean;
  log: Logger;
}): Strays {
  const { redis, consumer, retentionMs, limit, isInFlight, log } = options;
  const replyLost = new Set<string>();
  let begun = new Set<string>();
  let begunBefore = begun;

  function isKnown(claim: Claim): boolean {
    const entryKey = entryKeyOf(claim);
    return begun.has(entryKey) || begunBefore.has(entryKey) || isInFlight(claim);
  }

  return {
    begun(entryKey) {
      if (begun.size >= MIN_BEGUN) [begunBefore, begun] = [begun, new Set()];
      begun.add(entryKey);
    },
    lost: (tag) => void replyLost.add(tag),
    mayBeIn: (tag) => replyLost.has(tag),
    async giveBack(tag) {
      const owned = await readHoldings(redis, tag, consumer, limit);
      const strays = owned.filter((claim) => !isKnown(claim));
      if (strays.length > 0) {
        const reason = "the worker lost the connection while it took the message";
        const items = strays.map((claim) => ({ ...claim, reason }));
        await settle({ redis, tag, consumer, retentionMs }, "released", items);
        log.warn({ messages: strays.map(({ messageId }) => messageId) }, "messages given back, they were not tried");
      }
      replyLost.delete(tag);
    },
  };
}

/** What one owns: an entry, in a stream of a partition. */
export function entryKeyOf({ tag, entryId, rank }: Claim): string {
  return `${tag} ${entryId} ${rank}`;
}
