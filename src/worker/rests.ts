/*
 * Partitions from which nothing is taken for now: their shard failed, and does not answer yet. A take from one that
 * hangs would hold up the others, so one is asked beside the takes whether it answers.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { backoffMs } from "../domain/backoff.ts";
import { sleep, time } from "../domain/time.ts";
import { SlotMoves } from "../stream/fault.ts";
import { key } from "../stream/keys.ts";

const FIRST_WAIT_MS = 50;
const MAX_WAIT_MS = 2_000;

export interface Rests {
  has(tag: string): boolean;
  /** A take from it worked. */
  answered(tag: string): void;
  /**
   * A take from it failed, and may have taken long to.
   * @param begunAt time.monotonicMs()
   */
  failed(tag: string, error: unknown, begunAt: number): void;
  stop(): void;
}

/** @param onBack a partition answers, and may be taken from again */
export function createRests(redis: Redis, tags: readonly string[], onBack: () => void, log: Logger): Rests {
  const resting = new Set<string>();
  /** By tag, since a take worked there. */
  const failures = new Map<string, number>();
  /** By tag, time.monotonicMs(). */
  const answeredAt = new Map<string, number>();
  let stopped = false;

  /** Returns how long to wait, ms. */
  function count(tag: string, error: unknown): number {
    const times = failures.get(tag) ?? 0;
    failures.set(tag, times + 1);
    if (times === 0) log.error({ tag, err: error }, "nothing can be taken from a partition, the others go on");
    return backoffMs(times, FIRST_WAIT_MS, MAX_WAIT_MS);
  }

  async function rest(tag: string, firstMs: number): Promise<void> {
    resting.add(tag);
    for (let waitMs: number | undefined = firstMs; waitMs !== undefined && !stopped; ) {
      await sleep(waitMs);
      waitMs = await redis.exists(key.queue(tag, 0)).then(
        () => undefined,
        (error: unknown) => (stopped ? undefined : count(tag, error)),
      );
    }
    resting.delete(tag);
    if (!stopped) onBack();
  }

  return {
    has: (tag) => resting.has(tag),
    answered(tag) {
      answeredAt.set(tag, time.monotonicMs());
      if (failures.delete(tag)) log.warn({ tag }, "the partition is taken from again");
    },
    failed(tag, error, begunAt) {
      if (!resting.has(tag)) void rest(tag, count(tag, error));
      if (error instanceof SlotMoves) return; // its shard has answered
      // Who has not answered since may be on the same shard.
      const isSuspect = (other: string) => !resting.has(other) && (answeredAt.get(other) ?? 0) < begunAt;
      for (const other of tags.filter(isSuspect)) void rest(other, 0);
    },
    stop() {
      stopped = true;
    },
  };
}
