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
  /** How often it was set back, as Redis keeps it. */
  steps: number;
}

/** Before the first one. */
export const NO_READING: Pick<ClockReading, "at" | "steps"> = { at: 0, steps: 0 };

/**
 * Moves what waits back with a clock that was set back, at most `limit` messages in this call.
 * @param last this process's last reading
 * @param elapsedMs since it, by a clock that nobody sets; not more than it was, or the clock looks as if it were set back
 */
export async function watchClock(
  redis: Redis,
  tag: string,
  last: Pick<ClockReading, "at" | "steps">,
  elapsedMs: number,
  limit: number,
): Promise<ClockReading> {
  const args = [last.at, Math.floor(elapsedMs), last.steps, limit];
  const reply = (await clockScript(redis, tag, args)) as [number, number, number, number];
  const [at, setBackMs, left, steps] = reply;
  return { at, setBackMs, left, steps };
}
