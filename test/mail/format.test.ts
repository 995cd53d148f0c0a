import { describe, expect, test } from "bun:test";
import { formatInstant, formatMoney } from "../../src/mail/format.ts";

const NBSP = "\u00a0";

describe("money", () => {
  test.each([
    [450000, "VND", "vi", `450.000${NBSP}₫`],
    [450000, "VND", "en", "₫450,000"],
    [123456, "USD", "en", "$1,234.56"],
    [123456, "USD", "en-GB", "US$1,234.56"],
    [5, "USD", "en", "$0.05"],
    [0, "USD", "en", "$0.00"],
    [1500, "JPY", "en", "¥1,500"],
    [1234567, "KWD", "en", `KWD${NBSP}1,234.567`],
    [7, "KWD", "en", `KWD${NBSP}0.007`],
    [123456789, "UYW", "en", `UYW${NBSP}12,345.6789`],
    [7, "UYW", "en", `UYW${NBSP}0.0007`],
    [9007199254740991, "USD", "en", "$90,071,992,547,409.91"],
    [9007199254740991, "VND", "vi", `9.007.199.254.740.991${NBSP}₫`],
  ])("%d minor units of %s in %s are shown as %s", (minorUnits, currency, locale, shown) => {
    expect(formatMoney(minorUnits, currency, locale)).toBe(shown);
  });
});

/** ISO 4217, list one: the currencies that have other than two decimals. */
const DECIMALS = new Map([
  ...list("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF", 0),
  ...list("BHD IQD JOD KWD LYD OMR TND", 3),
  ...list("CLF UYW", 4),
]);
/** Intl has it, list one no longer: Belarus replaced it in 2016, without decimals. */
const WITHDRAWN = new Map([["BYR", 0]]);

function list(codes: string, decimals: number): [string, number][] {
  return codes.split(" ").map((code) => [code, decimals]);
}

test("every currency that an event may have is shown with the decimals of ISO 4217", () => {
  for (const currency of Intl.supportedValuesOf("currency")) {
    const decimals = DECIMALS.get(currency) ?? WITHDRAWN.get(currency) ?? 2;
    const shown = formatMoney(123456789, currency, "en").replace(/^\D+/, "");
    expect([currency, /\.(\d+)$/.exec(shown)?.[1]?.length ?? 0]).toEqual([currency, decimals]);
    expect([currency, shown.replace(/\D/g, "")]).toEqual([currency, "123456789"]);
  }
});

describe("instants", () => {
  test.each([
    ["2026-12-01T21:30:00+07:00", "en", "Tuesday, December 1, 2026, 21:30 GMT+7"],
    ["2026-12-01T21:30:00+07:00", "en-GB", "Tuesday, 1 December 2026, 21:30 GMT+7"],
    ["2026-12-01T21:30:00+07:00", "vi", "Thứ Ba, 1 tháng 12, 2026, 21:30 GMT+7"],
    ["2026-12-01T00:05:00.250-03:30", "en", "Tuesday, December 1, 2026, 00:05 GMT-3:30"],
    ["2026-11-24T09:30:00Z", "en", "Tuesday, November 24, 2026, 09:30 GMT+0"],
  ])("%s in %s is shown on the clock it was written for", (iso, locale, shown) => {
    expect(formatInstant(iso, locale)).toBe(shown);
  });
});
