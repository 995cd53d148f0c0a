import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { forgetEarlier } from "../stream/forget.ts";
import { layoutOf, type Partitions } from "../stream/layout.ts";
import { type Loop, startLoop } from "./loop.ts";

const [LEAST_MS, MOST_MS] = [1_000, 3_600_000];

/** Forgets earlier numbers of partitions: who remembers one asks for each event that is posted whether it is there. */
export function startForgetter(redis: Redis, partitions: Partitions, retentionMs: number, log: Logger): Loop {
  return startLoop("forgetter", log, async () => {
    for (const number of await forgetEarlier(redis, layoutOf(partitions), retentionMs))
      log.info({ partitions: number }, "an earlier number of partitions is forgotten, nothing is left of it");
    return Math.min(MOST_MS, Math.max(LEAST_MS, retentionMs / 10));
  });
}
