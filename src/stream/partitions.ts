/* The partitions as people see and change them. */
import type { Redis } from "ioredis";
import { PRIORITIES } from "../domain/lifecycle.ts";
import { key, tagOf } from "./keys.ts";
import { servedBy } from "./layout.ts";
import type { LayoutWatch } from "./layoutWatch.ts";
import { reading } from "./record.ts";
import { changeLayout } from "./relayout.ts";
import type { Partition, Partitioning } from "./store.ts";

export function createPartitions(redis: Redis, layout: LayoutWatch): Partitioning {
  async function partition(number: number): Promise<Partition> {
    const tag = tagOf(number);
    const lengths = await Promise.all([
      ...PRIORITIES.map((_, rank) => redis.xlen(key.queue(tag, rank))),
      redis.zcard(key.due(tag)),
    ]);
    const [held, dead] = await Promise.all([redis.zcard(key.held(tag)), redis.xlen(key.dead(tag))]);
    const waiting = lengths.reduce((sum, length) => sum + length, 0);
    return { number, waiting, held, dead, draining: number >= layout.now().partitions };
  }

  async function standing() {
    const { partitions } = layout.now();
    const numbers = Array.from({ length: servedBy(layout.now()) }, (_, number) => number);
    return { partitions, items: await reading(() => Promise.all(numbers.map(partition))) };
  }

  return {
    standing,
    async change(partitions) {
      await changeLayout(redis, partitions);
      await layout.refresh();
      return standing();
    },
  };
}
