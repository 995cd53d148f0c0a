/*
 * What a Stripe event says, as a notice of a payment (domain/notice.ts). Pure. All events of one payment (its session,
 * its payment intent, its charge) give the same event id, so that they make one mail.
 */
import { z } from "zod";
import { isObject } from "../domain/door/field.ts";
import type { Notice } from "../domain/notice.ts";
import { PAYMENT_READERS, type Payment } from "./stripePayment.ts";

export type StripeMapped =
  /** `unpaid`: why no mail is owed so far. */
  | { kind: "notice"; notice: Notice; unpaid: string | undefined }
  | { kind: "none"; why: "trial" | "unreadable" | "other_type" | "no_event"; reason: string };

/** The envelope, for the log. */
export interface StripeEnvelope {
  stripeEventId?: string | undefined;
  stripeType?: string | undefined;
  livemode?: boolean | undefined;
  /** Of a connected account, whose payment it is. */
  account?: string | undefined;
}

const LAST_SECOND_OF_9999 = 253_402_300_799;

const shortText = z.string().max(255).optional().catch(undefined);

const envelopeSchema = z.object({
  id: shortText,
  type: z.string(),
  created: z.int().min(0).max(LAST_SECOND_OF_9999).optional().catch(undefined),
  livemode: z.boolean().optional().catch(undefined),
  account: shortText,
  data: z.object({ object: z.unknown() }),
});

/** The object stays at Stripe, to be fetched: https://docs.stripe.com/event-destinations#thin-events */
const thinSchema = z.object({ id: shortText, type: z.string(), object: z.literal("v2.core.event") });

/**
 * Decimals of Stripe's amounts beyond those of ISO 4217 (docs.stripe.com/currencies, "Special cases"): 500 is
 * 5 ISK and 5 UGX, which have no minor unit, and 5 MGA, which has one on paper. HUF and TWD differ in payouts alone.
 */
const EXTRA_DECIMALS: ReadonlyMap<string, number> = new Map([
  ["ISK", 2],
  ["UGX", 2],
  ["MGA", -2],
]);

/** Far beyond what any field may have: what is longer is too long all the same. */
const MAX_TEXT = 2_000;
const MAX_CANDIDATES = 10;

export function mapStripeEvent(input: unknown): StripeEnvelope & { mapped: StripeMapped } {
  const thin = thinSchema.safeParse(input);
  if (thin.success)
    return { stripeEventId: thin.data.id, stripeType: shown(thin.data.type), mapped: ofThin(thin.data) };
  const parsed = envelopeSchema.safeParse(input);
  if (!parsed.success) return { mapped: noEvent(input) };
  const { id, type, created, livemode, account, data } = parsed.data;
  const envelope = { stripeEventId: id, stripeType: shown(type), livemode, ...(account && { account }) };
  return { ...envelope, mapped: mapObject(type, data.object, created, livemode === false) };
}

function noEvent(input: unknown): StripeMapped {
  const isOfPayment = isObject(input) && PAYMENT_READERS.has(String(input["type"]));
  return { kind: "none", why: isOfPayment ? "unreadable" : "no_event", reason: "it is not a Stripe event" };
}

function ofThin({ type }: { type: string }): StripeMapped {
  if (!PAYMENT_READERS.has(type.replace(/^v1\./, ""))) return otherType(type);
  const reason = "it is a thin event, without its object: choose the payload style snapshot for this destination";
  return { kind: "none", why: "unreadable", reason };
}

function mapObject(type: string, object: unknown, created: number | undefined, isTest: boolean): StripeMapped {
  const read = PAYMENT_READERS.get(type);
  if (read === undefined) return otherType(type);
  const payment = read(object);
  if ("none" in payment) return { kind: "none", why: payment.none, reason: payment.reason };
  return { kind: "notice", notice: noticeOf(payment, created, isTest), unpaid: payment.unpaid };
}

function otherType(type: string): StripeMapped {
  return { kind: "none", why: "other_type", reason: `${shown(type)} is not a type that makes a mail` };
}

function shown(type: string): string {
  return type.slice(0, 80);
}

function noticeOf(payment: Payment, created: number | undefined, isTest: boolean): Notice {
  const currency = payment.currency?.toUpperCase().slice(0, MAX_TEXT);
  const paid = {
    amount: payment.amount === undefined ? undefined : isoMinorUnits(payment.amount, currency ?? ""),
    currency,
    method: textsOf([payment.method])[0],
    at: created === undefined ? undefined : new Date(created * 1000).toISOString(),
  };
  return {
    eventId: `stripe_${payment.id}`,
    paymentId: payment.id,
    isFirstHand: payment.isFirstHand,
    expectsMore: !payment.isFirstHand && payment.isShared && textsOf(payment.bookingIds).length === 0,
    ...(payment.unpaid === undefined ? { paid } : {}),
    isTest,
    addresses: textsOf(payment.addresses),
    names: textsOf(payment.names),
    locales: textsOf(payment.locales),
    bookingIds: textsOf(payment.bookingIds),
    titles: textsOf(payment.titles),
    descriptions: textsOf(payment.descriptions),
    startsAt: textsOf([payment.startsAt]),
  };
}

/** Stripe takes no fractions where it has the extra decimals, so nothing is rounded away. */
function isoMinorUnits(amount: number, currency: string): number {
  return Math.round(amount / 10 ** (EXTRA_DECIMALS.get(currency) ?? 0));
}

function textsOf(texts: readonly (string | undefined)[]): string[] {
  return texts.flatMap((text) => text?.slice(0, MAX_TEXT).trim() || []).slice(0, MAX_CANDIDATES);
}
