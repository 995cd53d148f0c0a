/*
 * What one event of a payment provider says of a payment, and the event of ours that all of them make together. Stripe
 * tells of one payment by several objects (session, intent, charge), in any order, and none of them says everything:
 * the session knows the booking, a later capture says that the money is there.
 *
 * Each field has candidates, and the first usable one counts. What the payer filled in goes before what a charge repeats.
 */
import type { Note } from "./door/notes.ts";
import type { Event, PaidData } from "./event.ts";

export interface Notice {
  /** Of the event that all notices of the payment make. */
  eventId: string;
  paymentId: string;
  /** From the page that the payer filled in. */
  isFirstHand: boolean;
  /** It names no booking, and another notice of the payment may. */
  expectsMore: boolean;
  /** The money is there. */
  paid?: Paid | undefined;
  /** No money moves. */
  isTest: boolean;
  addresses: string[];
  names: string[];
  locales: string[];
  bookingIds: string[];
  titles: string[];
  /** Titles where there is no other. */
  descriptions: string[];
  startsAt: string[];
}

interface Paid {
  /** In the currency's minor unit (ISO 4217); undefined when it cannot be read. */
  amount?: number | undefined;
  currency?: string | undefined;
  /** Undefined when it is not known which one was used. */
  method?: string | undefined;
  /** ISO 8601. */
  at?: string | undefined;
}

/** Why a payment makes no mail. */
export type Lack = "no_address" | "bad_address" | "no_amount";

export type Understood =
  | { kind: "event"; event: Event<string, PaidData> }
  /** So far nobody has said that it is paid. */
  | { kind: "unpaid" }
  | { kind: "unmailable"; lack: Lack; reason: string };

/** Notes of what the mail has not, or not whole, because it was given in a form that cannot be read. */
export function lossesOf({ notes = [] }: Event): Note[] {
  return notes.filter(({ detail }) => /^(?:left out|cut)\b/.test(detail));
}
