/*
 * Finding messages. By id and by event it is one read. A list goes over what the scripts keep anyway:
 * the due set, the work streams, the dead letters, the index by booking and recipient, and for all
 * else the feed, which reaches back FEED_LENGTH transitions.
 */
import type { Redis } from "ioredis";
import { type Message, PRIORITIES } from "../domain/lifecycle.ts";
import { bucketOf, key, partitionOf, tagOf } from "./keys.ts";
import { partitionOfMessage } from "./messageId.ts";
import { reading, readMessages } from "./record.ts";
import { BadCursor, type MessageQuery, type Messages, type Page } from "./store.ts";

/** Ids to look at, and where to go on: undefined at the end. */
interface Step {
  ids: string[];
  next: string | undefined;
}

type Source = (tag: string, position: string, count: number) => Promise<Step>;

/** A page gives up looking for matches after so many reads and returns what it has, with a cursor. */
const MAX_STEPS = 20;

export function createMessages(redis: Redis, partitions: number): Messages {
  const tags = Array.from({ length: partitions }, (_, partition) => tagOf(partition));

  async function byId(messageId: string): Promise<Message | undefined> {
    const partition = partitionOfMessage(messageId);
    for (const tag of partition === undefined ? tags : [tagOf(partition)]) {
      const [message] = await readMessages(redis, tag, [messageId]);
      if (message !== undefined) return message;
    }
    return undefined;
  }

  async function byEvent(eventId: string): Promise<Message | undefined> {
    const tag = tagOf(partitionOf(eventId, partitions));
    const known = await redis.get(key.dedup(tag, eventId));
    const messageId = known?.split(" ")[0];
    return messageId === undefined ? undefined : (await readMessages(redis, tag, [messageId]))[0];
  }

  async function list(query: MessageQuery): Promise<Page> {
    const source = sourceFor(redis, query);
    let { partition, position } = decodeCursor(query.cursor, partitions);
    const items: Message[] = [];
    const seen = new Set<string>();
    for (let step = 0; step < MAX_STEPS && partition < partitions; step++) {
      const tag = tags[partition] as string;
      const { ids, next } = await source(tag, position, query.limit - items.length);
      const fresh = ids.filter((id) => !seen.has(id));
      for (const id of fresh) seen.add(id);
      items.push(...(await readMessages(redis, tag, fresh)).filter((message) => matches(message, query)));
      if (next === undefined) {
        partition += 1;
        position = "";
      } else position = next;
      if (items.length >= query.limit) break;
    }
    return partition < partitions ? { items, cursor: encodeCursor(partition, position) } : { items };
  }

  return {
    byId: (messageId) => reading(() => byId(messageId)),
    byEvent: (eventId) => reading(() => byEvent(eventId)),
    list: (query) => reading(() => list(query)),
  };
}

function matches(message: Message, { state, booking, recipient }: MessageQuery): boolean {
  return (
    (state === undefined || message.state === state) &&
    (booking === undefined || message.bookingId === booking) &&
    (recipient === undefined || message.recipient.toLowerCase() === recipient.toLowerCase())
  );
}

function sourceFor(redis: Redis, { state, booking, recipient }: MessageQuery): Source {
  if (booking !== undefined) return inBucket(redis, bucketOf("booking", booking));
  if (recipient !== undefined) return inBucket(redis, bucketOf("recipient", recipient));
  if (state === "held") return bySortedSet(redis, key.held, "soonest");
  if (state === "scheduled" || state === "deferred") return bySortedSet(redis, key.due, "soonest");
  if (state === "queued" || state === "sending") return inWorkStreams(redis);
  if (state === "dead") return newestOf(redis, key.dead, () => true);
  // A message is listed where it entered the state; with no state asked for, where it was posted.
  return newestOf(redis, key.feed, (feed) => (state === undefined ? feed.r === "posted" : feed.s === state));
}

function inBucket(redis: Redis, bucket: string): Source {
  return bySortedSet(redis, (tag) => key.find(tag, bucket), "latest");
}

function bySortedSet(redis: Redis, keyOf: (tag: string) => string, first: "soonest" | "latest"): Source {
  return async (tag, position, count) => {
    const start = Number(position || 0);
    const stop = start + count - 1;
    const ids =
      first === "latest"
        ? await redis.zrange(keyOf(tag), String(start), String(stop), "REV")
        : await redis.zrange(keyOf(tag), String(start), String(stop));
    return { ids, next: ids.length < count ? undefined : String(start + count) };
  };
}

/** The streams one after the other, highest priority first, oldest entry first. */
function inWorkStreams(redis: Redis): Source {
  return async (tag, position, count) => {
    const [rank = "0", after = ""] = position.split(" ");
    const start = after === "" ? "-" : `(${after}`;
    const entries = await redis.xrange(key.queue(tag, Number(rank)), start, "+", "COUNT", count);
    const last = entries.at(-1)?.[0];
    const more = entries.length === count && last !== undefined;
    const nextRank = Number(rank) + 1;
    const next = more ? `${rank} ${last}` : nextRank < PRIORITIES.length ? `${nextRank} ` : undefined;
    return { ids: entries.map(([, fields]) => fields[1] ?? ""), next };
  };
}

/** Reads backwards, and so far that a page fills even when few entries are wanted. */
function newestOf(
  redis: Redis,
  keyOf: (tag: string) => string,
  wanted: (fields: { s?: string; r?: string }) => boolean,
): Source {
  return async (tag, position, count) => {
    const scan = Math.max(count, 500);
    const entries = await redis.xrevrange(keyOf(tag), position === "" ? "+" : `(${position}`, "-", "COUNT", scan);
    const ids: string[] = [];
    let read = 0;
    for (const [, fields] of entries) {
      read += 1;
      if (wanted({ s: fields[3] ?? "", r: fields[7] ?? "" })) ids.push(fields[1] ?? "");
      if (ids.length === count) break;
    }
    const more = read < entries.length || entries.length === scan;
    return { ids, next: more ? entries[read - 1]?.[0] : undefined };
  };
}

function encodeCursor(partition: number, position: string): string {
  return Buffer.from(`${partition}:${position}`).toString("base64url");
}

function decodeCursor(cursor: string | undefined, partitions: number): { partition: number; position: string } {
  if (cursor === undefined) return { partition: 0, position: "" };
  const match = /^(\d{1,3}):((?:[0-2] )?(?:\d{1,16}(?:-\d{1,16})?)?)$/.exec(
    Buffer.from(cursor, "base64url").toString(),
  );
  if (match === null || Number(match[1]) >= partitions) throw new BadCursor("the cursor was not made by this service");
  return { partition: Number(match[1]), position: match[2] as string };
}
