import { describe, expect, test } from "bun:test";
import { mapStripeEvent } from "../../src/http/stripeEvent.ts";

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
  expect(mapStripeEvent({ type, data: { object } }).mapped.kind).toBe("event");
});

describe("an event that makes no mail", () => {
  const nothing = "it is not a Stripe event";
  const malformed = "its object is not one that Stripe documents for this type";

  test.each([
    ["invoice.paid", SESSION, {}, "invoice.paid is not a type that makes a mail"],
    ["constructor", SESSION, {}, "constructor is not a type that makes a mail"],
    ["payment_intent.payment_failed", INTENT, {}, "payment_intent.payment_failed is not a type that makes a mail"],
    ["x".repeat(1000), INTENT, {}, `${"x".repeat(80)} is not a type that makes a mail`],
    ["checkout.session.completed", SESSION, { payment_status: "unpaid" }, "its payment_status is unpaid"],
    ["checkout.session.completed", SESSION, { payment_status: null }, "its payment_status is missing"],
    ["checkout.session.completed", SESSION, { amount_total: null }, "it has no amount"],
    ["checkout.session.completed", SESSION, { currency: null }, "it has no amount"],
    ["checkout.session.completed", SESSION, { customer_details: null }, "it has no e-mail address"],
    ["payment_intent.succeeded", INTENT, { receipt_email: null }, "it has no e-mail address"],
    ["payment_intent.succeeded", INTENT, { receipt_email: " " }, "it has no e-mail address"],
    ["payment_intent.succeeded", INTENT, { id: undefined }, malformed],
    ["charge.succeeded", CHARGE, { captured: false }, "the charge is authorized and not captured yet"],
    ["charge.succeeded", CHARGE, { amount: 4.5 }, "it has no amount"],
    ["charge.succeeded", CHARGE, { amount: 2 ** 53 }, "it has no amount"],
    ["charge.succeeded", CHARGE, { id: "x".repeat(122) }, malformed],
    ["charge.succeeded", CHARGE, { id: "ch 1" }, malformed],
  ])("says why: %s %#", (type, object, change, reason) => {
    const { mapped } = mapStripeEvent({ type, data: { object: { ...object, ...change } } });
    expect(mapped).toEqual({ kind: "ignored", reason });
  });

  test("says so when it is none", () => {
    for (const input of [null, 1, "text", [], {}, { type: 1 }, { type: "charge.succeeded", data: [] }]) {
      expect(mapStripeEvent(input)).toEqual({ mapped: { kind: "ignored", reason: nothing } });
    }
  });

  test("says so when its object is none", () => {
    for (const type of ["checkout.session.completed", "payment_intent.succeeded", "charge.succeeded"]) {
      for (const object of [null, undefined, 1, "text", [], {}]) {
        expect(mapStripeEvent({ type, data: { object } }).mapped.kind).toBe("ignored");
      }
    }
  });
});

describe("a payment that cannot become a mail", () => {
  test.each([
    [{ receipt_email: "an@@example.com" }, "its e-mail address is not one to send mail to"],
    [{ receipt_email: "an@example.com\r\nBcc: x" }, "its e-mail address is not one to send mail to"],
    [{ amount: -5 }, "not valid: /data/payment/amount"],
  ])("is told apart from what is not for us, without its address: %j", (change, reason) => {
    const { mapped } = mapStripeEvent({ type: "charge.succeeded", data: { object: { ...CHARGE, ...change } } });
    expect(mapped).toEqual({ kind: "unmailable", reason });
  });
});
