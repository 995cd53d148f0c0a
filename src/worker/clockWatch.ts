import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { time } from "../domain/time.ts";
import { NO_READING, watchClock } from "../stream/clock.ts";
import { type Loop, startLoop } from "./loop.ts";

const POLL_MS = 1_000;
/** Messages in one call: Redis does nothing else meanwhile. */
const MAX_MOVED = 200;

/** Redis's clock decides when a message is due. When somebody sets it back, no message waits for as long. */
export function startClockWatch(redis: Redis, tag: string, log: Logger): Loop {
  let last = NO_READING;
  let answeredAt = time.monotonicMs();
  return startLoop("clock", log, async () => {
    // From the answer on: a call that Redis had to wait for makes the time since then shorter, not longer.
    const reading = await watchClock(redis, tag, last, time.monotonicMs() - answeredAt, MAX_MOVED);
    [last, answeredAt] = [reading, time.monotonicMs()];
    const { setBackMs, left } = reading;
    if (setBackMs > 0)
      log.error({ setBackMs }, "redis's clock was set back: what waits is moved back with it, and leases begin anew");
    return left > 0 ? 0 : POLL_MS;
  });
}
