/* An ingress as tests and benches need it. What one of them needs otherwise, it says. */
import type { Redis } from "ioredis";
import { pino } from "pino";
import type { Ingress } from "../../src/domain/ingress.ts";
import type { IngressOptions } from "../../src/stream/enqueueCall.ts";
import { createIngress } from "../../src/stream/ingress.ts";

/** One partition, due at once, no limit to speak of. */
export function openIngress(redis: Redis, options: Partial<IngressOptions> = {}): Ingress {
  return createIngress(redis, {
    partitions: 1,
    delayMs: 0,
    dedupTtlMs: 86_400_000,
    retentionMs: 7 * 86_400_000,
    firstCheckMs: 10_000,
    maxBacklog: 5_000_000,
    durability: () => (options.minReplicas ? "replicated" : "written"),
    minReplicas: 0,
    log: pino({ level: "silent" }),
    ...options,
  });
}
