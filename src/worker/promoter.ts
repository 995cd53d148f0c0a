import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { promote } from "../stream/take.ts";
import { type Loop, startLoop } from "./loop.ts";

const PROMOTE_LIMIT = 200;
/** How late a message may become due: the due set can be written by others, so it is polled. */
const PROMOTE_POLL_MS = 100;

/** SCHEDULED | DEFERRED | UNKNOWN -> QUEUED when due. */
export function startPromoter(redis: Redis, tag: string, log: Logger): Loop {
  return startLoop("promoter", log, async () => {
    const { messages, nextMs } = await promote(redis, tag, PROMOTE_LIMIT);
    for (const message of messages) log.info(message, "message queued");
    return Math.min(PROMOTE_POLL_MS, nextMs ?? PROMOTE_POLL_MS);
  });
}
