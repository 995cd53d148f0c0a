/* Stripe's events, shaped as its documents show them, and what comes of one that is alone. */
import type { Event, PaidData } from "../../src/domain/event.ts";
import { mapStripeEvent } from "../../src/http/stripeEvent.ts";
import { understand } from "../../src/types/understand.ts";

export const METADATA = {
  booking_id: "BK-1042",
  booking_title: "Hà Nội → Sa Pa, sleeper bus",
  starts_at: "2026-12-01T21:30:00+07:00",
};

/** The shapes that Stripe documents, shortened to the fields around those that are read. */
export const SESSION = {
  id: "cs_test_a1B2",
  object: "checkout.session",
  amount_subtotal: 450000,
  amount_total: 450000,
  client_reference_id: "ref_1",
  currency: "vnd",
  customer: "cus_1",
  customer_details: {
    address: { country: "VN" },
    email: "an@example.com",
    name: "Nguyễn Văn An",
    phone: null,
    tax_exempt: "none",
  },
  customer_email: null,
  discounts: [],
  livemode: true,
  locale: "vi",
  metadata: METADATA,
  mode: "payment",
  payment_intent: "pi_3Q",
  payment_method_types: ["card"],
  payment_status: "paid",
  status: "complete",
};

export const CHARGE = {
  id: "ch_3Q",
  object: "charge",
  amount: 450000,
  amount_captured: 450000,
  amount_refunded: 0,
  billing_details: { address: null, email: "billing@example.com", name: "Nguyễn Văn An", phone: null },
  captured: true,
  currency: "vnd",
  customer: "cus_1",
  description: "Sleeper bus",
  metadata: METADATA,
  paid: true,
  payment_intent: "pi_3Q",
  payment_method_details: { card: { brand: "visa", last4: "4242" }, type: "card" },
  receipt_email: "an@example.com",
  status: "succeeded",
};

export const INTENT = {
  id: "pi_3Q",
  object: "payment_intent",
  amount: 500000,
  amount_received: 450000,
  currency: "vnd",
  customer: "cus_1",
  description: "Sleeper bus",
  latest_charge: "ch_3Q",
  metadata: METADATA,
  payment_method_types: ["card"],
  receipt_email: "an@example.com",
  status: "succeeded",
};

// biome-ignore lint/suspicious/noExplicitAny: tests break it in every way
export type Any = any;

let made = 0;

/** A copy of `object` with the changes of `change`, in an event of `type`. */
export function stripeEvent(type: string, object: object, change: (object: Any) => void = () => {}) {
  const changed = structuredClone(object);
  change(changed);
  const id = `evt_${++made}`;
  return { id, object: "event", type, created: 1_795_512_600, livemode: true, data: { object: changed } };
}

export type Understanding = { event: Event<string, PaidData> } | { outcome: string; reason: string };

/** What comes of an event of Stripe's that no other one of its payment came before. */
export function understandingOf(input: unknown): Understanding {
  const { mapped } = mapStripeEvent(input);
  if (mapped.kind === "none") return { outcome: mapped.why, reason: mapped.reason };
  if (mapped.unpaid !== undefined) return { outcome: "unpaid", reason: mapped.unpaid };
  const understood = understand([mapped.notice]);
  if (understood.kind === "event") return { event: understood.event };
  if (understood.kind === "unpaid") throw new Error("it says that it is paid");
  return { outcome: understood.lack, reason: understood.reason };
}

export function eventIn(input: unknown): Event<string, PaidData> {
  const understanding = understandingOf(input);
  if ("event" in understanding) return understanding.event;
  throw new Error(understanding.reason);
}
