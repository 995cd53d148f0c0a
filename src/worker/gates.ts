/*
 * What may stand in the way of a mail, asked just before it is sent. Each gate answers with what is to be settled
 * instead, or undefined: it is open. The first one that is shut ends the attempt, and no later one is asked.
 * No answer is no permission: where a gate cannot be asked the message is given back, and tried again later.
 */
import type { Logger } from "pino";
import type { BookingStore } from "../booking/store.ts";
import type { Event } from "../domain/event.ts";
import type { Settlement } from "../domain/outcome.ts";
import type { RollbackReader } from "../journal/reader.ts";
import type { Taken } from "../stream/take.ts";

export type Gate = () => Promise<Settlement | undefined>;

export interface BookingPolicy {
  /** Undefined: the event is trusted. */
  store: BookingStore | undefined;
  /** Before the store is asked again; the last one repeats. */
  delaysMs: readonly number[];
  /** Then the message is dead. */
  maxAsks: number;
}

export interface GateDeps {
  booking: BookingPolicy;
  /** Rollbacks that Redis has not been told yet. */
  rollbacks: Pick<RollbackReader, "isRolledBack" | "hasChangedSince">;
  /** A rollback that Redis was told since the message was taken. Rejects when it cannot be asked. */
  wasRolledBack: (taken: Taken) => Promise<boolean>;
  /** Aborted when the worker stops. */
  stopping: AbortSignal;
  log: Pick<Logger, "warn">;
}

const JOURNAL_RETRY_MS = 30_000;

/** What the first gate that is shut says. */
export async function objectionOf(gates: readonly Gate[]): Promise<Settlement | undefined> {
  for (const gate of gates) {
    const objection = await gate();
    if (objection !== undefined) return objection;
  }
  return undefined;
}

/**
 * Before the mail is made. The store comes first, as it takes its time, in which a rollback may come. Without one, Redis
 * knew of no rollback when it handed the message out, so it is asked only if the journal has changed since: a rollback
 * leaves the journal when Redis has it.
 * @param askedAt when the message was asked for, time.monotonicMs()
 */
export function gatesBefore(taken: Taken, askedAt: number, event: Event, deps: GateDeps): Gate[] {
  const { store } = deps.booking;
  const bookingId = event.data.booking.id;
  if (store !== undefined && bookingId !== undefined) {
    return [storeGate(store, taken, bookingId, deps), ...gatesAfterWait(taken, event, deps)];
  }
  if (store !== undefined) {
    const line = { eventId: event.id, messageId: taken.messageId };
    deps.log.warn(line, "event names no booking, so its booking store is not asked");
  }
  const redis = redisGate(taken, deps);
  const redisIfChanged = async () => (deps.rollbacks.hasChangedSince(askedAt) ? redis() : undefined);
  return [journalGate(event, deps), redisIfChanged];
}

/** After anything that took its time. The journal comes first: in between, a rollback is in both. */
export function gatesAfterWait(taken: Taken, event: Event, deps: GateDeps): Gate[] {
  return [journalGate(event, deps), redisGate(taken, deps)];
}

function journalGate(event: Event, { rollbacks }: GateDeps): Gate {
  return async () => {
    try {
      if (!rollbacks.isRolledBack(event.id)) return undefined;
      return { kind: "cancelled", reason: "rolled back while Redis was away" };
    } catch (error) {
      return { kind: "postponed", delayMs: JOURNAL_RETRY_MS, counts: false, reason: doubtOf(error) };
    }
  };
}

function redisGate(taken: Taken, { wasRolledBack }: GateDeps): Gate {
  return async () => {
    try {
      if (!(await wasRolledBack(taken))) return undefined;
      return { kind: "cancelled", reason: "rolled back before the mail was begun" };
    } catch (error) {
      return { kind: "released", reason: doubtOf(error) };
    }
  };
}

function doubtOf(error: unknown): string {
  return `nobody can say whether it was rolled back: ${error instanceof Error ? error.message : error}`;
}

function storeGate(store: BookingStore, taken: Taken, bookingId: string, { booking, stopping }: GateDeps): Gate {
  return async () => {
    const status = await unlessAborted(store.statusOf(bookingId), stopping);
    if (status === undefined)
      return { kind: "released", reason: "the worker stopped while the booking store was asked" };
    switch (status.kind) {
      case "paid":
        return undefined;
      case "cancelled":
        return { kind: "cancelled", reason: "the booking is cancelled" };
      case "unavailable":
        return { kind: "postponed", delayMs: booking.delaysMs[0] ?? 0, counts: false, reason: status.reason };
      case "pending":
      case "not_found": {
        const asked = taken.askedInVain + 1;
        const delayMs = booking.delaysMs[Math.min(asked, booking.delaysMs.length) - 1] ?? 0;
        const reason = status.kind === "pending" ? "the booking is not paid" : "the booking is not found";
        if (asked >= booking.maxAsks)
          return { kind: "dead", how: "untried", reason: `${reason}, after the store was asked ${asked} times` };
        return { kind: "postponed", delayMs, counts: true, reason };
      }
    }
  };
}

/** Undefined when the signal was first. `work` never rejects. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) return Promise.resolve(undefined);
  const { promise, resolve } = Promise.withResolvers<T | undefined>();
  const abort = () => resolve(undefined);
  signal.addEventListener("abort", abort);
  void work.then((value) => {
    signal.removeEventListener("abort", abort);
    resolve(value);
  });
  return promise;
}
