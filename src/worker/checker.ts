/*
 * Held events that nobody decided: the booking store is asked about them, at the times of CHECK_BACKS. What it
 * cannot decide either is put in front of a person, and stays held.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import type { RollbackReader } from "../journal/reader.ts";
import { firstMessageId } from "../stream/messageId.ts";
import { eventOf } from "../stream/record.ts";
import { check, commit, leaveUndecided, rollback, type Undecided } from "../stream/transaction.ts";
import type { BookingPolicy } from "./gates.ts";
import { type Loop, startLoop } from "./loop.ts";

const LIMIT = 50;
const POLL_MS = 250;

export interface CheckerOptions {
  redis: Redis;
  tag: string;
  booking: BookingPolicy;
  rollbacks: Pick<RollbackReader, "isRolledBack">;
  retentionMs: number;
  log: Logger;
}

export function startChecker(options: CheckerOptions): Loop {
  const { redis, tag, booking, log } = options;

  async function decide(undecided: Undecided): Promise<void> {
    const { messageId, eventId, asked, json } = undecided;
    const bookingId = eventOf(json)?.data.booking.id;
    const status = bookingId === undefined ? undefined : await booking.store?.statusOf(bookingId);
    const line = { eventId, messageId, asked, status: status?.kind ?? "nobody to ask" };
    if (status?.kind === "cancelled" || options.rollbacks.isRolledBack(eventId)) {
      const reason = status?.kind === "cancelled" ? "the booking is cancelled" : "rolled back while Redis was away";
      const { changed } = await rollback(redis, tag, firstMessageId(messageId), options.retentionMs, reason);
      if (changed) log.info(line, "message rolled back");
    } else if (status?.kind === "paid") {
      const { changed } = await commit(redis, tag, firstMessageId(messageId), "the booking is paid");
      if (changed) log.info(line, "message committed");
    } else if (status?.kind === "unavailable") {
      log.warn(line, "message still held, its booking store is asked again");
    } else {
      const isLast = asked >= booking.delaysMs.length;
      if (!(await leaveUndecided(redis, tag, undecided, isLast))) return;
      if (isLast) log.error(line, "held event waits for a person: commit or roll it back");
      else log.info(line, "message still held");
    }
  }

  return startLoop("checker", log, async () => {
    const { undecided, nextMs } = await check(redis, tag, LIMIT, booking.delaysMs);
    await Promise.all(undecided.map(decide));
    return Math.min(POLL_MS, undecided.length === LIMIT ? 0 : (nextMs ?? POLL_MS));
  });
}
