/* What a Redis that has no layout says of itself by what is in it: one of an earlier version, or one that has lost it. */
import type { Redis } from "ioredis";
import { key, partitionOf, tagOf } from "./keys.ts";
import { type Layout, parseLayout } from "./layout.ts";
import { MAX_PARTITIONS } from "./messageId.ts";
import { eventIdsOf, postedIdsIn, reading } from "./record.ts";

/** Its messages are of another number of partitions. */
export class StrangeData extends Error {
  override name = "StrangeData";
}

/** Messages in a partition that are looked at. */
const SAMPLE = 100;

const ALL = Array.from({ length: MAX_PARTITIONS }, (_, partition) => partition);

/** The newest layout that any partition is fenced with. @throws RedisAway */
export async function newestFence(redis: Redis): Promise<Layout | undefined> {
  const texts = await reading(() => Promise.all(ALL.map((partition) => redis.get(key.layout(tagOf(partition))))));
  return texts
    .flatMap((text) => parseLayout(text) ?? [])
    .sort((a, b) => a.version - b.version)
    .at(-1);
}

/** @throws StrangeData when messages are where this number would not have put them, RedisAway */
export async function checkUse(redis: Redis, partitions: number): Promise<void> {
  const used = await reading(() => Promise.all(ALL.map((partition) => redis.exists(key.counts(tagOf(partition))))));
  const samples = await Promise.all(used.map((one, partition) => (one === 1 ? sampleOf(redis, partition) : [])));
  const highest = used.lastIndexOf(1);
  const fits = (number: number) =>
    number > highest && samples.every((ids, partition) => ids.every((id) => partitionOf(id, number) === partition));
  if (fits(partitions)) return;
  const right = ALL.find((below) => fits(below + 1));
  throw new StrangeData(
    right === undefined
      ? `Redis has messages in ${highest + 1} partitions, of several numbers, and has lost which`
      : `Redis has messages of ${right + 1}: start with PARTITIONS=${right + 1}, then \`postpaid partitions ${partitions}\` changes it while it runs`,
  );
}

/** Ids of events, of the messages that were posted first and last. */
async function sampleOf(redis: Redis, partition: number): Promise<string[]> {
  const tag = tagOf(partition);
  return reading(async () => {
    const chunks = await redis.lrange(key.posted(tag), 0, -1);
    const texts = await Promise.all(
      [...new Set([chunks[0], ...chunks.slice(-2)])].map((chunk) => redis.get(key.postedChunk(tag, chunk ?? ""))),
    );
    const ids = texts.flatMap(postedIdsIn);
    const some = [...ids.slice(0, SAMPLE), ...ids.slice(SAMPLE).slice(-SAMPLE)];
    return eventIdsOf(redis, tag, some);
  });
}
