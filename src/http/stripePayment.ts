/*
 * What Stripe's objects tell of a payment: checkout.session, payment_intent and charge, each with the fields that are
 * read here and no others. A field that is null, missing (they come and go with the account's API version) or not of
 * its documented type counts as not said.
 */
import { z } from "zod";

export interface Payment {
  /** The payment intent's, where there is one: the session and the charge of a payment name it too. */
  id: string;
  /** The id is one that other objects name, too. */
  isShared: boolean;
  /** Of a session: the payer filled it in. */
  isFirstHand: boolean;
  /** Why nothing is paid so far; undefined: it is paid. */
  unpaid: string | undefined;
  /** In Stripe's smallest unit of the currency. */
  amount: number | undefined;
  /** As Stripe writes it, in lower case. */
  currency: string | undefined;
  method: string | undefined;
  /** The most preferred first; so are the lists below. */
  addresses: (string | undefined)[];
  names: (string | undefined)[];
  locales: (string | undefined)[];
  bookingIds: (string | undefined)[];
  titles: (string | undefined)[];
  descriptions: (string | undefined)[];
  startsAt: string | undefined;
}

/** `trial`: nothing is to be paid. `unreadable`: it is not what Stripe documents. */
interface NoPayment {
  none: "trial" | "unreadable";
  reason: string;
}

type PaymentReader = (object: unknown) => Payment | NoPayment;

const MALFORMED: NoPayment = {
  none: "unreadable",
  reason: "its object is not one that Stripe documents for this type",
};

const text = z.string().optional().catch(undefined);
const whole = z.int().optional().catch(undefined);

/** With "stripe_" before it, it still fits the id of an event. */
const id = z.string().regex(/^[\x21-\x7e]{1,121}$/);
/** The id, or the object itself where it was expanded. */
const reference = z
  .union([id, z.object({ id }).transform((object) => object.id)])
  .optional()
  .catch(undefined);

const person = z.object({ email: text, name: text, individual_name: text }).partial().catch({});

/** Expanded; else it is an id, which says nothing. */
const customer = z
  .object({ email: text, name: text, preferred_locales: z.array(z.string()).catch([]) })
  .partial()
  .catch({});

/** What a team puts on its payments for us. */
const metadata = z.object({ booking_id: text, booking_title: text, starts_at: text, locale: text }).partial().catch({});

/** What the customer saw and paid, when Stripe converted the price (Adaptive Pricing). */
const presentment = z
  .object({ presentment_amount: z.int(), presentment_currency: z.string() })
  .optional()
  .catch(undefined);

const methods = z.array(z.string()).catch([]);

const common = { id, currency: text, metadata, customer, presentment_details: presentment };

const sessionSchema = z.object({
  ...common,
  mode: text,
  payment_intent: reference,
  payment_status: text,
  amount_total: whole,
  amount_subtotal: whole,
  discounts: z.array(z.unknown()).catch([]),
  customer_details: person,
  customer_email: text,
  client_reference_id: text,
  locale: text,
  payment_method_types: methods,
});

type Session = z.infer<typeof sessionSchema>;

const chargeSchema = z.object({
  ...common,
  payment_intent: reference,
  amount: whole,
  amount_captured: whole,
  captured: z.boolean().optional().catch(undefined),
  billing_details: person,
  receipt_email: text,
  description: text,
  payment_method_details: z.object({ type: text }).partial().catch({}),
});

/** An id since API version 2022-11-15, which says nothing. */
const expandedCharge = chargeSchema.optional().catch(undefined);

const intentSchema = z.object({
  ...common,
  amount_received: whole,
  receipt_email: text,
  description: text,
  payment_method_types: methods,
  latest_charge: expandedCharge,
  /** In API versions before 2022-11-15. */
  charges: z
    .object({ data: z.array(expandedCharge) })
    .optional()
    .catch(undefined),
});

/** Each event type that is about a payment. */
export const PAYMENT_READERS: ReadonlyMap<string, PaymentReader> = new Map<string, PaymentReader>([
  ["checkout.session.completed", fromSession],
  ["checkout.session.async_payment_succeeded", fromSession],
  ["payment_intent.succeeded", fromIntent],
  ["charge.succeeded", fromCharge],
  ["charge.captured", fromCharge],
]);

/** A session completes before a bank debit or transfer is paid, or an authorization is captured. */
function fromSession(object: unknown): Payment | NoPayment {
  const parsed = sessionSchema.safeParse(object);
  if (!parsed.success) return MALFORMED;
  const session = parsed.data;
  const { payment_status: status, customer_details: payer } = session;
  const free = whyNothingIsDue(session);
  if (free !== undefined) return { none: "trial", reason: free };
  const isPaid = status === "paid" || status === "no_payment_required";
  return {
    id: session.payment_intent ?? session.id,
    isShared: session.payment_intent !== undefined,
    isFirstHand: true,
    unpaid: isPaid ? undefined : `its payment_status is ${status ?? "missing"}`,
    ...moneyOf(session, session.amount_total),
    addresses: [payer.email, session.customer_email, session.customer.email],
    names: [payer.name, payer.individual_name, session.customer.name],
    ...saidIn(session, [session.locale]),
    bookingIds: [session.metadata.booking_id, session.client_reference_id],
    descriptions: [],
    method: onlyOne(session.payment_method_types),
  };
}

/**
 * Undefined for a purchase, also for one that a coupon has paid. `no_payment_required` says that payment is put off, or
 * that there is none (docs.stripe.com/api/checkout/sessions/object).
 */
function whyNothingIsDue(session: Session): string | undefined {
  const { mode, payment_status: status, amount_total: total } = session;
  if (mode === "setup") return "it keeps a payment method, nothing is paid";
  if (status !== "no_payment_required" && !(status === "paid" && total === 0)) return undefined;
  const isDiscounted = (session.amount_subtotal ?? 0) > 0 || session.discounts.length > 0;
  const isPurchase = mode === "payment" || (mode === undefined && isDiscounted);
  return isPurchase && total === 0 ? undefined : "nothing is paid, as where a trial begins";
}

function fromIntent(object: unknown): Payment | NoPayment {
  const parsed = intentSchema.safeParse(object);
  if (!parsed.success) return MALFORMED;
  const intent = parsed.data;
  const charge = intent.latest_charge ?? intent.charges?.data[0];
  return {
    id: intent.id,
    isShared: true,
    isFirstHand: false,
    unpaid: undefined,
    ...moneyOf(intent, intent.amount_received),
    addresses: [intent.receipt_email, charge?.receipt_email, charge?.billing_details.email, intent.customer.email],
    names: [charge?.billing_details.name, intent.customer.name],
    ...saidIn(intent),
    bookingIds: [intent.metadata.booking_id],
    descriptions: [intent.description],
    method: charge?.payment_method_details.type ?? onlyOne(intent.payment_method_types),
  };
}

/** `captured` is false after an authorization: nothing is paid before charge.captured. */
function fromCharge(object: unknown): Payment | NoPayment {
  const parsed = chargeSchema.safeParse(object);
  if (!parsed.success) return MALFORMED;
  const charge = parsed.data;
  return {
    id: charge.payment_intent ?? charge.id,
    isShared: charge.payment_intent !== undefined,
    isFirstHand: false,
    unpaid: charge.captured === false ? "the charge is authorized and not captured yet" : undefined,
    ...moneyOf(charge, charge.amount_captured ?? charge.amount),
    addresses: [charge.receipt_email, charge.billing_details.email, charge.customer.email],
    names: [charge.billing_details.name, charge.customer.name],
    ...saidIn(charge),
    bookingIds: [charge.metadata.booking_id],
    descriptions: [charge.description],
    method: charge.payment_method_details.type,
  };
}

type Common = Pick<z.infer<typeof chargeSchema>, "currency" | "presentment_details" | "metadata" | "customer">;

function moneyOf(object: Common, amount: number | undefined): Pick<Payment, "amount" | "currency"> {
  const shown = object.presentment_details;
  if (shown === undefined) return { amount, currency: object.currency };
  return { amount: shown.presentment_amount, currency: shown.presentment_currency };
}

function saidIn(
  { metadata, customer }: Common,
  pages: (string | undefined)[] = [],
): Pick<Payment, "locales" | "startsAt" | "titles"> {
  return {
    locales: [metadata.locale, ...pages, ...(customer.preferred_locales ?? [])],
    startsAt: metadata.starts_at,
    titles: [metadata.booking_title],
  };
}

/** Methods that were offered say which one was used only when there was no other. */
function onlyOne(types: readonly string[]): string | undefined {
  return types.length === 1 ? types[0] : undefined;
}
