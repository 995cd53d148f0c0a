/* One attempt: from an entry that this worker owns to what has to be settled. Never throws. */
import type { BookingStore } from "../booking/store.ts";
import type { Event } from "../domain/event.ts";
import { decide, type Outcome, type RetryPolicy } from "../domain/outcome.ts";
import type { Mail, Mailer } from "../mail/mailer.ts";
import type { Taken } from "../stream/take.ts";
import type { Circuit } from "./circuit.ts";

export type Settlement =
  | Outcome
  /** Not tried, no attempt is spent. */
  | { kind: "released"; reason: string }
  /** The booking is not paid yet, or nobody can say. `counts`: the store gave an answer. No attempt is spent. */
  | { kind: "postponed"; delayMs: number; counts: boolean; reason: string }
  /** The booking does not stand. */
  | { kind: "cancelled"; reason: string };

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
  circuit: Circuit;
  policy: RetryPolicy;
  booking: BookingPolicy;
  /** A rollback that Redis has not been told yet. */
  isRolledBack: (eventId: string) => boolean;
  /** Jitter, in [0, 1). */
  random: () => number;
}

/** @param event what the entry's message holds; undefined when it cannot be read */
export async function attempt(taken: Taken, event: Event | undefined, deps: AttemptDeps): Promise<Settlement> {
  if (event === undefined) return { kind: "dead", reason: "the stored event cannot be read" };
  if (deps.isRolledBack(event.id)) return { kind: "cancelled", reason: "rolled back while Redis was away" };
  const nth = taken.attempt - taken.attemptsBefore;
  const objection = nth === 1 ? await askStore(taken, event, deps.booking) : undefined;
  if (objection !== undefined) return objection;
  let mail: Mail;
  try {
    mail = deps.render(event, taken.messageId);
  } catch (error) {
    return { kind: "dead", reason: `the mail cannot be rendered: ${error instanceof Error ? error.message : error}` };
  }
  const delivery = await deps.mailer.send(mail);
  switch (delivery.kind) {
    case "sent":
      deps.circuit.answered();
      return { kind: "sent", reply: delivery.reply };
    case "failed":
      deps.circuit.answered();
      return decide(nth, delivery.failure, deps.policy, deps.random());
    case "relay_fault":
      deps.circuit.fault(delivery.reason);
      return { kind: "released", reason: delivery.reason };
  }
}

/** Undefined: the booking stands, or nobody is to be asked. */
async function askStore(taken: Taken, event: Event, policy: BookingPolicy): Promise<Settlement | undefined> {
  if (policy.store === undefined) return undefined;
  const status = await policy.store.statusOf(event.data.booking.id);
  const asked = taken.askedInVain + 1;
  const delayMs = policy.delaysMs[Math.min(asked, policy.delaysMs.length) - 1] ?? 0;
  switch (status.kind) {
    case "paid":
      return undefined;
    case "cancelled":
      return { kind: "cancelled", reason: "the booking is cancelled" };
    case "unavailable":
      return { kind: "postponed", delayMs: policy.delaysMs[0] ?? 0, counts: false, reason: status.reason };
    case "pending":
    case "not_found": {
      const reason = status.kind === "pending" ? "the booking is not paid" : "the booking is not found";
      if (asked >= policy.maxAsks)
        return { kind: "dead", reason: `${reason}, after the store was asked ${asked} times` };
      return { kind: "postponed", delayMs, counts: true, reason };
    }
  }
}
