/*
 * An earlier number of partitions is forgotten when nothing is left of it: its time ended more than a retention ago, so
 * no rollback of that time waits for its event any more, and no message is where this number alone would have put it.
 * Where payments may wait to be paid, it ended longer ago than they may.
 * Events that are new never go there: each partition was fenced before the number became an earlier one.
 */
import type { Redis } from "ioredis";
import { key, tagOf, tagsOf, UNPAID_MS } from "./keys.ts";
import { earlierHomesOf, homeOf, type Layout, servedBy } from "./layout.ts";
import { eventIdsOf, postedIdsIn, reading } from "./record.ts";
import { propose } from "./relayout.ts";

/** Returns the numbers that it forgot. @throws RedisAway */
export async function forgetEarlier(redis: Redis, layout: Layout, retentionMs: number): Promise<number[]> {
  const [seconds] = await reading(() => redis.time());
  const isOver = async ({ endedAt, partitions }: Layout["earlier"][number]) => {
    const endedMs = Number(seconds) * 1_000 - endedAt;
    return endedMs > retentionMs && (endedMs > UNPAID_MS || !(await mayWaitForPayment(redis, partitions)));
  };
  let next = layout;
  for (const one of layout.earlier) {
    const without = { ...next, earlier: next.earlier.filter((other) => other !== one) };
    if ((await isOver(one)) && !(await anyNeeds(redis, one.partitions, without))) next = without;
  }
  if (next === layout) return [];
  const made = await propose(redis, layout.version, { ...next, version: layout.version + 1 });
  if (made.version !== layout.version + 1 || made.partitions !== layout.partitions) return []; // somebody was faster
  for (let partition = servedBy(next); partition < servedBy(layout); partition++) await leave(redis, tagOf(partition));
  return layout.earlier.filter((one) => !next.earlier.includes(one)).map(({ partitions }) => partitions);
}

async function mayWaitForPayment(redis: Redis, partitions: number): Promise<boolean> {
  const marks = await reading(() => Promise.all(tagsOf(partitions).map((tag) => redis.exists(key.noticed(tag)))));
  return marks.includes(1);
}

/** Whether an event would not be found any more without this number. */
async function anyNeeds(redis: Redis, partitions: number, without: Layout): Promise<boolean> {
  for (const [partition, tag] of tagsOf(partitions).entries()) {
    for (const chunk of await reading(() => redis.lrange(key.posted(tag), 0, -1))) {
      const ids = postedIdsIn(await reading(() => redis.get(key.postedChunk(tag, chunk))));
      const events = await reading(() => eventIdsOf(redis, tag, ids));
      if (events.some((id) => ![homeOf(id, () => without), ...earlierHomesOf(id, without)].includes(partition)))
        return true;
    }
  }
  return false;
}

/** What was counted there is counted on in the first partition, so that no counter goes back. */
async function leave(redis: Redis, tag: string): Promise<void> {
  await reading(async () => {
    const counts = await redis.hgetall(key.counts(tag));
    await redis.del(key.counts(tag));
    for (const [name, count] of Object.entries(counts)) await redis.hincrby(key.counts(tagOf(0)), name, count);
    await redis.del(key.feed(tag));
  });
}
