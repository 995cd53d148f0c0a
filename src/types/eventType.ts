/*
 * What a folder of types/ declares: which events there are of a type, and what their mail shows. An own type of a team
 * has the same parts. The mail itself (layout, common phrases, formats) is made by mail/.
 */
import type { Field } from "../domain/door/field.ts";
import type { Fields } from "../domain/door/record.ts";
import type { EventData } from "../domain/event.ts";
import { PRIORITIES, type Priority } from "../domain/lifecycle.ts";

/** type.json */
interface Defaults {
  /** For people who look at events. */
  title: string;
  priority: Priority;
  /** In place of DELAY_MS. */
  delayMs?: number;
}

export interface EventType extends Defaults {
  /** As a producer writes it. */
  name: string;
  /** The known fields of `data`. All others are kept as they came. */
  data: Fields & { booking: Field<unknown>; customer: Field<unknown>; payment?: Field<unknown> };
  /** Those of them that no event may be without. */
  required: readonly string[];
  /** What the mail shows beside what all mails show. `data` is as the fields above have it. */
  view(data: EventData, show: Show): View;
  /** Handlebars. */
  html: string;
  text: string;
  /** Phrases by language subtag. They go before common ones of the same name. */
  wording: Readonly<Record<string, Phrases>>;
}

export type Phrases = Readonly<Record<string, string>>;

/** Values in the form that a mail shows; undefined where there is nothing to see. */
export interface Show {
  text(given: unknown): unknown;
  /** An id, which people copy. */
  id(given: unknown): unknown;
  /** In the payment's currency; undefined without one. */
  money(minorUnits: number | undefined): string | undefined;
}

export interface View {
  /** What the mail is about, in the currency's minor unit. */
  amount?: number | undefined;
  /** A phrase `<name>.<variant>` goes before the phrase `<name>`. */
  variant?: string | undefined;
  /** Lines behind those of the booking and the payment: a phrase, and its value. */
  facts?: readonly [phrase: string, value: unknown][];
  /** More names for the templates. */
  names?: Readonly<Record<string, unknown>>;
}

/** JSON is not typed as narrowly as what it stands for. @throws on a priority that is none */
export function eventType(declared: Omit<EventType, "priority"> & { priority: string }): EventType {
  const priority = PRIORITIES.find((one) => one === declared.priority);
  if (priority === undefined)
    throw new Error(`type ${declared.name}: priority ${declared.priority} is none of ${PRIORITIES.join(", ")}`);
  return { ...declared, priority };
}
