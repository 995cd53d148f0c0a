/*
 * What people are told of once: Redis remembers it, so that neither a restart nor another service repeats it. What has
 * not happened for a week is new when it happens again.
 */
import type { Redis } from "ioredis";
import { time } from "../domain/time.ts";
import { key, tagOf } from "./keys.ts";

const REMEMBERED_MS = 7 * 86_400_000;

/** Whether this is new, and from now on known. Where Redis cannot be asked, this process remembers. */
export function createNews(redis: Redis): (name: string) => Promise<boolean> {
  const known = new Set<string>();
  return async (name) => {
    const isFirstHere = !known.has(name);
    known.add(name);
    try {
      const before = await redis.set(key.news(tagOf(0), name), time.epochMs(), "PX", REMEMBERED_MS, "GET");
      return before === null;
    } catch {
      return isFirstHere;
    }
  };
}
