/*
 * Where a list of messages comes from: what the scripts keep anyway. A source walks one key and hands out ids,
 * a page at a time; a position says where a page ended, so that what comes or goes between two pages neither
 * repeats nor hides the others.
 */
import type { Redis } from "ioredis";
import { PRIORITIES } from "../domain/lifecycle.ts";
import { bucketOf, key } from "./keys.ts";
import { BadCursor, type MessageQuery } from "./store.ts";

interface Found {
  id: string;
  /** Of the transition that this id was found by: the message is meant only if it is at this attempt still. */
  attempt?: number;
}

interface Step {
  found: Found[];
  /** Where to go on; undefined at the end. */
  next: string | undefined;
}

/** Throws BadCursor when the position is not one of its own. "" is the beginning. */
export type Source = (tag: string, position: string, count: number) => Promise<Step>;

/** Reads so many entries for a page, also where few of them are wanted. */
const SCAN = 500;

export function sourceFor(redis: Redis, { state, booking, recipient }: MessageQuery): Source {
  if (booking !== undefined) return inBucket(redis, bucketOf("booking", booking));
  if (recipient !== undefined) return inBucket(redis, bucketOf("recipient", recipient));
  // With no state asked for, a message is listed where it was posted.
  if (state === undefined) {
    return inStream(redis, key.feed, ([, id = "", , , , , , reason]) => (reason === "posted" ? { id } : undefined));
  }
  // biome-ignore lint/nursery/useExhaustiveSwitchCases: undefined has left above, which the compiler knows
  switch (state) {
    case "held":
      return inSortedSet(redis, key.held, "soonest");
    case "scheduled":
    case "deferred":
      return inSortedSet(redis, key.due, "soonest");
    case "queued":
    case "sending":
      return inWorkStreams(redis);
    case "dead":
      return inStream(redis, key.dead, ([, id = ""]) => ({ id }));
    case "sent":
    case "bounced":
    case "unknown":
    case "cancelled":
      return inStream(redis, key.feed, ([, id = "", , entered, , attempt]) => {
        if (entered !== state) return undefined;
        return attempt ? { id, attempt: Number(attempt) } : { id };
      });
  }
}

function inBucket(redis: Redis, bucket: string): Source {
  return inSortedSet(redis, (tag) => key.find(tag, bucket), "latest");
}

/** A position is a score, and how many with this score were handed out. */
function inSortedSet(redis: Redis, keyOf: (tag: string) => string, first: "soonest" | "latest"): Source {
  return async (tag, position, count) => {
    const [, from = first === "latest" ? "+inf" : "-inf", skipped = "0"] = parsed(
      position,
      /^(\d{1,16}|inf) (\d{1,9})$/,
    );
    const limit = ["LIMIT", Number(skipped), count] as const;
    const flat =
      first === "latest"
        ? await redis.zrange(keyOf(tag), from, "-inf", "BYSCORE", "REV", ...limit, "WITHSCORES")
        : await redis.zrange(keyOf(tag), from, "+inf", "BYSCORE", ...limit, "WITHSCORES");
    const found: Found[] = [];
    for (let i = 0; i < flat.length; i += 2) found.push({ id: flat[i] as string });
    const score = flat.at(-1);
    if (score === undefined || found.length < count) return { found, next: undefined };
    const alike = flat.filter((value, i) => i % 2 === 1 && value === score).length;
    return { found, next: `${score} ${alike + (score === from ? Number(skipped) : 0)}` };
  };
}

/** The streams one after the other, highest priority first, oldest entry first. */
function inWorkStreams(redis: Redis): Source {
  return async (tag, position, count) => {
    const [, rank = "0", after = ""] = parsed(position, /^([0-2]) (\d{1,16}-\d{1,16})?$/);
    const start = after === "" ? "-" : `(${after}`;
    const entries = await redis.xrange(key.queue(tag, Number(rank)), start, "+", "COUNT", count);
    const found = entries.map(([, fields]) => ({ id: fields[1] ?? "" }));
    if (entries.length === count) return { found, next: `${rank} ${entries.at(-1)?.[0]}` };
    const nextRank = Number(rank) + 1;
    return { found, next: nextRank < PRIORITIES.length ? `${nextRank} ` : undefined };
  };
}

/** Newest first. */
function inStream(
  redis: Redis,
  keyOf: (tag: string) => string,
  wanted: (fields: string[]) => Found | undefined,
): Source {
  return async (tag, position, count) => {
    const [from = ""] = parsed(position, /^\d{1,16}-\d{1,16}$/);
    const scan = Math.max(count, SCAN);
    const entries = await redis.xrevrange(keyOf(tag), from === "" ? "+" : `(${from}`, "-", "COUNT", scan);
    const found: Found[] = [];
    let read = 0;
    for (const [, fields] of entries) {
      read += 1;
      const one = wanted(fields);
      if (one !== undefined) found.push(one);
      if (found.length === count) break;
    }
    const more = read < entries.length || entries.length === scan;
    return { found, next: more ? entries[read - 1]?.[0] : undefined };
  };
}

function parsed(position: string, form: RegExp): string[] {
  if (position === "") return [];
  const match = form.exec(position);
  if (match === null) throw new BadCursor("the cursor was not made by this list");
  return match;
}
