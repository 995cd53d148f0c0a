/*
 * What the templates of a mail see: formatted values, so that an amount or a date looks the same wherever it is shown,
 * and what others wrote made harmless. What an event does not have is undefined here. The event's own `data` is there,
 * too, as it came, for the fields that a team adds.
 */
import type { Event } from "../domain/event.ts";
import type { EventType, Phrases } from "../types/eventType.ts";
import { foreignId, foreignText, isolated, leftToRight, lineOf, turns } from "./foreign.ts";
import { formatInstant, formatMoney, formatNumber, isDateAlone, pluralOf } from "./format.ts";
import { shownMethod } from "./paymentMethod.ts";
import { isName } from "./personalName.ts";
import type { Sender } from "./sender.ts";
import { fillIn, type Shown } from "./shown.ts";
import type { Scope, Shared } from "./templates.ts";

/** A mail of hundreds of lines is cut by mail programs, and its total is never seen. */
const MAX_ITEMS = 50;

type Phrase = Scope["phrase"];

/** What is said in this mail's language, and how its values look. */
interface Voice {
  language: string;
  locale: string;
  /** Of the event's type. */
  own: Phrases;
  common: Phrases;
  methods: Phrases;
  /** Undefined without a currency: a sum in no currency says nothing. */
  money(minorUnits: number | undefined): string | undefined;
}

export function viewOf(event: Event, type: EventType, sender: Sender, shared: Shared) {
  const { booking, customer } = event.data;
  // What a type does not declare is as the producer wrote it.
  const payment = type.data.payment && event.data.payment;
  const voice = voiceOf(customer.locale, payment?.currency, type, shared);
  const { locale, money } = voice;
  const own = type.view(event.data, { text: foreignText, id: foreignId, money });
  const phrase = phrasing(voice, own.variant);
  const name = nameOf(event);
  const [title, bookingId] = [foreignText(booking.title), foreignId(booking.id)];
  const items = (booking.items ?? []).slice(0, MAX_ITEMS).map((item) => itemOf(item, voice));
  const moreCount = (booking.items ?? []).length - items.length;
  const startsAt = booking.startsAt === undefined ? undefined : formatInstant(booking.startsAt, locale);
  const method = own.amount === 0 ? undefined : shownMethod(payment?.method, voice.methods);
  const paymentId = foreignId(payment?.id);
  const amount = money(own.amount);
  return {
    ...own.names,
    phrase,
    language: voice.language,
    sender: isolated(sender.name ?? sender.domain),
    subject: subjectOf(payment?.["livemode"] === false, phrase, { title, bookingId }),
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
      ...(own.facts ?? []),
    ]),
    booking: { id: bookingId, title, startsAt, items },
    moreItems: moreCount === 0 ? undefined : moreItems(moreCount, voice, phrase),
    hasLines: items.length > 0 || amount !== undefined,
    payment: { id: paymentId, amount: money(payment?.amount), method },
    data: event.data,
  };
}

/** What is known, line by line. */
function factsOf(phrase: Phrase, rows: [string, unknown][]): { label: Shown; value: unknown }[] {
  return rows.flatMap(([key, value]) => (value === undefined ? [] : [{ label: phrase(key, {}), value }]));
}

function subjectOf(isTest: boolean, phrase: Phrase, about: Readonly<Record<string, Shown | undefined>>): string {
  const subject = phrase("subject", about);
  return String(isTest ? phrase("test", { subject }) : subject);
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

function moreItems(moreCount: number, { language, locale, common }: Voice, phrase: Phrase): Shown {
  const key = `moreItems.${pluralOf(moreCount, language)}`;
  const count = formatNumber(moreCount, locale);
  return phrase(Object.hasOwn(common, key) ? key : "moreItems.other", { count });
}

function voiceOf(tag: string | undefined, currency: string | undefined, type: EventType, shared: Shared): Voice {
  const { language, locale } = languageOf(tag, type, shared);
  return {
    language,
    locale,
    own: type.wording[language] ?? {},
    ...(shared.wording[language] ?? shared.wording.en),
    money: (minorUnits) =>
      minorUnits === undefined || currency === undefined ? undefined : formatMoney(minorUnits, currency, locale),
  };
}

/** A type's phrase goes before a common one of the same name, and one of the variant before both. */
function phrasing({ language, own, common }: Voice, variant: string | undefined): Phrase {
  return (key, values) => {
    const found = (variant === undefined ? undefined : own[`${key}.${variant}`]) ?? own[key] ?? common[key];
    if (found === undefined) throw new Error(`no phrase "${key}" in the wording of "${language}"`);
    return fillIn(found, values);
  };
}

/** The wording goes by the language, the formats by the whole tag: en-GB reads English, with British dates. */
function languageOf(tag: string | undefined, type: EventType, shared: Shared): { language: string; locale: string } {
  const { language, baseName } = new Intl.Locale(tag ?? "en");
  const isKnown = Object.hasOwn(shared.wording, language) && Object.hasOwn(type.wording, language);
  return isKnown ? { language, locale: baseName } : { language: "en", locale: "en" };
}
