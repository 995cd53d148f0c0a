/*
 * What a producer posts, as its own compiler sees it. It stands alone so that the client brings no
 * dependency along; a test holds it against the schemas of the service.
 */

/** Whole minor units of the currency (ISO 4217): 450000 is 450,000 VND, and 4,500.00 USD. */
type MinorUnits = number;

/** ISO 8601 with an offset, such as "2026-12-01T21:30:00+07:00". */
type Instant = string;

export interface PaymentCompleted {
  /**
   * The idempotency key: 1 to 128 printable ASCII characters without spaces. Name the payment in it, not the
   * request: the same id and body again is the same event, the same id with another body is refused.
   */
  id: string;
  type: "payment.completed";
  occurredAt?: Instant | undefined;
  data: PaymentData;
  options?: EventOptions | undefined;
}

export interface PaymentRefunded {
  id: string;
  type: "payment.refunded";
  occurredAt?: Instant | undefined;
  data: PaymentData & { refund?: Refund | undefined };
  options?: EventOptions | undefined;
}

export type Event = PaymentCompleted | PaymentRefunded;

/** Further fields are kept, for templates of your own. Texts have no control characters, CR and LF among them. */
export interface PaymentData {
  booking: Booking;
  payment: Payment;
  customer: Customer;
  [field: string]: unknown;
}

interface Booking {
  /** What your booking store is asked about. */
  id: string;
  /** Up to 200 characters. */
  title: string;
  startsAt?: Instant | undefined;
  /** Up to 100. */
  items?: Item[] | undefined;
  [field: string]: unknown;
}

interface Item {
  name: string;
  quantity: number;
  amount: MinorUnits;
  [field: string]: unknown;
}

interface Payment {
  id: string;
  amount: MinorUnits;
  /** ISO 4217, in capitals. */
  currency: string;
  method?: string | undefined;
  [field: string]: unknown;
}

interface Customer {
  /** One bare address (RFC 5321 4.1.2), at most 254 bytes. */
  email: string;
  name?: string | undefined;
  /** BCP 47, such as "vi" or "en-GB". */
  locale?: string | undefined;
  [field: string]: unknown;
}

interface Refund {
  id?: string | undefined;
  amount: MinorUnits;
  reason?: string | undefined;
  [field: string]: unknown;
}

export interface EventOptions {
  /** Before the first attempt to send; up to 30 days. */
  delayMs?: number | undefined;
  priority?: "critical" | "default" | "low" | undefined;
  /** Waits for commit or rollback; `hold` and `withMail` set it. */
  hold?: boolean | undefined;
}

/** A bad one would not even make it into a header; and no path keeps "." or "..", however it is encoded. */
export function isEventId(id: unknown): id is string {
  return typeof id === "string" && /^(?!\.\.?$)[\x21-\x7e]{1,128}$/.test(id);
}
