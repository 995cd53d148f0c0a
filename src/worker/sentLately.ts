/*
 * What this worker's relay has taken lately. A failover, or a Redis that lost its last second, makes sent mail look unsent:
 * the same message is handed out once more, or owned by nobody who sends it. What is known here is not sent again.
 */
import { time } from "../domain/time.ts";
import type { Taken } from "../stream/take.ts";

/** As a settlement names it. */
interface SentFact extends Omit<Taken, "json"> {
  reply: string;
}

export interface SentLately {
  add(taken: Taken, reply: string): void;
  /** What the relay said when it took this very mail; undefined: it is to be sent. */
  replyTo(taken: Taken): string | undefined;
  /** Of a partition. */
  of(tag: string): SentFact[];
}

/** Each half holds so many: together three seconds of the fastest drain at the least. */
const HALF = 10_000;

/** The longest that two servers may both take themselves for the master. */
const LATELY_MS = 10 * 60_000;

interface Known {
  fact: SentFact;
  /** Of the event: the same id may come to stand for another one, or be edited. */
  eventHash: number | bigint;
  /** time.monotonicMs() */
  at: number;
}

/** @param retentionMs after which an event of the same id makes another mail */
export function createSentLately(retentionMs: number): SentLately {
  const maxAgeMs = Math.min(LATELY_MS, retentionMs);
  /** By message id. */
  let latest = new Map<string, Known>();
  let before = new Map<string, Known>();
  return {
    add({ json, ...claim }, reply) {
      if (latest.size >= HALF) [before, latest] = [latest, new Map()];
      latest.set(claim.messageId, { fact: { ...claim, reply }, eventHash: Bun.hash(json), at: time.monotonicMs() });
    },
    replyTo({ messageId, json }) {
      const known = latest.get(messageId) ?? before.get(messageId);
      if (known === undefined || time.monotonicMs() - known.at > maxAgeMs) return undefined;
      return known.eventHash === Bun.hash(json) ? known.fact.reply : undefined;
    },
    of: (tag) => [...before.values(), ...latest.values()].map(({ fact }) => fact).filter((fact) => fact.tag === tag),
  };
}
