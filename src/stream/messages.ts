/* Finding messages: by id and by event with one read, or as a list (sources.ts). */
import type { Redis } from "ioredis";
import type { Message } from "../domain/lifecycle.ts";
import { time } from "../domain/time.ts";
import { key, tagOf } from "./keys.ts";
import { earlierHomesOf, homeOf, layoutOf, type Partitions, tagsServedBy } from "./layout.ts";
import { messageIdOf, placesOf } from "./messageId.ts";
import { reading, readMessages } from "./record.ts";
import { type Found, sourceFor } from "./sources.ts";
import { BadCursor, type MessageQuery, type Messages, type Page } from "./store.ts";

/** @param searchMs a page looks for matches so long; then it returns what it has, with a cursor */
export function createMessages(redis: Redis, partitions: Partitions, searchMs = 1_000): Messages {
  async function byId(messageId: string): Promise<Message | undefined> {
    for (const { tag, id } of placesOf(messageId, partitions)) {
      const [message] = await readMessages(redis, tag, [id]);
      if (message !== undefined) return message;
    }
    return undefined;
  }

  async function byEvent(eventId: string): Promise<Message | undefined> {
    for (const partition of [homeOf(eventId, partitions), ...earlierHomesOf(eventId, layoutOf(partitions))]) {
      const tag = tagOf(partition);
      const first = messageIdOf(eventId, partition);
      const latest = await redis.hget(key.message(tag, first), "g");
      const [message] = await readMessages(redis, tag, latest === null ? [first] : [latest, first]);
      if (message !== undefined) return message;
    }
    return undefined;
  }

  async function list(query: MessageQuery): Promise<Page> {
    const source = sourceFor(redis, query);
    const tags = tagsServedBy(partitions);
    let { partition, position } = decodeCursor(query.cursor, tags.length);
    const items: Message[] = [];
    const seen = new Set<string>();
    const endAt = time.monotonicMs() + searchMs;
    do {
      const tag = tags[partition] as string;
      const { found, next } = await source(tag, position, query.limit - items.length);
      const fresh = new Map<string, Found>();
      for (const one of found) {
        if (!seen.has(one.id)) fresh.set(one.id, one); // the first one found is the latest
        seen.add(one.id);
      }
      for (const message of await readMessages(redis, tag, [...fresh.keys()])) {
        if (matches(message, query) && isMeant(message, fresh.get(message.id))) items.push(message);
      }
      if (next === undefined) [partition, position] = [partition + 1, ""];
      else position = next;
    } while (partition < tags.length && items.length < query.limit && time.monotonicMs() < endAt);
    return partition < tags.length ? { items, cursor: encodeCursor(partition, position) } : { items };
  }

  return {
    byId: (messageId) => reading(() => byId(messageId)),
    byEvent: (eventId) => reading(() => byEvent(eventId)),
    list: (query) => reading(() => list(query)),
  };
}

function isMeant({ attempt, timeline }: Message, found: Found | undefined): boolean {
  return (found?.attempt ?? attempt) === attempt && (timeline.at(-1)?.at ?? 0) <= (found?.until ?? Infinity);
}

function matches(message: Message, { state, booking, recipient }: MessageQuery): boolean {
  return (
    (state === undefined || message.state === state) &&
    (booking === undefined || [booking].flat().includes(message.bookingId)) &&
    (recipient === undefined || [recipient].flat().some((one) => isSameMailbox(one, message.recipient)))
  );
}

function isSameMailbox(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

function encodeCursor(partition: number, position: string): string {
  return Buffer.from(`${partition}:${position}`).toString("base64url");
}

function decodeCursor(cursor: string | undefined, partitions: number): { partition: number; position: string } {
  if (cursor === undefined) return { partition: 0, position: "" };
  const match = /^(\d{1,3}):([\w. -]{0,100})$/.exec(Buffer.from(cursor, "base64url").toString());
  if (match === null || Number(match[1]) >= partitions) throw new BadCursor("the cursor was not made by this service");
  return { partition: Number(match[1]), position: match[2] as string };
}
