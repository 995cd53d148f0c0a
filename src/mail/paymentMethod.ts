/*
 * How it was paid, in words. What a payment provider calls a method is a machine's word ("us_bank_account"): it is shown
 * by its name or by a phrase of the mail's language, and not at all where there is none. What people wrote ("Visa ending
 * 4242") is shown as it is.
 */
import { foreignText, isolated, lineOf } from "./foreign.ts";
import methods from "./methods.json";
import type { Shown } from "./shown.ts";

/** By a provider's word, in small letters without signs: a name that is the same everywhere, or a key of `phrases`. */
const BRANDS: Readonly<Record<string, string>> = methods.brands;
const KINDS: Readonly<Record<string, string>> = methods.kinds;

/** One word without a capital, or with signs and humps that no reader puts in one: promo, pm_1Nab, bankTransfer. */
const MACHINE_WORD = /^(?:[a-z0-9.:/+-]+|[\x21-\x7e]*_[\x21-\x7e]*|[a-z]{2,}[A-Z][a-zA-Z0-9]*)$/;

/** @param phrases the methods' names in the mail's language */
export function shownMethod(given: unknown, phrases: Readonly<Record<string, string>>): Shown | undefined {
  const method = lineOf(given);
  if (method === undefined) return undefined;
  const phrase = phraseOf(method, phrases);
  if (phrase !== undefined) return isolated(phrase);
  return MACHINE_WORD.test(method) ? undefined : foreignText(method);
}

/** A team's own word goes first. */
function phraseOf(method: string, phrases: Readonly<Record<string, string>>): string | undefined {
  const own = ownValue(phrases, method);
  if (own !== undefined || /\s/.test(method)) return own;
  const word = method.toLowerCase().replace(/[^a-z0-9]/g, "");
  return ownValue(BRANDS, word) ?? ownValue(phrases, ownValue(KINDS, word) ?? "");
}

/** `key` comes from outside: "constructor" is no payment method. */
function ownValue(record: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
