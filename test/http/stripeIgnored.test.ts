import { describe, expect, test } from "bun:test";
import { eventIn, understandingOf } from "./stripeEvents.ts";

const SESSION = {
  id: "cs_1",
  payment_intent: "pi_1",
  payment_status: "paid",
  amount_total: 450000,
  currency: "vnd",
  customer_details: { email: "an@example.com" },
};
const INTENT = { id: "pi_1", amount_received: 450000, currency: "vnd", receipt_email: "an@example.com" };
const CHARGE = { id: "ch_1", amount: 450000, currency: "vnd", receipt_email: "an@example.com", captured: true };

/** Nothing changed: each makes a mail. */
test.each([
  ["checkout.session.completed", SESSION],
  ["payment_intent.succeeded", INTENT],
  ["charge.succeeded", CHARGE],
])("%s makes a mail from the least that it can have", (type, object) => {
  expect(eventIn({ type, data: { object } }).data.customer).toEqual({ email: "an@example.com" });
});

describe("an event that makes no mail", () => {
  const nothing = "it is not a Stripe event";
  const unusable = "its e-mail address is not one to send mail to";
  const trial = "nothing is paid, as where a trial begins";
  const FREE = { payment_status: "no_payment_required", amount_total: 0, payment_intent: null };
  const malformed = "its object is not one that Stripe documents for this type";

  test.each([
    ["invoice.paid", SESSION, {}, "other_type", "invoice.paid is not a type that makes a mail"],
    ["constructor", SESSION, {}, "other_type", "constructor is not a type that makes a mail"],
    [
      "payment_intent.payment_failed",
      INTENT,
      {},
      "other_type",
      "payment_intent.payment_failed is not a type that makes a mail",
    ],
    ["x".repeat(1000), INTENT, {}, "other_type", `${"x".repeat(80)} is not a type that makes a mail`],
    ["checkout.session.completed", SESSION, { payment_status: "unpaid" }, "unpaid", "its payment_status is unpaid"],
    ["checkout.session.completed", SESSION, { payment_status: null }, "unpaid", "its payment_status is missing"],
    ["checkout.session.completed", SESSION, { ...FREE, mode: "subscription" }, "trial", trial],
    ["checkout.session.completed", SESSION, { ...FREE, mode: "subscription", payment_status: "paid" }, "trial", trial],
    ["checkout.session.completed", SESSION, FREE, "trial", trial],
    ["checkout.session.completed", SESSION, { ...FREE, mode: "subscription", amount_total: 999 }, "trial", trial],
    [
      "checkout.session.completed",
      SESSION,
      { ...FREE, mode: "setup" },
      "trial",
      "it keeps a payment method, nothing is paid",
    ],
    ["checkout.session.completed", SESSION, { amount_total: null }, "no_amount", "it has no amount"],
    ["checkout.session.completed", SESSION, { currency: null }, "no_amount", "it has no amount"],
    ["checkout.session.completed", SESSION, { customer_details: null }, "no_address", "it has no e-mail address"],
    ["payment_intent.succeeded", INTENT, { receipt_email: null }, "no_address", "it has no e-mail address"],
    ["payment_intent.succeeded", INTENT, { receipt_email: " " }, "no_address", "it has no e-mail address"],
    [
      "payment_intent.succeeded",
      INTENT,
      { receipt_email: null, latest_charge: "ch_1", customer: "cus_1" },
      "no_address",
      "it has no e-mail address",
    ],
    ["payment_intent.succeeded", INTENT, { id: undefined }, "unreadable", malformed],
    ["charge.succeeded", CHARGE, { captured: false }, "unpaid", "the charge is authorized and not captured yet"],
    ["charge.succeeded", CHARGE, { amount: 4.5 }, "no_amount", "it has no amount"],
    ["charge.succeeded", CHARGE, { amount: 2 ** 53 }, "no_amount", "it has no amount"],
    ["charge.succeeded", CHARGE, { id: "x".repeat(122) }, "unreadable", malformed],
    ["charge.succeeded", CHARGE, { id: "ch 1" }, "unreadable", malformed],
    ["charge.succeeded", CHARGE, { receipt_email: "an@@example.com" }, "bad_address", unusable],
    ["charge.succeeded", CHARGE, { receipt_email: "an@example.com\r\nBcc: x" }, "bad_address", unusable],
    ["charge.succeeded", CHARGE, { amount: -5 }, "no_amount", "not valid: /data/payment/amount"],
  ] as [string, object, object, string, string][])("says why: %s %#", (type, object, change, outcome, reason) => {
    expect(understandingOf({ type, data: { object: { ...object, ...change } } })).toEqual({ outcome, reason });
  });

  test("says so when it is none", () => {
    for (const input of [null, 1, "text", [], {}, { type: 1 }, { type: "invoice.paid", data: [] }])
      expect(understandingOf(input)).toEqual({ outcome: "no_event", reason: nothing });
    expect(understandingOf({ type: "charge.succeeded", data: [] })).toEqual({ outcome: "unreadable", reason: nothing });
  });

  test("says so when its object is none", () => {
    for (const type of ["checkout.session.completed", "payment_intent.succeeded", "charge.succeeded"]) {
      for (const object of [null, undefined, 1, "text", [], {}]) {
        expect(understandingOf({ type, data: { object } })).toEqual({ outcome: "unreadable", reason: malformed });
      }
    }
  });

  test("says so when its object stays at Stripe", () => {
    const thin = (type: string) => ({ id: "evt_1", object: "v2.core.event", type, related_object: { id: "pi_1" } });
    expect(understandingOf(thin("v1.payment_intent.succeeded"))).toEqual({
      outcome: "unreadable",
      reason: expect.stringContaining("choose the payload style snapshot") as never,
    });
    expect(understandingOf(thin("v2.core.account.created"))).toMatchObject({ outcome: "other_type" });
  });
});

test.each([
  [
    "mode payment, and a coupon for all of it",
    { mode: "payment", amount_subtotal: 450000, discounts: [{ coupon: "c" }] },
  ],
  ["mode payment, and free", { mode: "payment", amount_subtotal: 0 }],
  ["no mode, as before 2019, and a subtotal", { amount_subtotal: 450000 }],
])("a purchase that costs nothing makes a mail: %s", (_, change) => {
  const object = {
    ...SESSION,
    payment_status: "no_payment_required",
    payment_intent: null,
    amount_total: 0,
    ...change,
  };
  const { payment } = eventIn({ type: "checkout.session.completed", data: { object } }).data;
  expect(payment).toEqual({ id: "cs_1", amount: 0, currency: "VND" });
});
