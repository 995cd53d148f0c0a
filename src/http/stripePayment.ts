/*
 * A completed payment as Stripe's objects tell of it: checkout.session, payment_intent and charge, each with the
 * fields that are read here and no others. A field that is null, missing (they come and go with the account's API
 * version) or not of its documented type counts as not said.
 */
import { z } from "zod";

export interface Payment {
  /** The payment intent's, where there is one: the session and the charge of a payment name it too. */
  id: string;
  /** In Stripe's smallest unit of the currency. */
  amount: number | undefined;
  /** As Stripe writes it, in lower case. */
  currency: string | undefined;
  /** The most preferred first; so are the lists below. */
  addresses: (string | undefined)[];
  names: (string | undefined)[];
  locales: (string | undefined)[];
  bookingIds: (string | undefined)[];
  titles: (string | undefined)[];
  startsAt: string | undefined;
  method: string | undefined;
}

/** A payment, or why the object is none. */
type PaymentReader = (object: unknown) => Payment | string;

const MALFORMED = "its object is not one that Stripe documents for this type";

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

/** What a team puts on its payments for us. */
const metadata = z.object({ booking_id: text, booking_title: text, starts_at: text, locale: text }).partial().catch({});

/** What the customer saw and paid, when Stripe converted the price (Adaptive Pricing). */
const presentment = z
  .object({ presentment_amount: z.int(), presentment_currency: z.string() })
  .optional()
  .catch(undefined);

const methods = z.array(z.string()).catch([]);

const common = { id, currency: text, metadata, presentment_details: presentment };

const sessionSchema = z.object({
  ...common,
  payment_intent: reference,
  payment_status: text,
  amount_total: whole,
  customer_details: person,
  customer_email: text,
  client_reference_id: text,
  locale: text,
  payment_method_types: methods,
});

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

/** Each event type that makes a mail. */
export const PAYMENT_READERS: ReadonlyMap<string, PaymentReader> = new Map<string, PaymentReader>([
  ["checkout.session.completed", fromSession],
  ["checkout.session.async_payment_succeeded", fromSession],
  ["payment_intent.succeeded", fromIntent],
  ["charge.succeeded", fromCharge],
  ["charge.captured", fromCharge],
]);

/** A session completes before a bank debit or transfer is paid: then async_payment_succeeded follows. */
function fromSession(object: unknown): Payment | string {
  const parsed = sessionSchema.safeParse(object);
  if (!parsed.success) return MALFORMED;
  const session = parsed.data;
  const { payment_status: status, customer_details: customer } = session;
  if (status !== "paid" && status !== "no_payment_required") return `its payment_status is ${status ?? "missing"}`;
  return {
    id: session.payment_intent ?? session.id,
    ...moneyOf(session, session.amount_total),
    addresses: [customer.email, session.customer_email],
    names: [customer.name, customer.individual_name],
    ...saidIn(session.metadata, [session.locale]),
    bookingIds: [session.metadata.booking_id, session.client_reference_id],
    titles: [session.metadata.booking_title],
    method: onlyOne(session.payment_method_types),
  };
}

function fromIntent(object: unknown): Payment | string {
  const parsed = intentSchema.safeParse(object);
  if (!parsed.success) return MALFORMED;
  const intent = parsed.data;
  const charge = intent.latest_charge ?? intent.charges?.data[0];
  return {
    id: intent.id,
    ...moneyOf(intent, intent.amount_received),
    addresses: [intent.receipt_email, charge?.receipt_email, charge?.billing_details.email],
    names: [charge?.billing_details.name],
    ...saidIn(intent.metadata),
    bookingIds: [intent.metadata.booking_id],
    titles: [intent.metadata.booking_title, intent.description],
    method: charge?.payment_method_details.type ?? onlyOne(intent.payment_method_types),
  };
}

/** `captured` is false after an authorization: nothing is paid before charge.captured. */
function fromCharge(object: unknown): Payment | string {
  const parsed = chargeSchema.safeParse(object);
  if (!parsed.success) return MALFORMED;
  const charge = parsed.data;
  if (charge.captured === false) return "the charge is authorized and not captured yet";
  return {
    id: charge.payment_intent ?? charge.id,
    ...moneyOf(charge, charge.amount_captured ?? charge.amount),
    addresses: [charge.receipt_email, charge.billing_details.email],
    names: [charge.billing_details.name],
    ...saidIn(charge.metadata),
    bookingIds: [charge.metadata.booking_id],
    titles: [charge.metadata.booking_title, charge.description],
    method: charge.payment_method_details.type,
  };
}

type Money = Pick<Payment, "amount" | "currency">;

function moneyOf(
  object: Pick<z.infer<typeof chargeSchema>, "currency" | "presentment_details">,
  amount: number | undefined,
): Money {
  const shown = object.presentment_details;
  if (shown === undefined) return { amount, currency: object.currency };
  return { amount: shown.presentment_amount, currency: shown.presentment_currency };
}

type Said = Pick<Payment, "locales" | "startsAt">;

function saidIn({ locale, starts_at }: z.infer<typeof metadata>, others: (string | undefined)[] = []): Said {
  return { locales: [locale, ...others], startsAt: starts_at };
}

/** Methods that were offered say which one was used only when there was no other. */
function onlyOne(types: readonly string[]): string | undefined {
  return types.length === 1 ? types[0] : undefined;
}
