/* The work streams as a whole: how deep, how many ever, paused or not. */
import type { Redis } from "ioredis";
import { PRIORITIES, type Priority, STATES, type State } from "../domain/lifecycle.ts";
import { GROUP, key } from "./keys.ts";
import { type Partitions, tagsServedBy } from "./layout.ts";
import { reading } from "./record.ts";
import type { QueueDepth, Queues } from "./store.ts";

export function createQueues(redis: Redis, partitions: Partitions): Queues {
  const tags = () => tagsServedBy(partitions);

  /** A group's own lag may be nil or wrong, so what waits is the length less what is pending. */
  async function depthOf(rank: number): Promise<QueueDepth> {
    const depth = { name: PRIORITIES[rank] as Priority, paused: false, queued: 0, sending: 0 };
    for (const tag of tags()) {
      const length = await redis.xlen(key.queue(tag, rank));
      const sending = await pendingOf(redis, key.queue(tag, rank));
      depth.queued += Math.max(0, length - sending);
      depth.sending += sending;
      depth.paused ||= (await redis.sismember(key.paused(tag), String(rank))) === 1;
    }
    return depth;
  }

  async function counts() {
    const sums = Object.fromEntries(STATES.map((state) => [state, { now: 0, total: 0 }])) as Record<
      State,
      { now: number; total: number }
    >;
    for (const tag of tags()) {
      const counters = await redis.hgetall(key.counts(tag));
      for (const state of STATES) {
        const entered = Number(counters[`in:${state}`] ?? 0);
        sums[state].total += entered;
        sums[state].now += entered - Number(counters[`out:${state}`] ?? 0);
      }
    }
    return sums;
  }

  async function setPaused(queue: Priority, paused: boolean): Promise<void> {
    const rank = String(PRIORITIES.indexOf(queue));
    for (const tag of tags()) {
      if (paused) await redis.sadd(key.paused(tag), rank);
      else await redis.srem(key.paused(tag), rank);
    }
  }

  return {
    depths: () => reading(() => Promise.all(PRIORITIES.map((_, rank) => depthOf(rank)))),
    counts: () => reading(counts),
    pause: (queue) => reading(() => setPaused(queue, true)),
    resume: (queue) => reading(() => setPaused(queue, false)),
  };
}

async function pendingOf(redis: Redis, stream: string): Promise<number> {
  try {
    const [pending] = (await redis.xpending(stream, GROUP)) as [number];
    return pending;
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("NOGROUP")) return 0;
    throw error;
  }
}
