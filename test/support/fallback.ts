/* A fallback as tests and benches need it. What one of them needs otherwise, it says. */
import { createFallback, type FallbackIngress, type FallbackOptions } from "../../src/journal/fallback.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";

/** One partition, due in a minute, no jitter. */
export function openFallback(
  options: Pick<FallbackOptions, "inner" | "journal" | "log"> & Partial<FallbackOptions>,
): FallbackIngress {
  return createFallback({
    messageIdOf: (eventId) => messageIdOf(eventId, 0),
    partitions: () => 1,
    partitionOf: () => 0,
    delayMs: 60_000,
    firstCheckMs: 10_000,
    now: Date.now,
    random: () => 0,
    ...options,
  });
}
