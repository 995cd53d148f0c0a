/*
 * Tells Redis again what the relay took lately, whenever a partition is reached over another connection: it may lead to
 * another server, which a failover has made the master, and which has not heard of all of it.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { connectionTo } from "../stream/nodes.ts";
import { haveEndedIn, settleSent } from "../stream/settle.ts";
import type { Claim } from "../stream/take.ts";
import { type Loop, startLoop } from "./loop.ts";
import type { SentLately } from "./sentLately.ts";

const POLL_MS = 500;
const MAX_CALL = 100;

/** @param isInFlight its settlement is not written yet, and will be */
export function startAttester(
  redis: Redis,
  tag: string,
  consumer: string,
  retentionMs: number,
  lately: SentLately,
  isInFlight: (claim: Claim) => boolean,
  log: Logger,
): Loop {
  async function tellAgain(): Promise<void> {
    const facts = lately.of(tag).filter((fact) => !isInFlight(fact));
    let lost = 0;
    for (let i = 0; i < facts.length; i += MAX_CALL) {
      const some = facts.slice(i, i + MAX_CALL);
      const isKnown = await haveEndedIn({ redis, tag }, "sent", some);
      const unknown = some.filter((_, n) => !isKnown[n]);
      if (unknown.length === 0) continue;
      const written = await settleSent({ redis, tag, consumer, retentionMs }, unknown);
      lost += written.filter(Boolean).length;
    }
    if (lost > 0) log.warn({ messages: lost }, "redis had lost what was sent, and was told again");
  }

  let toldOver: object | undefined;
  return startLoop("attester", log, async () => {
    const connection = connectionTo(redis, tag);
    if (connection === undefined || connection === toldOver) return POLL_MS;
    if (toldOver !== undefined) await tellAgain();
    toldOver = connection;
    return POLL_MS;
  });
}
