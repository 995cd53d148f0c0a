/*
 * Changes the number of partitions while services and workers run.
 *   1. The new layout is proposed in the first partition: of two changes at once the second finds the first.
 *   2. Each partition is fenced with it, the first one last. Who still has the old layout is told that it has moved, and
 *      reads it again.
 *   3. The fence of the first partition is the layout: who reads it knows that all others are fenced.
 * A crash in between leaves a proposal: whoever reads the layout next completes it. Each step may be done twice.
 */
import type { Redis } from "ioredis";
import fenceSource from "./fence.lua" with { type: "text" };
import { key, tagOf } from "./keys.ts";
import { type Layout, parseLayout, tagsServedBy, textOf } from "./layout.ts";
import { MAX_PARTITIONS } from "./messageId.ts";
import proposeSource from "./propose.lua" with { type: "text" };
import { reading } from "./record.ts";
import { script } from "./script.ts";

const proposeScript = script("propose", proposeSource, "allow-oom");
const fenceScript = script("fence", fenceSource, "allow-oom");

const FIRST = tagOf(0);

/** Of an earlier life without a layout, or of another program. */
class StrangeData extends Error {
  override name = "StrangeData";
}

/** The layout in Redis, with a change that somebody did not complete; undefined when there is none. @throws RedisAway */
export async function readLayout(redis: Redis): Promise<Layout | undefined> {
  const [now, next] = await reading(() => redis.mget(key.layout(FIRST), key.layoutNext(FIRST)));
  const proposed = parseLayout(next);
  return proposed === undefined ? parseLayout(now) : complete(redis, proposed);
}

/**
 * The layout in Redis; without one, this number becomes it.
 * @throws StrangeData when Redis has messages in more partitions, RedisAway
 */
export async function adoptLayout(redis: Redis, partitions: number): Promise<Layout> {
  const known = await readLayout(redis);
  if (known !== undefined) return known;
  const highest = await highestUsed(redis);
  if (highest >= partitions) {
    throw new StrangeData(`Redis has messages in ${highest + 1} partitions, and does not know their number`);
  }
  return propose(redis, 0, { version: 1, partitions, earlier: [] });
}

/** @param now epoch ms. @throws RedisAway: it may be half done, and is completed by whoever reads it next */
export async function changeLayout(redis: Redis, partitions: number, now: number): Promise<Layout> {
  for (;;) {
    const known = await adoptLayout(redis, partitions);
    if (known.partitions === partitions) return known;
    const earlier = [{ partitions: known.partitions, endedAt: now }, ...known.earlier];
    const others = earlier.filter((one, i) => i === 0 || one.partitions !== known.partitions);
    const made = await propose(redis, known.version, { version: known.version + 1, partitions, earlier: others });
    if (made.partitions === partitions) return made;
  }
}

/** Completes the change that is under way then: this one, or another's. */
async function propose(redis: Redis, version: number, layout: Layout): Promise<Layout> {
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
  await fenceScript(redis, first, [text]);
  return layout;
}

/** The highest partition that anything was ever posted to; -1 for none. */
async function highestUsed(redis: Redis): Promise<number> {
  const all = Array.from({ length: MAX_PARTITIONS }, (_, partition) => partition);
  const used = await reading(() => Promise.all(all.map((partition) => redis.exists(key.counts(tagOf(partition))))));
  return used.lastIndexOf(1);
}
