/*
 * What the mails of all types share: a layout and small partials (Handlebars), in templates/, and phrases, in
 * locales/<language>.json. A type's own stand in its folder of types/. A syntax error is found when they are loaded, not
 * with the first mail.
 */
import Handlebars from "handlebars";
import type { Phrases } from "../types/eventType.ts";
import type { EventTypes } from "../types/eventTypes.ts";
import en from "./locales/en.json";
import vi from "./locales/vi.json";
import type { Shown } from "./shown.ts";
import factsHtml from "./templates/facts.html.hbs" with { type: "text" };
import factsText from "./templates/facts.text.hbs" with { type: "text" };
import layoutHtml from "./templates/layout.html.hbs" with { type: "text" };
import layoutText from "./templates/layout.text.hbs" with { type: "text" };
import totalHtml from "./templates/total.html.hbs" with { type: "text" };

/** What is said in one language by the mails of all types. */
interface Wording {
  common: Phrases;
  /** Kinds of payment, by the words of methods.json. */
  methods: Phrases;
}

export interface Shared {
  /** Partials by name. */
  html: Phrases;
  text: Phrases;
  /** By language subtag; "en" is what other languages fall back to. */
  wording: Readonly<Record<string, Wording>> & { readonly en: Wording };
}

export const SHARED: Shared = {
  html: { layout: layoutHtml, facts: factsHtml, total: totalHtml },
  text: { layout: layoutText, facts: factsText },
  wording: { en, vi },
};

/** What each template is rendered with, whatever else it shows. */
export interface Scope {
  /** The phrase `key` with its placeholders filled in. */
  phrase(key: string, values: Readonly<Record<string, unknown>>): Shown;
}

type Template = (scope: Scope) => string;

/**
 * The template of each type, by its name.
 * @throws on a syntax error, naming the template
 */
export function compileTemplates(
  types: EventTypes,
  shared: Shared,
  kind: "html" | "text",
): ReadonlyMap<string, Template> {
  const handlebars = Handlebars.create();
  handlebars.registerHelper("t", (key: string, options: Handlebars.HelperOptions) =>
    (options.data.root as Scope).phrase(key, options.hash),
  );
  const compile = (name: string, source: string) =>
    handlebars.compile(parse(handlebars, name, source), { noEscape: kind === "text" });
  for (const [name, source] of Object.entries(shared[kind])) handlebars.registerPartial(name, compile(name, source));
  return new Map([...types.values()].map((type) => [type.name, compile(type.name, type[kind])]));
}

function parse(handlebars: typeof Handlebars, name: string, source: string): unknown {
  try {
    return handlebars.parse(source);
  } catch (cause) {
    throw new Error(`template ${name} is not valid: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}
