/*
 * What the templates of a mail see: formatted values, so that an amount or a date looks the same wherever it is shown,
 * and what others wrote made harmless. What an event does not have is undefined here. The event's own `data` is there,
 * too, as it came, for the fields that a team adds.
 */
import type { Event } from "../domain/event.ts";
import { foreignId, foreignText, isolated, leftToRight, lineOf, turns } from "./foreign.ts";
import { formatInstant, formatMoney, formatNumber, isDateAlone, pluralOf } from "./format.ts";
import { shownMethod } from "./paymentMethod.ts";
import { isName } from "./personalName.ts";
import type { Sender } from "./sender.ts";
import { fillIn, type Shown } from "./shown.ts";
import type { Scope, Templates, Wording } from "./templates.ts";

/** A mail of hundreds of lines is cut by mail programs, and its total is never seen. */
const MAX_ITEMS = 50;

/** How the things that all parts show are said in this mail. */
interface Voice {
  language: string;
  locale: string;
  wording: Wording;
  phrase: Scope["phrase"];
  /** Undefined without a currency: a sum in no currency says nothing. */
  money(minorUnits: number | undefined): string | undefined;
}

export function viewOf(event: Event, sender: Sender, templates: Templates) {
  const { booking, payment } = event.data;
  const refund = event.type === "payment.refunded" ? event.data.refund : undefined;
  const paid = refund?.amount ?? payment.amount;
  const voice = voiceOf(event, paid, templates);
  const { phrase, language, locale, wording, money } = voice;
  const name = nameOf(event);
  const [title, bookingId] = [foreignText(booking.title), foreignId(booking.id)];
  const items = (booking.items ?? []).slice(0, MAX_ITEMS).map((item) => itemOf(item, voice));
  const moreCount = (booking.items ?? []).length - items.length;
  const startsAt = booking.startsAt === undefined ? undefined : formatInstant(booking.startsAt, locale);
  const method = paid === 0 ? undefined : shownMethod(payment.method, wording.methods);
  const paymentId = foreignId(payment.id);
  const [refundId, reason] = [foreignId(refund?.id), foreignText(refund?.reason)];
  const amount = money(paid);
  return {
    phrase,
    language,
    sender: isolated(sender.name ?? sender.domain),
    subject: subjectOf(event, voice, { title, bookingId }),
    toName: name,
    greeting: name === undefined ? phrase("greetingWithoutName", {}) : phrase("greeting", { name: foreignText(name) }),
    /** What this mail is about: the sum that was paid, or given back. */
    amount,
    facts: factsOf(phrase, [
      ["booking", bookingId],
      ["title", title],
      [isDateAlone(booking.startsAt) ? "startsOn" : "startsAt", startsAt],
      ["method", method],
      ["payment", paymentId],
      ["refund", refundId],
      ["reason", reason],
    ]),
    booking: { id: bookingId, title, startsAt, items },
    moreItems: moreCount === 0 ? undefined : moreItems(moreCount, voice),
    hasLines: items.length > 0 || amount !== undefined,
    payment: { id: paymentId, amount: money(payment.amount), method },
    refund: { id: refundId, reason, amount: money(refund?.amount) },
    data: event.data,
  };
}

/** What is known, line by line. */
function factsOf(phrase: Scope["phrase"], rows: [string, unknown][]): { label: Shown; value: unknown }[] {
  return rows.flatMap(([key, value]) => (value === undefined ? [] : [{ label: phrase(key, {}), value }]));
}

function subjectOf({ data }: Event, { phrase }: Voice, about: Readonly<Record<string, Shown | undefined>>): string {
  const subject = phrase("subject", about);
  return String(data.payment["livemode"] === false ? phrase("test", { subject }) : subject);
}

/** Undefined: nobody is greeted by it. */
function nameOf({ data }: Event): string | undefined {
  const name = lineOf(data.customer.name);
  return name !== undefined && isName(name) ? name : undefined;
}

function itemOf(item: NonNullable<Event["data"]["booking"]["items"]>[number], { locale, money }: Voice) {
  const amount = money(item.amount);
  const name = foreignText(item.name);
  return {
    ...item,
    name,
    quantity: item.quantity === undefined ? undefined : formatNumber(item.quantity, locale),
    amount: amount !== undefined && name !== undefined && turns(String(name)) ? leftToRight(amount) : amount,
  };
}

function moreItems(moreCount: number, { phrase, language, locale, wording }: Voice): Shown {
  const key = `moreItems.${pluralOf(moreCount, language)}`;
  const count = formatNumber(moreCount, locale);
  return phrase(Object.hasOwn(wording.common, key) ? key : "moreItems.other", { count });
}

function voiceOf({ type, data: { payment, customer } }: Event, paid: number, templates: Templates): Voice {
  const { language, locale, wording } = languageOf(customer.locale, templates);
  const { currency } = payment;
  const sets = [paid === 0 ? wording.nothingPaid[type] : undefined, wording.types[type], wording.common];
  return {
    language,
    locale,
    wording,
    phrase(key, values) {
      const found = sets.map((set) => set?.[key]).find((phrase) => phrase !== undefined);
      if (found === undefined) throw new Error(`no phrase "${key}" in the wording of "${language}"`);
      return fillIn(found, values);
    },
    money: (minorUnits) =>
      minorUnits === undefined || currency === undefined ? undefined : formatMoney(minorUnits, currency, locale),
  };
}

/** The wording goes by the language, the formats by the whole tag: en-GB reads English, with British dates. */
function languageOf(
  tag: string | undefined,
  templates: Templates,
): { language: string; locale: string; wording: Wording } {
  const { language, baseName } = new Intl.Locale(tag ?? "en");
  if (!Object.hasOwn(templates.wording, language)) {
    return { language: "en", locale: "en", wording: templates.wording.en };
  }
  return { language, locale: baseName, wording: templates.wording[language] ?? templates.wording.en };
}
