/*
 * Where a list of messages comes from: what the scripts keep anyway. A source walks its keys and hands out ids,
 * a page at a time; a position says where a page ended, so that what comes or goes between two pages neither
 * repeats nor hides the others.
 */
import type { Redis } from "ioredis";
import { PRIORITIES } from "../domain/lifecycle.ts";
import { transitionsOf } from "./feed.ts";
import { digestOf, key } from "./keys.ts";
import { BadCursor, type MessageQuery, type Transition } from "./store.ts";

export interface Found {
  id: string;
  /** Of the transition that this id was found by: the message is meant only if it is at this attempt still. */
  attempt?: number;
  /** Epoch ms. The message is meant only if its last transition was no later. */
  until?: number;
}

interface Step {
  found: Found[];
  /** Where to go on; undefined at the end. */
  next: string | undefined;
}

/** Throws BadCursor when the position is not one of its own. "" is the beginning. */
export type Source = (tag: string, position: string, count: number) => Promise<Step>;

/** Entries that a step reads: one of the feed may have a hundred transitions. */
const SCAN = 100;
/** Epoch ms. */
const LAST_TIME = 9_999_999_999_999;
/** Chunks that a step reads, at most: they grow with each, since what is wanted may be rare. */
const MAX_CHUNKS = 16;

export function sourceFor(redis: Redis, { state, booking, recipient }: MessageQuery): Source {
  if (booking !== undefined) return inPosted(redis, [booking].flat().map(digestOf), 1);
  if (recipient !== undefined) return inPosted(redis, [recipient].flat().map(digestOf), 2);
  if (state === undefined) return inPosted(redis);
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
      return inFeedThenPosted(redis, (transition) => transition.state === state);
  }
}

/**
 * Newest first. A position is a chunk, and how many of its finds are older than what was handed out: others come at
 * its end.
 * @param column of a line, where one of `digests` has to stand; a corrected dead letter has no booking there, and is no post
 */
function inPosted(redis: Redis, digests: readonly string[] = [], column: 1 | 2 = 1): Source {
  const numbers = new Map<string, string[]>();
  let reading = 1;

  function findsIn(text: string): Found[] {
    if (digests.length > 0 && !digests.some((digest) => text.includes(digest))) return [];
    const lines = text.split("\n").map((line) => line.split("|"));
    return lines.flatMap(([id = "", ...listed]) =>
      (digests.length === 0 ? listed[0] : digests.includes(listed[column - 1] ?? "")) ? [{ id }] : [],
    );
  }

  function isOlder(number: string, from: string, left: string | undefined): boolean {
    return Number(number) < Number(from) || (number === from && Number(left) > 0);
  }

  return async (tag, position, count) => {
    const [, from, left] = parsed(position, /^(\d{1,12}) (\d{1,9})$/);
    if (!numbers.has(tag)) numbers.set(tag, (await redis.lrange(key.posted(tag), 0, -1)).reverse());
    const older = numbers.get(tag)?.filter((number) => from === undefined || isOlder(number, from, left)) ?? [];
    const chunks = older.slice(0, reading);
    reading = Math.min(reading * 2, MAX_CHUNKS);
    // Not as one MGET: while a cluster moves their slot, it takes no command with keys on both nodes.
    const texts = await Promise.all(chunks.map((number) => redis.get(key.postedChunk(tag, number))));
    const found: Found[] = [];
    for (const [i, number] of chunks.entries()) {
      const finds = findsIn(texts[i] ?? "");
      const end = number === from ? Math.min(Number(left), finds.length) : finds.length;
      const start = Math.max(0, end - (count - found.length));
      found.push(...finds.slice(start, end).reverse());
      if (found.length === count) return { found, next: `${number} ${start}` };
    }
    return { found, next: chunks.length < older.length ? `${chunks.at(-1)} 0` : undefined };
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

/**
 * The feed keeps the latest transitions: behind its end come the messages that moved before it begins, newest post
 * first. A position there begins with the time of the oldest transition that was read.
 */
function inFeedThenPosted(redis: Redis, wanted: (transition: Omit<Transition, "id">) => boolean): Source {
  const feed = inFeed(redis, wanted);
  const posted = inPosted(redis);
  /** By tag, read once: who moved in the millisecond that the feed begins in. */
  const edges = new Map<string, Set<string>>();
  return async (tag, position, count) => {
    const [, until, rest] = /^(\d{1,16}) (\d{1,12} \d{1,9}|-)$/.exec(position) ?? [];
    if (until === undefined) {
      const { found, next } = await feed(tag, position, count);
      const begin = next === undefined ? await beginOfFeed(redis, tag) : undefined;
      return { found, next: next ?? (begin === undefined ? undefined : `${begin} -`) };
    }
    const { found, next } = await posted(tag, rest === "-" ? "" : (rest as string), count);
    const handedOut = edges.get(tag) ?? (await movedAt(redis, tag, until));
    edges.set(tag, handedOut);
    return {
      found: found.flatMap(({ id }) => (handedOut.has(id) ? [] : [{ id, until: Number(until) }])),
      next: next === undefined ? undefined : `${until} ${next}`,
    };
  };
}

/** Those of whom the feed has a transition in that millisecond; of others of that time it no longer has it. */
async function movedAt(redis: Redis, tag: string, epochMs: string): Promise<Set<string>> {
  const entries = await redis.xrange(key.feed(tag), epochMs, epochMs);
  return new Set(entries.flatMap((entry) => transitionsOf(...entry).map(({ messageId }) => messageId)));
}

/** Time of the oldest entry, epoch ms; undefined when none has been trimmed. */
async function beginOfFeed(redis: Redis, tag: string): Promise<string | undefined> {
  const [oldest] = await redis.xrange(key.feed(tag), "-", "+", "COUNT", 1);
  if (oldest === undefined) return String(LAST_TIME);
  const info = (await redis.xinfo("STREAM", key.feed(tag))) as unknown[];
  const of = (name: string) => info[info.indexOf(name) + 1];
  return of("entries-added") === of("length") ? undefined : oldest[0].split("-")[0];
}

/**
 * Soonest first, and by id where the score is the same. A position is the last one that was handed out, and how many
 * there were of its score up to it: some of them may be gone by now.
 */
function inSortedSet(redis: Redis, keyOf: (tag: string) => string): Source {
  return async (tag, position, count) => {
    const [, from = "-inf", alike = "0", last = ""] = parsed(position, /^(\d{1,16}|inf) (\d{1,9}) ([\w.-]{1,64})$/);
    const limit = Number(alike) + count;
    const flat = await redis.zrange(keyOf(tag), from, "+inf", "BYSCORE", "LIMIT", 0, limit, "WITHSCORES");
    const read: { id: string; score: string }[] = [];
    for (let i = 0; i < flat.length; i += 2) read.push({ id: flat[i] as string, score: flat[i + 1] as string });
    const behind = read.filter(({ id, score }) => score !== from || id > last);
    const page = behind.slice(0, count);
    const found = page.map(({ id }) => ({ id }));
    if (read.length < limit && behind.length === page.length) return { found, next: undefined };
    const { id, score } = page.at(-1) ?? { id: last, score: from };
    return { found, next: `${score} ${read.filter((one) => one.score === score && one.id <= id).length} ${id}` };
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
    const entries = await redis.xrevrange(keyOf(tag), from, "-", "COUNT", SCAN);
    const found: Found[] = [];
    for (const [entryId, fields] of entries) {
      const begin = entryId === from ? Number(skipped) : 0;
      const finds = findsIn(entryId, fields).slice(begin, begin + count - found.length);
      found.push(...finds);
      if (found.length === count) return { found, next: `${entryId} ${begin + finds.length}` };
    }
    const last = entries.at(-1)?.[0];
    // Its finds are all handed out: the next page begins behind them.
    const next = entries.length === SCAN && last !== undefined ? `${last} 999999999` : undefined;
    return { found, next };
  };
}

function parsed(position: string, form: RegExp): string[] {
  if (position === "") return [];
  const match = form.exec(position);
  if (match === null) throw new BadCursor("the cursor was not made by this list");
  return match;
}
