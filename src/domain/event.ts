/*
 * What a producer posts, and what becomes of it at the door: one normal form, whatever spelling it came in. HTTP, batch,
 * journal and Stripe alike go through parseEvent.
 *
 * Refused is only what no mail can be made of: no type, no id, no usable address, an amount that is not an integer in
 * the minor unit. All else is brought into its form, or left out, and said in `notes`: somebody has paid. Unknown fields
 * are kept inside `data`, where a team's own templates may want them.
 * A new type is one entry in EVENT_TYPES and its templates.
 */
import { z } from "zod";
import { readAddress } from "./door/address.ts";
import { type Field, isObject, type Say, show } from "./door/field.ts";
import { eventId, identifier } from "./door/identifier.ts";
import { instant } from "./door/instant.ts";
import { compareWithTotal, items } from "./door/items.ts";
import { locale } from "./door/locale.ts";
import { createFindings, type Note } from "./door/notes.ts";
import { currency, paidAmount, refundedAmount } from "./door/number.ts";
import { type EventOptions, noteUnknown, optionsSchema, readOptions } from "./door/options.ts";
import { type Fields, looseSchema, optionalRecord, readRecord, requiredRecord } from "./door/record.ts";
import { text } from "./door/text.ts";
import type { Priority } from "./lifecycle.ts";

interface Item {
  name: string;
  quantity?: number | undefined;
  /** Of the whole line, in the currency's minor unit; negative for a discount. */
  amount?: number | undefined;
  [field: string]: unknown;
}

interface Booking {
  id?: string | undefined;
  title?: string | undefined;
  /** `YYYY-MM-DD`, or `YYYY-MM-DDTHH:MM[:SS[.fff]]`, which may have `Z` or `±HH:MM` behind it. */
  startsAt?: string | undefined;
  items?: Item[] | undefined;
  [field: string]: unknown;
}

interface Payment {
  /** In the currency's minor unit, not negative. */
  amount: number;
  id?: string | undefined;
  /** ISO 4217. */
  currency?: string | undefined;
  method?: string | undefined;
  [field: string]: unknown;
}

interface Customer {
  /** An addr-spec in ASCII; its local part may be quoted. */
  email: string;
  name?: string | undefined;
  /** A canonical BCP 47 tag. */
  locale?: string | undefined;
  [field: string]: unknown;
}

interface Refund {
  id?: string | undefined;
  /** The payment's where it is not said. */
  amount?: number | undefined;
  reason?: string | undefined;
  [field: string]: unknown;
}

interface PaymentData {
  booking: Booking;
  payment: Payment;
  customer: Customer;
  [field: string]: unknown;
}

interface EventOf<Type extends string, Data> {
  id: string;
  type: Type;
  /** As a booking's startsAt. */
  occurredAt?: string | undefined;
  data: Data;
  options?: EventOptions | undefined;
  /** What the door changed or left out. They are no part of what the producer said. */
  notes?: Note[] | undefined;
}

/** In its normal form. */
export type Event =
  | EventOf<"payment.completed", PaymentData>
  | EventOf<"payment.refunded", PaymentData & { refund?: Refund | undefined }>;

interface EventType {
  /** For the document of the API. */
  schema: z.ZodType;
  data: Fields;
  priority: Priority;
  /** Overrides DELAY_MS for this type. */
  delayMs?: number;
}

/** As a string that is read as one bare address; for other routes that take one. */
export const address = z
  .string()
  .transform((given, context) => {
    const read = readAddress(given);
    if (read.ok) return read.address;
    context.addIssue({ code: "custom", message: read.why });
    return z.NEVER;
  })
  .meta({ description: "One e-mail address.", example: "an@example.com" });

const email: Field<string> = {
  schema: z.string().meta({
    description:
      "One address. A domain beyond ASCII is taken; before the @ is ASCII only, as nothing else goes everywhere.",
    example: "an@example.com",
  }),
  read(given, say) {
    const read = typeof given === "string" ? readAddress(given) : undefined;
    if (read?.ok) {
      if (read.changed) say.note(`read as ${read.address}`);
      return read.address;
    }
    say.refuse(`is ${show(given)}: ${read?.why ?? "must be one e-mail address such as an@example.com"}`);
    return undefined;
  },
};

const BOOKING: Fields = {
  id: identifier("What the booking store is asked about."),
  title: text(200, "What was booked."),
  startsAt: instant("When it begins."),
  items,
};
const PAYMENT: Fields = {
  id: identifier("The payment's."),
  amount: paidAmount,
  currency,
  method: text(64, "How it was paid."),
};
const CUSTOMER: Fields = { email, name: text(200, "The customer's."), locale: locale("The mail's language.") };
const REFUND: Fields = { id: identifier("The refund's."), amount: refundedAmount, reason: text(200, "Why.") };

/** Of the records in `data`: event, data, record. */
const DEPTH = 3;

const booking = optionalRecord(BOOKING, DEPTH, "What the payment is for.");

const DATA: Fields = {
  booking: { ...booking, read: (given, say) => booking.read(given, say) ?? {} },
  payment: requiredRecord(PAYMENT, ["amount"], DEPTH),
  customer: requiredRecord(CUSTOMER, ["email"], DEPTH),
};
const REFUND_DATA: Fields = { ...DATA, refund: optionalRecord(REFUND, DEPTH, "What is given back.") };

const occurredAt = instant("When it was paid.");

function typeOf(type: string, data: Fields, priority: Priority): [string, EventType] {
  const schema = z.object({
    id: eventId.schema,
    type: z.literal(type),
    occurredAt: occurredAt.schema.nullish(),
    data: looseSchema(data, ["payment", "customer"]),
    options: optionsSchema.nullish(),
  });
  return [type, { schema, data, priority }];
}

export const EVENT_TYPES: ReadonlyMap<string, EventType> = new Map([
  typeOf("payment.completed", DATA, "critical"),
  typeOf("payment.refunded", REFUND_DATA, "default"),
]);

const TOP = ["id", "type", "occurredAt", "data", "options"];

/** One bad field. `pointer` is its JSON Pointer (RFC 6901), "" being the whole body. */
export type FieldProblem = Note;

export type ParsedEvent = { ok: true; event: Event } | { ok: false; problems: FieldProblem[] };

/**
 * The normal form of a decoded body, or all that makes a mail impossible. The normal form's own is the same.
 * @example parseEvent({ id: "evt_1", type: "nope" }) // { ok: false, problems: [{ pointer: "/type", … }, { pointer: "/data", … }] }
 */
export function parseEvent(input: unknown): ParsedEvent {
  if (!isObject(input)) return { ok: false, problems: [{ pointer: "", detail: "must be a JSON object" }] };
  const { say, notes, problems } = createFindings();
  const given = ownFieldsOf(input);
  const type = typeof given["type"] === "string" ? EVENT_TYPES.get(given["type"]) : undefined;
  if (type === undefined) {
    const allowed = [...EVENT_TYPES.keys()].join(", ");
    say.at("type").refuse(`is ${show(given["type"])}, must be one of: ${allowed}`);
  }
  const event: Record<string, unknown> = {
    id: eventId.read(given["id"], say.at("id")),
    type: given["type"],
    ...set("occurredAt", occurredAt.read(given["occurredAt"], say.at("occurredAt"))),
    data: readData(given["data"], type?.data ?? DATA, say.at("data")),
    ...set("options", readOptions(given, say)),
  };
  for (const name of Object.keys(input)) if (!TOP.includes(name)) noteUnknown(name, TOP, say);
  if (problems.length > 0) return { ok: false, problems };
  const said = notes();
  if (said.length > 0) event["notes"] = said;
  return { ok: true, event: event as unknown as Event };
}

function readData(given: unknown, fields: Fields, say: Say): Record<string, unknown> | undefined {
  if (!isObject(given)) {
    say.refuse(`is ${show(given)}: must be an object with payment and customer`);
    return undefined;
  }
  const data = readRecord(given, fields, say, DEPTH - 1);
  const { booking, payment } = data as unknown as Partial<PaymentData>;
  compareWithTotal(booking?.items, payment?.amount, say.at("booking").at("items"));
  return data;
}

/** What the body says itself: an object has more than its own fields. */
function ownFieldsOf(input: Record<string, unknown>): Record<string, unknown> {
  return Object.assign(Object.create(null), input) as Record<string, unknown>;
}

/** A field, or none at all: JSON and hashes tell a missing field from an undefined one. */
function set(name: string, value: unknown): Record<string, unknown> {
  return value === undefined ? {} : { [name]: value };
}
