/* The customer gets the payment back, or a part of it. */
import { identifier } from "../../domain/door/identifier.ts";
import { refundedAmount } from "../../domain/door/number.ts";
import { optionalRecord } from "../../domain/door/record.ts";
import { text as line } from "../../domain/door/text.ts";
import type { Event } from "../../domain/event.ts";
import { eventType } from "../eventType.ts";
import { DEPTH, PAID, RECORDS } from "../records.ts";
import en from "./en.json";
import html from "./html.hbs" with { type: "text" };
import text from "./text.hbs" with { type: "text" };
import defaults from "./type.json";
import vi from "./vi.json";
import { type RefundData, view } from "./view.ts";

export type PaymentRefunded = Event<"payment.refunded", RefundData>;

const REFUND = { id: identifier("The refund's."), amount: refundedAmount, reason: line(200, "Why.") };

export const paymentRefunded = eventType({
  name: "payment.refunded",
  ...defaults,
  data: { ...RECORDS, refund: optionalRecord(REFUND, DEPTH, "What is given back.") },
  required: PAID.required,
  view,
  html,
  text,
  wording: { en, vi },
});
