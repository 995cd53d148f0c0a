/*
 * Says when there is something to take. It blocks with XREAD, which owns nothing: a reply that is lost with
 * its connection strands no entry. Each entry wakes each worker once; the taker polls slowly beside it.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { PRIORITIES } from "../domain/lifecycle.ts";
import { BLOCK_MS } from "../stream/connect.ts";
import { awayOf, SlotMoves } from "../stream/fault.ts";
import { key } from "../stream/keys.ts";
import { type Loop, startLoop } from "./loop.ts";

/** @param tags partitions whose streams one connection may read together: on a cluster, only one */
export function startWaker(redis: Redis, tags: readonly string[], wake: () => void, log: Logger): Loop {
  const streams = tags.flatMap((tag) => PRIORITIES.map((_, rank) => key.queue(tag, rank)));
  let seen: string[] | undefined;

  async function lastIds(): Promise<string[]> {
    return Promise.all(
      streams.map(async (stream) => (await redis.xrevrange(stream, "+", "-", "COUNT", 1))[0]?.[0] ?? "0-0"),
    );
  }

  return startLoop("waker", log, async () => {
    try {
      if (seen === undefined) {
        seen = await lastIds();
        wake();
      }
      const reply = await redis.xread("COUNT", 1_000, "BLOCK", BLOCK_MS, "STREAMS", ...streams, ...seen);
      for (const [stream, entries] of reply ?? []) {
        seen[streams.indexOf(stream)] = entries.at(-1)?.[0] ?? "0-0";
      }
      if (reply) wake();
      return 0;
    } catch (error) {
      seen = undefined; // Redis may have come back empty
      const away = awayOf(error);
      if (away instanceof SlotMoves) throw away; // the connection is well
      // A socket that is open at this end only: connect anew. While it is reconnecting, leave it alone.
      if (redis.status === "ready") redis.disconnect(true);
      throw error;
    }
  });
}
