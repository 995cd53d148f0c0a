/* Dead letters: listed, replayed and dropped by people. */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import type { Note } from "../domain/door/notes.ts";
import { type Event, withoutNotes } from "../domain/event.ts";
import type { Message } from "../domain/lifecycle.ts";
import { parseEvent } from "../types/parse.ts";
import dropSource from "./drop.lua" with { type: "text" };
import { bookingDigest, digestOf, key } from "./keys.ts";
import { type Partitions, tagsServedBy } from "./layout.ts";
import { placesOf } from "./messageId.ts";
import { eventOf, reading, readMessages } from "./record.ts";
import replaySource from "./replay.lua" with { type: "text" };
import { script } from "./script.ts";
import { BadCursor, type DeadLetters, type DeadQuery, type Edit, type Page, type Replayed } from "./store.ts";

const replayScript = script("replay", replaySource);
const dropScript = script("drop", dropSource, "allow-oom");

/** A page gives up looking for a fingerprint after so many entries and returns what it has, with a cursor. */
const SCAN = 1_000;

export function createDeadLetters(
  redis: Redis,
  partitions: Partitions,
  retentionMs: number,
  log?: Logger,
): DeadLetters {
  async function list({ fingerprint, cursor, limit }: DeadQuery): Promise<Page> {
    const tags = tagsServedBy(partitions);
    let [partition, position] = decodeCursor(cursor, tags.length);
    const items: Message[] = [];
    for (let scanned = 0; partition < tags.length && items.length < limit && scanned < SCAN; ) {
      const tag = tags[partition] as string;
      const count = limit - items.length;
      const from = position === "" ? "+" : `(${position}`;
      const entries = await redis.xrevrange(key.dead(tag), from, "-", "COUNT", count);
      const ids = entries
        .filter(([, f]) => fingerprint === undefined || f[3] === fingerprint)
        .map(([, f]) => f[1] ?? "");
      items.push(...(await readMessages(redis, tag, ids)));
      scanned += Math.max(entries.length, 1);
      if (entries.length < count) [partition, position] = [partition + 1, ""];
      else position = entries.at(-1)?.[0] ?? "";
    }
    return partition < tags.length ? { items, cursor: `${partition}:${position}` } : { items };
  }

  async function replay(messageId: string, edit: Edit): Promise<Replayed> {
    for (const { tag, id } of placesOf(messageId, partitions)) {
      const change = await edited(redis, tag, id, edit);
      if ("problems" in change) return change;
      const { json, digests } = change;
      const [result, eventId] = (await replayScript(redis, tag, [id, json, digests])) as string[];
      if (result === "replayed") log?.info({ eventId, messageId: id, edited: json !== "" }, "message replayed");
      if (result !== "not_found") return result as "replayed" | "not_dead";
    }
    return "not_found";
  }

  async function drop(messageId: string) {
    for (const { tag, id } of placesOf(messageId, partitions)) {
      const [result, eventId] = (await dropScript(redis, tag, [id, retentionMs])) as string[];
      if (result === "dropped") log?.info({ eventId, messageId: id }, "message dropped");
      if (result !== "not_found") return result as "dropped" | "not_dead";
    }
    return "not_found";
  }

  async function groups() {
    const counts = new Map<string, number>();
    for (const group of await Promise.all(tagsServedBy(partitions).map((tag) => redis.hgetall(key.deadGroups(tag))))) {
      for (const [name, count] of Object.entries(group)) counts.set(name, (counts.get(name) ?? 0) + Number(count));
    }
    return [...counts].map(([fingerprint, count]) => ({ fingerprint, count })).sort((a, b) => b.count - a.count);
  }

  return {
    list: (query) => reading(() => list(query)),
    groups: () => reading(groups),
    replay: (messageId, edit) => reading(() => replay(messageId, edit)),
    drop,
  };
}

type Change = { json: string; digests: string } | { problems: readonly Note[] };

const NO_CHANGE = { json: "", digests: "" };

/** A dead message changes only by replay or drop, and the script checks again that it is dead. */
async function edited(redis: Redis, tag: string, messageId: string, { recipient, data }: Edit): Promise<Change> {
  if (recipient === undefined && data === undefined) return NO_CHANGE;
  const kept = await redis.hget(key.message(tag, messageId), "e");
  if (!kept) return NO_CHANGE; // there is none to edit, as the script will say
  const before = eventOf(kept);
  if (before === undefined)
    return { problems: [{ pointer: "", detail: "the stored event cannot be read, nor edited" }] };
  const parsed = parseEvent({ ...withoutNotes(before), data: data ?? before.data });
  if (!parsed.ok) return { problems: parsed.problems };
  const { event } = parsed;
  if (recipient !== undefined) event.data.customer.email = recipient;
  // Under the same digest it is listed already.
  const changed = (of: (event: Event) => string) => (of(before) === of(event) ? "" : of(event));
  const booking = changed(({ data }) => bookingDigest(data.booking.id));
  const customer = changed(({ data }) => digestOf(data.customer.email));
  return { json: JSON.stringify(event), digests: booking + customer === "" ? "" : `${booking}|${customer}` };
}

function decodeCursor(cursor: string | undefined, partitions: number): [number, string] {
  if (cursor === undefined) return [0, ""];
  const match = /^(\d{1,3}):((?:\d{1,16}-\d{1,16})?)$/.exec(cursor);
  if (match === null || Number(match[1]) >= partitions) throw new BadCursor("the cursor was not made by this service");
  return [Number(match[1]), match[2] as string];
}
