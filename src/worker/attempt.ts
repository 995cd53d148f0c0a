/* One attempt: from an entry that this worker owns to what has to be settled. Never throws. */
import type { BookingStore } from "../booking/store.ts";
import type { Event } from "../domain/event.ts";
import { decide, type Outcome, type RetryPolicy } from "../domain/outcome.ts";
import type { RollbackReader } from "../journal/reader.ts";
import type { Delivery, Mail, Mailer } from "../mail/mailer.ts";
import type { Taken } from "../stream/take.ts";
import type { RelayBreaker } from "./relayBreaker.ts";
import type { Suspects } from "./suspects.ts";

export type Settlement =
  | Outcome
  /** Not tried, no attempt is spent. */
  | { kind: "released"; reason: string }
  /** The booking is not paid yet, or nobody can say. `counts`: the store gave an answer. No attempt is spent. */
  | { kind: "postponed"; delayMs: number; counts: boolean; reason: string }
  /** The booking does not stand. */
  | { kind: "cancelled"; reason: string }
  /** There is no mail to send: no attempt was made. */
  | { kind: "dead"; how: "untried"; reason: string };

export interface BookingPolicy {
  /** Undefined: the event is trusted. */
  store: BookingStore | undefined;
  /** Before the store is asked again; the last one repeats. */
  delaysMs: readonly number[];
  /** Then the message is dead. */
  maxAsks: number;
}

export interface AttemptDeps {
  render: (event: Event, messageId: string) => Mail;
  mailer: Mailer;
  relay: Pick<RelayBreaker, "answered" | "fault">;
  suspects: Suspects;
  policy: RetryPolicy;
  booking: BookingPolicy;
  /** Rollbacks that Redis has not been told yet. */
  rollbacks: Pick<RollbackReader, "isRolledBack" | "hasChangedSince">;
  /** A rollback that Redis was told since the message was taken. Rejects when it cannot be asked. */
  wasRolledBack: (taken: Taken) => Promise<boolean>;
  /** Aborted when the worker stops: what has not been handed to the relay is given back. */
  stopping: AbortSignal;
  /** Jitter, in [0, 1). */
  random: () => number;
}

/**
 * @param askedAt when the message was asked for, performance.now()
 * @param event what the entry's message holds; undefined when it cannot be read
 */
export async function attempt(
  taken: Taken,
  askedAt: number,
  event: Event | undefined,
  deps: AttemptDeps,
): Promise<Settlement> {
  if (event === undefined) return { kind: "dead", how: "untried", reason: "the stored event cannot be read" };
  const { store } = deps.booking;
  const objection =
    store === undefined
      ? (askJournal(event, deps) ?? (deps.rollbacks.hasChangedSince(askedAt) ? await askRedis(taken, deps) : undefined))
      : ((await askStore(store, taken, event, deps)) ?? (await askAll(taken, event, deps)));
  if (objection !== undefined) return objection;
  let mail: Mail;
  try {
    mail = deps.render(event, taken.messageId);
  } catch (error) {
    return { kind: "dead", how: "untried", reason: `the mail cannot be rendered: ${messageOf(error)}` };
  }
  let late: Settlement | undefined;
  const delivery = await deps.mailer.send(mail, async () => {
    late = await askAll(taken, event, deps);
    return late === undefined;
  });
  return late ?? settlementOf(delivery, taken, deps);
}

function settlementOf(delivery: Delivery, taken: Taken, deps: AttemptDeps): Settlement {
  const nth = taken.attempt - taken.attemptsBefore;
  switch (delivery.kind) {
    case "sent":
      hasAnswered(taken, deps);
      return { kind: "sent", reply: delivery.reply };
    case "failed":
      hasAnswered(taken, deps);
      return decide(nth, delivery.failure, deps.policy, deps.random());
    case "withheld":
      return { kind: "released", reason: "it was not wanted any more" }; // `late` says why
    case "relay_fault":
      if (delivery.suspect && deps.suspects.blames(taken.messageId))
        return decide(nth, { kind: "transient", reason: delivery.reason }, deps.policy, deps.random());
      if (!delivery.suspect) deps.suspects.clears(taken.messageId);
      deps.relay.fault(delivery.reason);
      return { kind: "released", reason: delivery.reason };
  }
}

/** Well or badly: it is there. */
function hasAnswered({ messageId }: Taken, { relay, suspects }: AttemptDeps): void {
  suspects.clears(messageId);
  relay.answered();
}

const JOURNAL_RETRY_MS = 30_000;

/** A rollback may have come while something else took its time. */
async function askAll(taken: Taken, event: Event, deps: AttemptDeps): Promise<Settlement | undefined> {
  return askJournal(event, deps) ?? (await askRedis(taken, deps));
}

function askJournal(event: Event, deps: AttemptDeps): Settlement | undefined {
  try {
    return deps.rollbacks.isRolledBack(event.id)
      ? { kind: "cancelled", reason: "rolled back while Redis was away" }
      : undefined;
  } catch (error) {
    return { kind: "postponed", delayMs: JOURNAL_RETRY_MS, counts: false, reason: doubtOf(error) };
  }
}

/** After the journal, which a rollback leaves when Redis has it: in between it is in both. */
async function askRedis(taken: Taken, deps: AttemptDeps): Promise<Settlement | undefined> {
  try {
    const reason = "rolled back before the mail was begun";
    return (await deps.wasRolledBack(taken)) ? { kind: "cancelled", reason } : undefined;
  } catch (error) {
    return { kind: "released", reason: doubtOf(error) };
  }
}

function doubtOf(error: unknown): string {
  return `nobody can say whether it was rolled back: ${messageOf(error)}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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

/** Undefined: the booking stands. */
async function askStore(
  store: BookingStore,
  taken: Taken,
  event: Event,
  { booking: policy, stopping }: AttemptDeps,
): Promise<Settlement | undefined> {
  const status = await unlessAborted(store.statusOf(event.data.booking.id), stopping);
  if (status === undefined) return { kind: "released", reason: "the worker stopped while the booking store was asked" };
  switch (status.kind) {
    case "paid":
      return undefined;
    case "cancelled":
      return { kind: "cancelled", reason: "the booking is cancelled" };
    case "unavailable":
      return { kind: "postponed", delayMs: policy.delaysMs[0] ?? 0, counts: false, reason: status.reason };
    case "pending":
    case "not_found": {
      const asked = taken.askedInVain + 1;
      const delayMs = policy.delaysMs[Math.min(asked, policy.delaysMs.length) - 1] ?? 0;
      const reason = status.kind === "pending" ? "the booking is not paid" : "the booking is not found";
      if (asked >= policy.maxAsks)
        return { kind: "dead", how: "untried", reason: `${reason}, after the store was asked ${asked} times` };
      return { kind: "postponed", delayMs, counts: true, reason };
    }
  }
}
