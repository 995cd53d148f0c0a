import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { watchClock } from "../stream/clock.ts";
import { type Loop, startLoop } from "./loop.ts";

const POLL_MS = 1_000;
/** Messages in one call: Redis does nothing else meanwhile. */
const MAX_MOVED = 500;

/** Redis's clock decides when a message is due. When somebody sets it back, no message waits for as long. */
export function startClockWatch(redis: Redis, tag: string, log: Logger): Loop {
  let lastAt = 0;
  let readAt = performance.now();
  return startLoop("clock", log, async () => {
    const now = performance.now();
    const { at, setBackMs, left } = await watchClock(redis, tag, lastAt, now - readAt, MAX_MOVED);
    [lastAt, readAt] = [at, now];
    if (setBackMs > 0)
      log.error({ setBackMs }, "redis's clock was set back: what waits is moved back with it, and leases begin anew");
    return left > 0 ? 0 : POLL_MS;
  });
}
