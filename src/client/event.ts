/*
 * What a producer posts, as its own compiler sees it. It stands alone so that the client brings no
 * dependency along; a test holds it against the schemas of the service.
 */

/** Whole minor units of the currency (ISO 4217): 450000 is 450,000 VND, and 4,500.00 USD. */
type MinorUnits = number;

/**
 * ISO 8601: a date ("2026-12-01"), or a date and time, with an offset ("2026-12-01T21:30:00+07:00") or without one, when
 * it is the time on the clock of the place.
 */
type Instant = string;

/** What a mail can do without may be missing, null or empty; what of it cannot be read is left out, with a note. */
type Optional<T> = T | null | undefined;

export interface PaymentCompleted {
  /**
   * The idempotency key: printable text of 1 to 200 characters. Name the payment in it, not the request: the same id and
   * body again is the same event, the same id with another body is refused.
   */
  id: string;
  type: "payment.completed";
  occurredAt?: Optional<Instant>;
  data: PaymentData;
  options?: Optional<EventOptions>;
}

export interface PaymentRefunded {
  id: string;
  type: "payment.refunded";
  occurredAt?: Optional<Instant>;
  data: PaymentData & { refund?: Optional<Refund> };
  options?: Optional<EventOptions>;
}

export type Event = PaymentCompleted | PaymentRefunded;

/** Further fields are kept, for templates of your own. Texts are made one clean line of up to 200 characters. */
export interface PaymentData {
  booking?: Optional<Booking>;
  payment: Payment;
  customer: Customer;
  [field: string]: unknown;
}

interface Booking {
  /** What your booking store is asked about; without one it is not asked. Up to 200 characters of any script. */
  id?: Optional<string>;
  title?: Optional<string>;
  startsAt?: Optional<Instant>;
  /** As many as fit into 64 KiB; a mail shows the first ones. */
  items?: Optional<Item[]>;
  [field: string]: unknown;
}

interface Item {
  name: string;
  /** May be a part of one: 1.5 metres. */
  quantity?: Optional<number>;
  /** Of the whole line; negative for a discount. */
  amount?: Optional<MinorUnits>;
  [field: string]: unknown;
}

interface Payment {
  id?: Optional<string>;
  /** Not negative. */
  amount: MinorUnits;
  /** ISO 4217. */
  currency?: Optional<string>;
  method?: Optional<string>;
  [field: string]: unknown;
}

interface Customer {
  /** One address, of at most 254 bytes; ASCII before the @. */
  email: string;
  name?: Optional<string>;
  /** BCP 47, such as "vi" or "en-GB"; "vi_VN" and what Accept-Language has are read, too. */
  locale?: Optional<string>;
  [field: string]: unknown;
}

interface Refund {
  id?: Optional<string>;
  /** All that was paid, where it is missing. */
  amount?: Optional<MinorUnits>;
  reason?: Optional<string>;
  [field: string]: unknown;
}

export interface EventOptions {
  /** Before the first attempt to send; up to 30 days. */
  delayMs?: Optional<number>;
  priority?: Optional<"critical" | "default" | "low">;
  /** Waits for commit or rollback; `hold` and `withMail` set it. */
  hold?: Optional<boolean>;
}

/** No path keeps "." or "..", however it is encoded. */
export function isEventId(id: unknown): id is string {
  if (typeof id !== "string" || /\p{Surrogate}/u.test(id)) return false;
  const trimmed = id.trim();
  return trimmed !== "" && trimmed !== "." && trimmed !== ".." && [...trimmed].length <= 200;
}

/** As a header can hold it: the webhook-id is printable ASCII. */
export function headerForm(eventId: string): string {
  return /^[\x21-\x7e]+$/.test(eventId) ? eventId : encodeURIComponent(eventId);
}
