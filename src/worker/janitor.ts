import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { retire, sweep, trimFeed } from "../stream/tidy.ts";
import { type Loop, startLoop } from "./loop.ts";

const INTERVAL_MS = 10_000;
/** In each interval, beside those that were forgotten. Of 300 messages each: a million are looked through in an hour. */
const CHUNKS_KEPT = 10;
/** At twenty thousand transitions a second it outgrows this by a fifth in an interval. */
const FEED_MAX_BYTES = 64 * 1024 * 1024;
const UNSEEN_CONSUMER_MS = 24 * 3_600_000;

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
    return INTERVAL_MS;
  });
}
