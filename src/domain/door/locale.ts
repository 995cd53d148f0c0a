/*
 * The customer's language as systems name it: BCP 47, POSIX (`vi_VN.UTF-8`), Java (`zh_TW_#Hant`), or what a browser
 * sent as Accept-Language. The first usable one counts, as a canonical BCP 47 tag.
 */
import { z } from "zod";
import { leaveOut, optional } from "./field.ts";

const MAX_TAG_LENGTH = 35;
/** Distinct texts come from outside. */
const MAX_CACHED = 500;
const MAX_LIST_LENGTH = 1_000;

/** POSIX modifiers that say something about the language (glibc). */
const MODIFIERS: Readonly<Record<string, string>> = { latin: "Latn", cyrillic: "Cyrl", devanagari: "Deva" };

const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" });

const cache = new Map<string, string | undefined>();

/** Undefined where no language is named. */
export function canonicalLocale(text: string): string | undefined {
  if (text.length > MAX_LIST_LENGTH) return undefined;
  if (cache.has(text)) return cache.get(text);
  const wishes = text.split(",").map((wish, position) => ({ ...parsed(wish), position }));
  wishes.sort((a, b) => b.weight - a.weight || a.position - b.position);
  let found: string | undefined;
  for (const { name, weight } of wishes) if (weight > 0) found ??= tagOf(name);
  if (cache.size >= MAX_CACHED) cache.clear();
  cache.set(text, found);
  return found;
}

/** RFC 9110 12.4.2; a weight that cannot be read is the least. */
function parsed(wish: string): { name: string; weight: number } {
  const [name = "", ...parameters] = wish.split(";").map((part) => part.trim());
  const given = parameters.find((parameter) => /^q\s*=/i.test(parameter));
  const weight = given === undefined ? 1 : Number(given.slice(given.indexOf("=") + 1));
  return { name, weight: weight >= 0 && weight <= 1 ? weight : 0.001 };
}

function tagOf(name: string): string | undefined {
  const [base = "", modifier = ""] = name.replace(/_#.*$/, "").split("@");
  const [language = "", ...rest] = base
    .replace(/\..*$/, "")
    .split(/[_-]/)
    .filter((part) => !isPosix(part));
  // "C" and "POSIX" are no languages, nor is a word of five letters or more.
  if (!/^[a-z]{2,3}$/i.test(language)) return undefined;
  const script = MODIFIERS[modifier.toLowerCase()];
  const isVariant = !isPosix(modifier) && /^(?:[a-z0-9]{5,8}|\d[a-z0-9]{3})$/i.test(modifier);
  const tag = [
    language,
    ...(script === undefined ? [] : [script]),
    ...rest,
    ...(isVariant && script === undefined ? [modifier] : []),
  ];
  try {
    const locale = new Intl.Locale(tag.join("-"));
    if (locale.language === "und" || names.of(locale.language) === undefined) return undefined;
    return [locale.toString(), locale.baseName].find((one) => one.length <= MAX_TAG_LENGTH);
  } catch {
    return undefined;
  }
}

/** A way to write numbers, and no language's; nor is what stands between two separators. */
function isPosix(part: string): boolean {
  return part === "" || part.toLowerCase() === "posix";
}

export function locale(about: string) {
  const description = `${about} A BCP 47 language tag; POSIX names and Accept-Language lists are read, too.`;
  return optional(z.string().meta({ description, example: "en-GB" }), (given, say) => {
    const text = typeof given === "string" ? given.trim() : undefined;
    const tag = text === undefined ? undefined : canonicalLocale(text);
    if (tag === undefined) return leaveOut(say, given, "names no language that is known, such as vi or en-GB");
    if (tag !== text) say.note(`read as ${tag}`);
    return tag;
  });
}
