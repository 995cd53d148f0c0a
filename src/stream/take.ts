import type { Redis } from "ioredis";
import holdingsSource from "./holdings.lua" with { type: "text" };
import promoteSource from "./promote.lua" with { type: "text" };
import { linesOf, script } from "./script.ts";
import takeSource from "./take.lua" with { type: "text" };

const takeScript = script("take", takeSource, "allow-oom");
const promoteScript = script("promote", promoteSource, "allow-oom");
const holdingsScript = script("holdings", holdingsSource, "no-writes");

/** An entry that a worker owns, and the attempt that it stands for. */
export interface Claim {
  tag: string;
  rank: string;
  entryId: string;
  messageId: string;
  /** Number of this attempt, from 1. */
  attempt: number;
}

/** As the scripts name it. */
export function claimText({ rank, entryId, messageId, attempt }: Claim): string {
  return `${rank} ${entryId} ${messageId} ${attempt}`;
}

export interface Taken extends Claim {
  /** Attempts before the last replay: they do not count against the retries. */
  attemptsBefore: number;
  /** How often the booking store was asked about it in vain. */
  askedInVain: number;
  /** The event, JSON. */
  json: string;
}

/**
 * QUEUED -> SENDING, for at most `free` messages.
 * @param quotas of these, how many for each priority before the rest is filled up in their order
 */
export async function take(
  redis: Redis,
  tag: string,
  consumer: string,
  free: number,
  quotas: readonly number[],
): Promise<Taken[]> {
  const [lines, ...events] = (await takeScript(redis, tag, [consumer, free, ...quotas])) as string[];
  return linesOf(lines).map((line, i) => {
    const [rank = "", entryId = "", messageId = "", attempt, attemptsBefore, askedInVain] = line.split(" ");
    return {
      tag,
      rank,
      entryId,
      messageId,
      attempt: Number(attempt),
      attemptsBefore: Number(attemptsBefore),
      askedInVain: Number(askedInVain),
      json: events[i] ?? "",
    };
  });
}

export interface Promotion {
  messages: { messageId: string; eventId: string }[];
  /** ms until the next message is due; undefined when none waits. */
  nextMs: number | undefined;
}

/** SCHEDULED | DEFERRED | UNKNOWN -> QUEUED for at most `limit` messages that are due. */
export async function promote(redis: Redis, tag: string, limit: number): Promise<Promotion> {
  const [nextMs, ...ids] = (await promoteScript(redis, tag, [limit])) as [number, ...string[]];
  const messages: Promotion["messages"] = [];
  for (let i = 0; i < ids.length; i += 2) messages.push({ messageId: ids[i] ?? "", eventId: ids[i + 1] ?? "" });
  return { messages, nextMs: nextMs < 0 ? undefined : nextMs };
}

/** What Redis says that this consumer owns, which is more than it knows of when a reply to `take` was lost. */
export async function readHoldings(redis: Redis, tag: string, consumer: string, limit: number): Promise<Claim[]> {
  return linesOf(await holdingsScript(redis, tag, [consumer, limit])).map((line) => {
    const [rank = "", entryId = "", messageId = "", attempt] = line.split(" ");
    return { tag, rank, entryId, messageId, attempt: Number(attempt) };
  });
}
