/* An event in its normal form, which the door makes of what a producer posts. What each type adds stands in types/. */
import type { Note } from "./door/notes.ts";
import type { EventOptions } from "./door/options.ts";

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

/** What each type has. Fields that the service does not know are kept: a team's own templates may want them. */
export interface EventData {
  booking: Booking;
  customer: Customer;
  payment?: Payment | undefined;
  [field: string]: unknown;
}

export interface PaidData extends EventData {
  payment: Payment;
}

export interface Event<Type extends string = string, Data extends EventData = EventData> {
  id: string;
  type: Type;
  /** As a booking's startsAt. */
  occurredAt?: string | undefined;
  data: Data;
  options?: EventOptions | undefined;
  /** What the door changed or left out. They are no part of what the producer said. */
  notes?: Note[] | undefined;
}

/** What the producer said: two spellings of it are one body. */
export function withoutNotes({ notes: _, ...body }: Event): Omit<Event, "notes"> {
  return body;
}
