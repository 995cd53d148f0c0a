/*
 * What a Stripe event says, as a payment.completed of ours. Pure. All events of one payment (its session, its
 * payment intent, its charge) give the same event id, so that they make one mail: the first to come defines it.
 * What a mail can do without (a date, a language) is left out when it is not valid; what it cannot do without
 * makes the event one to ignore, for sending it again would not change it.
 */
import { z } from "zod";
import { readAddress } from "../domain/door/address.ts";
import { type Event, parseEvent } from "../domain/event.ts";
import { PAYMENT_READERS, type Payment } from "./stripePayment.ts";

export type StripeMapped =
  /** `leftOut`: pointers to what was there and not valid. */
  | { kind: "event"; event: Event; leftOut: string[] }
  /** Not a completed payment, or one that has nobody to write to. */
  | { kind: "ignored"; reason: string }
  /** A completed payment that cannot become a mail: somebody should know. */
  | { kind: "unmailable"; reason: string };

/** The envelope, for the log. */
export interface StripeEnvelope {
  stripeEventId?: string | undefined;
  stripeType?: string | undefined;
  livemode?: boolean | undefined;
}

const LAST_SECOND_OF_9999 = 253_402_300_799;

const envelopeSchema = z.object({
  id: z.string().optional().catch(undefined),
  type: z.string(),
  created: z.int().min(0).max(LAST_SECOND_OF_9999).optional().catch(undefined),
  livemode: z.boolean().optional().catch(undefined),
  data: z.object({ object: z.unknown() }),
});

/**
 * Decimals of Stripe's amounts beyond those of ISO 4217 (docs.stripe.com/currencies, "Special cases"): 500 is
 * 5 ISK and 5 UGX, which have no minor unit, and 5 MGA, which has one on paper. HUF and TWD differ in payouts alone.
 */
const EXTRA_DECIMALS: ReadonlyMap<string, number> = new Map([
  ["ISK", 2],
  ["UGX", 2],
  ["MGA", -2],
]);

const MAX_TEXT = 200;
const MAX_METHOD = 64;

export function mapStripeEvent(input: unknown): StripeEnvelope & { mapped: StripeMapped } {
  const parsed = envelopeSchema.safeParse(input);
  if (!parsed.success) return { mapped: { kind: "ignored", reason: "it is not a Stripe event" } };
  const { id, type, created, livemode, data } = parsed.data;
  return { stripeEventId: id, stripeType: type, livemode, mapped: mapObject(type, data.object, created) };
}

function mapObject(type: string, object: unknown, created: number | undefined): StripeMapped {
  const read = PAYMENT_READERS.get(type);
  if (read === undefined) return { kind: "ignored", reason: `${type.slice(0, 80)} is not a type that makes a mail` };
  const payment = read(object);
  return typeof payment === "string" ? { kind: "ignored", reason: payment } : mapPayment(payment, created);
}

function mapPayment(payment: Payment, created: number | undefined): StripeMapped {
  const { amount, currency } = payment;
  if (amount === undefined || currency === undefined) return { kind: "ignored", reason: "it has no amount" };
  const addresses = payment.addresses.flatMap((one) => one?.trim() || []);
  if (addresses.length === 0) return { kind: "ignored", reason: "it has no e-mail address" };
  const email = addresses.find((one) => readAddress(one).ok);
  if (email === undefined) return { kind: "unmailable", reason: "its e-mail address is not one to send mail to" };

  const bookingId = payment.bookingIds.map((one) => one?.trim()).find(isIdentifier) ?? payment.id;
  const title = firstOf(payment.titles.map((one) => line(one, MAX_TEXT))) ?? `Booking ${bookingId}`.slice(0, MAX_TEXT);
  const code = currency.toUpperCase();
  const draft = {
    id: `stripe_${payment.id}`,
    type: "payment.completed",
    ...given("occurredAt", created === undefined ? undefined : new Date(created * 1000).toISOString()),
    data: {
      booking: { id: bookingId, title, ...given("startsAt", payment.startsAt?.trim()) },
      payment: {
        id: payment.id,
        amount: isoMinorUnits(amount, code),
        currency: code,
        ...given("method", line(payment.method, MAX_METHOD)),
      },
      customer: {
        email,
        ...given("name", firstOf(payment.names.map((one) => line(one, MAX_TEXT)))),
        ...given(
          "locale",
          payment.locales.map((one) => one?.trim()).find((one) => one && one !== "auto"),
        ),
      },
    },
  };
  return checked(draft);
}

/** The event's own schema is the only judge of what is valid. */
function checked(draft: unknown): StripeMapped {
  const parsed = parseEvent(draft);
  if (!parsed.ok) {
    return { kind: "unmailable", reason: `not valid: ${parsed.problems.map(({ pointer }) => pointer).join(", ")}` };
  }
  const notes = parsed.event.notes ?? [];
  return { kind: "event", event: parsed.event, leftOut: notes.map(({ pointer }) => pointer) };
}

/** Stripe takes no fractions where it has the extra decimals, so nothing is rounded away. */
function isoMinorUnits(amount: number, currency: string): number {
  return Math.round(amount / 10 ** (EXTRA_DECIMALS.get(currency) ?? 0));
}

function isIdentifier(text: string | undefined): text is string {
  return text !== undefined && text !== "" && text.length <= MAX_TEXT;
}

/** One line of well-formed text, cut to `maxLength` UTF-16 units; undefined when nothing is left of it. */
function line(text: string | undefined, maxLength: number): string | undefined {
  const clean = text
    ?.toWellFormed()
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
  if (!clean) return undefined;
  if (clean.length <= maxLength) return clean;
  return `${clean.slice(0, maxLength - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}

function firstOf(values: (string | undefined)[]): string | undefined {
  return values.find((value) => value !== undefined);
}

/** A field of its own, or none at all: the event's schema tells a missing field from an undefined one. */
function given<K extends string>(key: K, value: string | undefined): { [N in K]?: string } {
  return value ? ({ [key]: value } as { [N in K]?: string }) : {};
}
