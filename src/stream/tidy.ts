/* What nobody needs any more goes: consumers, lookups, the oldest of the feed. */
import type { Redis } from "ioredis";
import retireSource from "./retire.lua" with { type: "text" };
import { script } from "./script.ts";
import sweepSource from "./sweep.lua" with { type: "text" };
import trimSource from "./trim.lua" with { type: "text" };

const retireScript = script("retire", retireSource, "allow-oom");
const sweepScript = script("sweep", sweepSource, "allow-oom");
const trimScript = script("trim", trimSource, "allow-oom");

/** Removes consumers that own nothing and were not seen for `unseenMs`. Returns their names. */
export async function retire(redis: Redis, tag: string, unseenMs: number): Promise<string[]> {
  return (await retireScript(redis, tag, [unseenMs])) as string[];
}

export interface Swept {
  /** All its messages had expired, and it was taken out. */
  gone: boolean;
  /** The chunk after which to go on; undefined: this was the end. */
  next: string | undefined;
}

/** Looks at the chunk of what was posted that comes after this one, or at the oldest, and forgets it when it has expired. */
export async function sweep(redis: Redis, tag: string, after = "0"): Promise<Swept> {
  const [gone, next] = (await sweepScript(redis, tag, [after])) as [number, string | null];
  return { gone: gone === 1, next: next ?? undefined };
}

/** Trims the feed to about this size. Returns how many entries went. */
export async function trimFeed(redis: Redis, tag: string, maxBytes: number): Promise<number> {
  return (await trimScript(redis, tag, [maxBytes])) as number;
}
