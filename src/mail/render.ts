/*
 * From an event to the mail it causes. Pure: the same event gives the same mail on each attempt.
 * Templates see formatted values only, so an amount or a date looks the same wherever it is shown;
 * the event's own `data` is there too, for the fields that a team adds.
 */
import type { Event } from "../domain/event.ts";
import { formatInstant, formatMoney } from "./format.ts";
import type { Mail } from "./mailer.ts";
import { parseSender, type Sender } from "./sender.ts";
import { BUILT_IN, compileTemplates, fillIn, type Scope, type Templates, type Wording } from "./templates.ts";

/** The mail cannot be made from this event: no later attempt will change that. */
export class RenderError extends Error {
  override name = "RenderError";
}

/** @throws RenderError */
export type Render = (event: Event, messageId: string) => Mail;

/**
 * Compiles the templates once.
 * @param from MAIL_FROM: whom the mail is from, and the domain of its Message-ID
 * @throws when `from` or a template is not valid
 */
export function createRenderer({ from, templates = BUILT_IN }: { from: string; templates?: Templates }): Render {
  const sender = parseSender(from);
  const html = compileTemplates(templates.html, "html");
  const text = compileTemplates(templates.text, "text");

  return (event, messageId) => {
    try {
      const htmlTemplate = html.get(event.type);
      const textTemplate = text.get(event.type);
      if (htmlTemplate === undefined || textTemplate === undefined) throw new Error("there is no template for it");
      const view = viewOf(event, sender, templates);
      const { email, name } = event.data.customer;
      return {
        messageIdHeader: `${messageId}@${sender.domain}`,
        to: name === undefined ? { address: email } : { address: email, name },
        subject: view.subject,
        text: textTemplate(view),
        html: htmlTemplate(view),
        language: view.language,
      };
    } catch (cause) {
      const detail = cause instanceof Error ? cause.message : String(cause);
      throw new RenderError(`${event.type}: ${detail}`, { cause });
    }
  };
}

function viewOf(event: Event, sender: Sender, templates: Templates) {
  const { booking, payment, customer } = event.data;
  const { language, locale, wording } = languageOf(customer.locale, templates);
  const refund = event.type === "payment.refunded" ? event.data.refund : undefined;
  const money = (amount: number) =>
    payment.currency === undefined ? String(amount) : formatMoney(amount, payment.currency, locale);

  const phrases = wording.types[event.type];
  const phrase: Scope["phrase"] = (key, values) => {
    const found = phrases?.[key] ?? wording.common[key];
    if (found === undefined) throw new Error(`no phrase "${key}" in the wording of "${language}"`);
    return fillIn(found, values);
  };

  const subject = phrase("subject", { title: booking.title ?? "", bookingId: booking.id ?? "" });
  const isTest = payment["livemode"] === false;

  return {
    phrase,
    language,
    sender: sender.name ?? sender.domain,
    subject: (isTest ? phrase("test", { subject }) : subject).replace(/[\r\n]+/g, " "),
    greeting:
      customer.name === undefined ? phrase("greetingWithoutName", {}) : phrase("greeting", { name: customer.name }),
    /** What this mail is about: the sum that was paid, or given back. */
    amount: money(event.type === "payment.refunded" ? (refund?.amount ?? payment.amount) : payment.amount),
    booking: {
      id: booking.id,
      title: booking.title,
      startsAt: booking.startsAt === undefined ? undefined : formatInstant(booking.startsAt, locale),
      items: (booking.items ?? []).map((item) => ({
        ...item,
        amount: item.amount === undefined ? undefined : money(item.amount),
      })),
    },
    payment: {
      id: payment.id,
      amount: money(payment.amount),
      method: payment.method === undefined ? undefined : (ownValue(wording.methods, payment.method) ?? payment.method),
    },
    refund,
    data: event.data,
  };
}

/** The wording goes by the language, the formats by the whole tag: en-GB reads English, with British dates. */
function languageOf(
  tag: string | undefined,
  templates: Templates,
): { language: string; locale: string; wording: Wording } {
  const { language, baseName } = new Intl.Locale(tag ?? "en");
  const wording = ownValue(templates.wording, language);
  if (wording === undefined) return { language: "en", locale: "en", wording: templates.wording.en };
  return { language, locale: baseName, wording };
}

/** `key` comes from outside: "constructor" is no payment method. */
function ownValue<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
