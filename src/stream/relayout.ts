/*
 * Changes the number of partitions while services and workers run.
 *   1. The new layout is proposed in the first partition: of two changes at once the second finds the first.
 *   2. Each partition is fenced with it, the first one last. Who still has the old layout is told that it has moved, and
 *      reads it again.
 *   3. The fence of the first partition is the layout: who reads it knows that all others are fenced.
 * A crash in between leaves a proposal: whoever reads the layout next completes it. Each step may be done twice.
 * A first partition that has lost the layout, or came back older, gets it again from the fence of another partition, or
 * from a process that knows it.
 */
import type { Redis } from "ioredis";
import fenceSource from "./fence.lua" with { type: "text" };
import { key, tagOf } from "./keys.ts";
import { type Layout, parseLayout, tagsServedBy, textOf } from "./layout.ts";
import proposeSource from "./propose.lua" with { type: "text" };
import { reading } from "./record.ts";
import { script } from "./script.ts";
import { checkUse, newestFence } from "./usedPartitions.ts";

const proposeScript = script("propose", proposeSource, "allow-oom");
const fenceScript = script("fence", fenceSource, "allow-oom");

const FIRST = tagOf(0);

/**
 * The layout in Redis, with a change that somebody did not complete; undefined when there is none.
 * @param moved a partition that has another one
 * @throws RedisAway
 */
export async function readLayout(redis: Redis, moved = FIRST): Promise<Layout | undefined> {
  // Not as one MGET: while a cluster moves their slot, it takes no command with a key that is missing.
  const [now, next] = await reading(() =>
    Promise.all([key.layout(FIRST), key.layoutNext(FIRST)].map((one) => redis.get(one))),
  );
  const proposed = parseLayout(next);
  if (proposed !== undefined) return complete(redis, proposed);
  const layout = parseLayout(now);
  const fence = moved === FIRST ? undefined : parseLayout(await reading(() => redis.get(key.layout(moved))));
  const isBehind = fence !== undefined && fence.version > (layout?.version ?? 0);
  return isBehind ? complete(redis, fence) : layout;
}

/**
 * The layout in Redis; without one, this number becomes it.
 * @throws StrangeData when Redis has messages of another number, RedisAway
 */
export async function adoptLayout(redis: Redis, partitions: number): Promise<Layout> {
  const known =
    (await readLayout(redis)) ?? (await newestFence(redis).then((fence) => fence && complete(redis, fence)));
  if (known !== undefined) return known;
  await checkUse(redis, partitions);
  return propose(redis, 0, { version: 1, partitions, earlier: [] });
}

/**
 * The number that is in use goes on. What Redis has instead is an earlier number then, for the messages of that time.
 * @throws RedisAway
 */
export async function restoreLayout(redis: Redis, known: Layout, found: Layout | undefined): Promise<Layout> {
  const version = Math.max(known.version, found?.version ?? 0) + 1;
  const { partitions } = known;
  const ofRedis = found === undefined ? [] : [{ partitions: found.partitions, endedAt: 0 }, ...found.earlier];
  const numbers = new Map([...known.earlier, ...ofRedis].map((one) => [one.partitions, one]));
  numbers.delete(partitions);
  return propose(redis, found?.version ?? 0, { version, partitions, earlier: [...numbers.values()] });
}

/** @throws RedisAway: it may be half done, and is completed by whoever reads it next */
export async function changeLayout(redis: Redis, partitions: number): Promise<Layout> {
  for (;;) {
    const known = await adoptLayout(redis, partitions);
    if (known.partitions === partitions) return known;
    const earlier = [{ partitions: known.partitions, endedAt: 0 }, ...known.earlier].filter(
      (one) => one.partitions !== partitions,
    );
    const next = { version: known.version + 1, partitions, earlier };
    // With a shard away it would stay half done, and its other partitions would take nothing meanwhile.
    await reading(() => Promise.all(tagsServedBy(() => next).map((tag) => redis.get(key.layout(tag)))));
    const made = await propose(redis, known.version, next);
    if (made.partitions === partitions) return made;
  }
}

/**
 * Completes the change that is under way then: this one, or another's.
 * @param version that it follows, 0: none
 */
export async function propose(redis: Redis, version: number, layout: Layout): Promise<Layout> {
  const [now, next] = (await proposeScript(redis, FIRST, [version, textOf(layout)])) as [string, string];
  const proposed = parseLayout(next);
  if (proposed !== undefined) return complete(redis, proposed);
  return parseLayout(now) ?? layout;
}

async function complete(redis: Redis, layout: Layout): Promise<Layout> {
  const text = textOf(layout);
  const [first = FIRST, ...others] = tagsServedBy(() => layout);
  // A queue that is paused stays so in partitions that are new.
  const paused = await reading(() => redis.smembers(key.paused(first)));
  for (const tag of others) {
    if (paused.length > 0) await reading(() => redis.sadd(key.paused(tag), paused));
    await fenceScript(redis, tag, [text]);
  }
  return parseLayout(String(await fenceScript(redis, first, [text]))) ?? layout;
}
