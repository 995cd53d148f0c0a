/* The records of `data` that types share. */
import { email } from "../domain/door/email.ts";
import { identifier } from "../domain/door/identifier.ts";
import { instant } from "../domain/door/instant.ts";
import { items } from "../domain/door/items.ts";
import { locale } from "../domain/door/locale.ts";
import { currency, paidAmount } from "../domain/door/number.ts";
import { type Fields, optionalRecord, requiredRecord } from "../domain/door/record.ts";
import { text } from "../domain/door/text.ts";

/** Of a record in `data`: event, data, record. */
export const DEPTH = 3;

const BOOKING = {
  id: identifier("What the booking store is asked about."),
  title: text(200, "What was booked."),
  startsAt: instant("When it begins."),
  items,
};
const PAYMENT = {
  id: identifier("The payment's."),
  amount: paidAmount,
  currency,
  method: text(64, "How it was paid."),
};
const CUSTOMER = { email, name: text(200, "The customer's."), locale: locale("The mail's language.") };

const booking = optionalRecord(BOOKING, DEPTH, "What the payment is for.");

export const RECORDS = {
  /** Empty where there is none. */
  booking: { ...booking, read: (given, say) => booking.read(given, say) ?? {} },
  payment: requiredRecord(PAYMENT, ["amount"], DEPTH),
  customer: requiredRecord(CUSTOMER, ["email"], DEPTH),
} satisfies Fields;

/** Also what an event is checked for whose type nobody knows. */
export const PAID = { data: RECORDS, required: ["payment", "customer"] };
