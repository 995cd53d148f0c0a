import { describe, expect, test } from "bun:test";
import methods from "../../src/mail/methods.json";
import { shownMethod } from "../../src/mail/paymentMethod.ts";
import { SHARED } from "../../src/mail/templates.ts";

const { en, vi } = SHARED.wording;
const inEnglish = (given: unknown) => shownMethod(given, en.methods)?.toString();
const inVietnamese = (given: unknown) => shownMethod(given, vi?.methods ?? {})?.toString();

describe("a payment method", () => {
  test.each([
    ["card", "Card", "Thẻ"],
    ["CARD", "Card", "Thẻ"],
    ["scheme", "Card", "Thẻ"],
    ["us_bank_account", "Bank account", "Tài khoản ngân hàng"],
    ["sepa_debit", "SEPA direct debit", "Ghi nợ trực tiếp SEPA"],
    ["customer_balance", "Bank transfer", "Chuyển khoản ngân hàng"],
    ["bankTransfer", "Bank transfer", "Chuyển khoản ngân hàng"],
    ["BANK_TRANSFER", "Bank transfer", "Chuyển khoản ngân hàng"],
    ["BankTransfer", "Bank transfer", "Chuyển khoản ngân hàng"],
    ["promptpay", "PromptPay", "PromptPay"],
    ["paypal", "PayPal", "PayPal"],
    ["apple-pay", "Apple Pay", "Apple Pay"],
    ["momo_wallet", "MoMo", "MoMo"],
    ["VNPAY", "VNPay", "VNPay"],
    ["ideal", "iDEAL", "iDEAL"],
  ])("%s is said in the mail's language: %s, %s", (method, english, vietnamese) => {
    expect([inEnglish(method), inVietnamese(method)]).toEqual([english, vietnamese]);
  });

  test.each([
    "Visa ending 4242",
    "visa ending 4242",
    "Chuyển khoản",
    "thẻ",
    "Bank transfer",
    "ZELLE",
    "ePay",
    "****4242",
  ])("that people wrote is shown as it is: %s", (method) => {
    expect([inEnglish(method), inVietnamese(method)]).toEqual([method, method]);
  });

  test.each([
    ...["some_new_method", "some-new-method", "somemethod", "someMethod", "SOME_METHOD", "pm_1NabX", "4242", "type:1"],
    ...["constructor", "toString", "__proto__", "", " ", "\u202e", undefined, null],
  ])("that is a machine's word without a phrase is left out: %p", (method) => {
    expect([inEnglish(method), inVietnamese(method)]).toEqual([undefined, undefined]);
  });

  test("of a kind has a phrase in each language, and each phrase a kind", () => {
    const kinds = new Set(Object.values(methods.kinds));
    for (const wording of Object.values(SHARED.wording)) expect(new Set(Object.keys(wording.methods))).toEqual(kinds);
  });

  test("is listed once, by its letters and digits alone", () => {
    const words = [...Object.keys(methods.brands), ...Object.keys(methods.kinds)];
    expect(words.filter((word) => !/^[a-z0-9]+$/.test(word))).toEqual([]);
    expect(new Set(words).size).toBe(words.length);
  });
});
