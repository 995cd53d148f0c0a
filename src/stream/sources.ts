/*
 * Where a list of messages comes from: what the scripts keep anyway. A source walks one key and hands out ids,
 * a page at a time; a position says where a page ended, so that what comes or goes between two pages neither
 * repeats nor hides the others.
 */
import type { Redis } from "ioredis";
import { PRIORITIES } from "../domain/lifecycle.ts";
import { transitionsOf } from "./feed.ts";
import { bucketOf, key } from "./keys.ts";
import { BadCursor, type MessageQuery, type Transition } from "./store.ts";

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
    return inFeed(redis, ({ reason }) => reason === "posted");
  }
  // biome-ignore lint/nursery/useExhaustiveSwitchCases: undefined has left above, which the compiler knows
  switch (state) {
    case "held":
      return inSortedSet(redis, key.held);
    case "scheduled":
    case "deferred":
      return inSortedSet(redis, key.due);
    case "queued":
    case "sending":
      return inWorkStreams(redis);
    case "dead":
      return inStream(redis, key.dead, (_, [, id = ""]) => [{ id }]);
    case "sent":
    case "bounced":
    case "unknown":
    case "cancelled":
      return inFeed(redis, (transition) => transition.state === state);
  }
}

/** Newest first. A position is how many of the list are older than what was handed out: others come at its end. */
function inBucket(redis: Redis, bucket: string): Source {
  return async (tag, position, count) => {
    const [from] = parsed(position, /^\d{1,9}$/);
    const end = from === undefined ? await redis.llen(key.find(tag, bucket)) : Number(from);
    const start = Math.max(0, end - count);
    const ids = end === 0 ? [] : await redis.lrange(key.find(tag, bucket), start, end - 1);
    return { found: ids.reverse().map((id) => ({ id })), next: start === 0 ? undefined : String(start) };
  };
}

/** Where a message was moved by a transition that is wanted, the latest first. */
function inFeed(redis: Redis, wanted: (transition: Omit<Transition, "id">) => boolean): Source {
  return inStream(redis, key.feed, (entryId, fields) =>
    transitionsOf(entryId, fields)
      .filter(wanted)
      .map(({ messageId: id, attempt }) => (attempt === undefined ? { id } : { id, attempt }))
      .reverse(),
  );
}

/** Soonest first. A position is a score, and how many with this score were handed out. */
function inSortedSet(redis: Redis, keyOf: (tag: string) => string): Source {
  return async (tag, position, count) => {
    const [, from = "-inf", skipped = "0"] = parsed(position, /^(\d{1,16}|inf) (\d{1,9})$/);
    const flat = await redis.zrange(keyOf(tag), from, "+inf", "BYSCORE", "LIMIT", Number(skipped), count, "WITHSCORES");
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

/** Newest first. A position is an entry, and how many of its finds were handed out. */
function inStream(
  redis: Redis,
  keyOf: (tag: string) => string,
  findsIn: (entryId: string, fields: string[]) => Found[],
): Source {
  return async (tag, position, count) => {
    const [, from = "+", skipped = "0"] = parsed(position, /^(\d{1,16}-\d{1,16}) (\d{1,9})$/);
    const scan = Math.max(count, SCAN);
    const entries = await redis.xrevrange(keyOf(tag), from, "-", "COUNT", scan);
    const found: Found[] = [];
    for (const [entryId, fields] of entries) {
      const begin = entryId === from ? Number(skipped) : 0;
      const finds = findsIn(entryId, fields).slice(begin, begin + count - found.length);
      found.push(...finds);
      if (found.length === count) return { found, next: `${entryId} ${begin + finds.length}` };
    }
    const last = entries.at(-1)?.[0];
    // Its finds are all handed out: the next page begins behind them.
    const next = entries.length === scan && last !== undefined ? `${last} 999999999` : undefined;
    return { found, next };
  };
}

function parsed(position: string, form: RegExp): string[] {
  if (position === "") return [];
  const match = form.exec(position);
  if (match === null) throw new BadCursor("the cursor was not made by this list");
  return match;
}
