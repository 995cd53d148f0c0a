/*
 * What one event of a payment provider says of a payment, and the event of ours that all of them make together. Stripe
 * tells of one payment by several objects (session, intent, charge), in any order, and none of them says everything:
 * the session knows the booking, a later capture says that the money is there.
 *
 * Each field has candidates, and the first usable one counts. What the payer filled in goes before what a charge repeats.
 */
import { readAddress } from "./door/address.ts";
import { MAX_ID_LENGTH } from "./door/identifier.ts";
import { canonicalLocale } from "./door/locale.ts";
import type { Note } from "./door/notes.ts";
import { cleanLine, isLonger } from "./door/text.ts";
import { type Event, parseEvent } from "./event.ts";

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
type Lack = "no_address" | "bad_address" | "no_amount";

export type Understood =
  | { kind: "event"; event: Event }
  /** So far nobody has said that it is paid. */
  | { kind: "unpaid" }
  | { kind: "unmailable"; lack: Lack; reason: string };

/** @param notices of one payment, in the order they came */
export function understand(notices: readonly Notice[]): Understood {
  const told = notices.find(({ paid }) => paid?.amount !== undefined) ?? notices.find(({ paid }) => paid !== undefined);
  if (told?.paid === undefined) return { kind: "unpaid" };
  const { amount, currency, method, at } = told.paid;
  if (amount === undefined || currency === undefined) return unmailable("no_amount", "it has no amount");
  const best = notices.toSorted((a, b) => Number(b.isFirstHand) - Number(a.isFirstHand));
  const all = (field: Candidates) => best.flatMap((notice) => notice[field]).filter((text) => text.trim() !== "");

  const addresses = all("addresses");
  const email = addresses.find((one) => readAddress(one).ok);
  if (addresses.length === 0) return unmailable("no_address", "it has no e-mail address");
  if (email === undefined) return unmailable("bad_address", "its e-mail address is not one to send mail to");
  const parsed = parseEvent({
    id: told.eventId,
    type: "payment.completed",
    occurredAt: at,
    data: {
      booking: {
        id: usable(all("bookingIds"), isBookingId),
        title: usable([...all("titles"), ...all("descriptions")], isSeen),
        startsAt: all("startsAt")[0],
      },
      payment: { id: told.paymentId, amount, currency, method, ...(told.isTest ? { livemode: false } : {}) },
      customer: {
        email,
        name: usable(all("names"), isSeen),
        locale: usable(
          all("locales").filter((one) => one.trim() !== "auto"),
          (one) => canonicalLocale(one.trim()) !== undefined,
        ),
      },
    },
  });
  if (parsed.ok) return { kind: "event", event: parsed.event };
  return unmailable("no_amount", `not valid: ${parsed.problems.map(({ pointer }) => pointer).join(", ")}`);
}

/** Notes of what the mail has not, or not whole, because it was given in a form that cannot be read. */
export function lossesOf({ notes = [] }: Event): Note[] {
  return notes.filter(({ detail }) => /^(?:left out|cut)\b/.test(detail));
}

type Candidates = "addresses" | "names" | "locales" | "bookingIds" | "titles" | "descriptions" | "startsAt";

/** The first usable one; where none is, the first: the door says what is wrong with it. */
function usable(texts: readonly string[], isUsable: (text: string) => boolean): string | undefined {
  return texts.find(isUsable) ?? texts[0];
}

function isBookingId(text: string): boolean {
  return isSeen(text) && !isLonger(cleanLine(text), MAX_ID_LENGTH);
}

function isSeen(text: string): boolean {
  return cleanLine(text) !== "";
}

function unmailable(lack: Lack, reason: string): Understood {
  return { kind: "unmailable", lack, reason };
}
