/* Money and dates as a customer reads them, in the customer's own regional format. */

/** Distinct locales and offsets come from outside, and an Intl formatter takes about 100 µs to make. */
const MAX_CACHED = 500;

function cached<T>(make: (key: string) => T): (key: string) => T {
  const cache = new Map<string, T>();
  return (key) => {
    let value = cache.get(key);
    if (value === undefined) {
      value = make(key);
      if (cache.size >= MAX_CACHED) cache.clear();
      cache.set(key, value);
    }
    return value;
  };
}

/**
 * Minor units of ISO 4217 (list one, SIX Group) that Intl under Bun 1.4.5 does not know. All others are as listed;
 * format.test.ts has them.
 */
const ISO_DIGITS: Partial<Record<string, number>> = { UYW: 4 };

const moneyFormat = cached((key) => {
  const [locale, currency = ""] = key.split(" ");
  const digits = ISO_DIGITS[currency];
  const options = digits === undefined ? {} : { minimumFractionDigits: digits, maximumFractionDigits: digits };
  const format = new Intl.NumberFormat(locale, { style: "currency", currency, ...options });
  return { format, digits: format.resolvedOptions().maximumFractionDigits ?? 0 };
});

const dateFormat = cached((key) => {
  const [locale, timeZone] = key.split(" ");
  return new Intl.DateTimeFormat(locale, { dateStyle: "full", timeZone });
});

const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;

const timeFormat = cached((key) => {
  const [locale, timeZone] = key.split(" ");
  return new Intl.DateTimeFormat(locale, { ...CLOCK, timeZoneName: "shortOffset", timeZone });
});

const localTimeFormat = cached((key) => {
  const [locale, timeZone] = key.split(" ");
  return new Intl.DateTimeFormat(locale, { ...CLOCK, timeZone });
});

/** As many digits as a number keeps. */
const numberFormat = cached((locale) => new Intl.NumberFormat(locale, { maximumSignificantDigits: 15 }));

const plurals = cached((locale) => new Intl.PluralRules(locale));

/** "one", "few", "other", … */
export function pluralOf(count: number, locale: string): string {
  return plurals(locale).select(count);
}

/**
 * @param minorUnits integer in the currency's minor unit, negative for a discount
 * @example formatMoney(450000, "VND", "vi") // "450.000 ₫"
 */
export function formatMoney(minorUnits: number, currency: string, locale: string): string {
  const { format, digits } = moneyFormat(`${locale} ${currency}`);
  const padded = String(Math.abs(minorUnits)).padStart(digits + 1, "0");
  const sign = minorUnits < 0 ? "-" : "";
  const decimal = sign + (digits === 0 ? padded : `${padded.slice(0, -digits)}.${padded.slice(-digits)}`);
  // As a decimal string: a division by 100 would round what is beyond 2^53 hundredths.
  return format.format(decimal as Intl.StringNumericLiteral);
}

/** Also a part of one: 1.5 metres. */
export function formatNumber(value: number, locale: string): string {
  return numberFormat(locale).format(value);
}

/** YYYY-MM-DD, without a time. */
export function isDateAlone(iso: string | undefined): boolean {
  return iso?.includes("T") === false;
}

/**
 * The day and the time on the clock of the place that the producer wrote the offset of: a bus that
 * leaves at 21:30 in Hà Nội says 21:30, wherever this process or the customer is. A date alone is shown
 * as one, and a time without an offset without a zone.
 * @example formatInstant("2026-12-01T21:30:00+07:00", "en") // "Tuesday, December 1, 2026, 21:30 GMT+7"
 */
export function formatInstant(iso: string, locale: string): string {
  if (isDateAlone(iso)) return dateFormat(`${locale} UTC`).format(new Date(`${iso}T00:00Z`));
  const offset = /(?:Z|[+-]\d{2}:\d{2})$/.exec(iso)?.[0];
  const key = `${locale} ${offset === undefined || offset === "Z" ? "UTC" : offset}`;
  const at = new Date(offset === undefined ? `${iso}Z` : iso);
  return `${dateFormat(key).format(at)}, ${(offset === undefined ? localTimeFormat : timeFormat)(key).format(at)}`;
}
