import { describe, expect, test } from "bun:test";
import { eventIn } from "./stripeEvents.ts";

/** Of a charge of `amount` of Stripe's units. */
function paymentOf(amount: number, currency: string) {
  const object = { id: "ch_1", amount, currency, receipt_email: "an@example.com" };
  return eventIn({ id: "evt_1", type: "charge.succeeded", data: { object } }).data.payment;
}

describe("an amount", () => {
  test.each([
    ["vnd", 450_000, 450_000],
    ["jpy", 500, 500],
    ["usd", 1099, 1099],
    ["kwd", 5120, 5120],
    ["huf", 1045, 1045],
    ["twd", 80_045, 80_045],
    ["isk", 500, 5],
    ["ugx", 12_345_600, 123_456],
    ["mga", 5, 500],
  ])("in %s of %d is %d minor units of ISO 4217", (currency, stripe, iso) => {
    expect(paymentOf(stripe, currency)).toMatchObject({ amount: iso, currency: currency.toUpperCase() });
  });

  /** docs.stripe.com/currencies: all that it takes payments in, and those that have not two decimals there. */
  const TAKEN =
    "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw";
  const ZERO = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split(" ");
  const THREE = ["bhd", "jod", "kwd", "omr", "tnd"];

  test("is worth the same here and there, in every currency that Stripe takes", () => {
    for (const currency of TAKEN.split(" ")) {
      const there = ZERO.includes(currency) ? 0 : THREE.includes(currency) ? 3 : 2;
      const format = new Intl.NumberFormat("en", { style: "currency", currency });
      const here = format.resolvedOptions().maximumFractionDigits ?? 0;
      expect([currency, paymentOf(70 * 10 ** there, currency).amount]).toEqual([currency, 70 * 10 ** here]);
    }
  });
});
