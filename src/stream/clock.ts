import type { Redis } from "ioredis";
import clockSource from "./clock.lua" with { type: "text" };
import { script } from "./script.ts";

const clockScript = script("clock", clockSource, "allow-oom");

export interface ClockReading {
  /** Redis's time, epoch ms. */
  at: number;
  /** It was set back since the last reading, ms; 0: it was not. */
  setBackMs: number;
  /** Messages that are still to be moved back with it. */
  left: number;
}

/**
 * Moves what waits back with a clock that was set back, at most `limit` messages in this call.
 * @param lastAt Redis's time at the last call of this process; 0: this is the first
 * @param elapsedMs since then, by a clock that nobody sets
 */
export async function watchClock(
  redis: Redis,
  tag: string,
  lastAt: number,
  elapsedMs: number,
  limit: number,
): Promise<ClockReading> {
  const reply = (await clockScript(redis, tag, [lastAt, Math.round(elapsedMs), limit])) as [number, number, number];
  const [at, setBackMs, left] = reply;
  return { at, setBackMs, left };
}
