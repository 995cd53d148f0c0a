/*
 * The mail of each event type: two Handlebars templates, text and HTML, that share a layout and small
 * partials. All that is said in a language stands in locales/<language>.json, all that is shown in
 * templates/. A syntax error is found when they are loaded, not with the first mail.
 */
import Handlebars from "handlebars";
import en from "./locales/en.json";
import vi from "./locales/vi.json";
import type { Shown } from "./shown.ts";
import factsHtml from "./templates/facts.html.hbs" with { type: "text" };
import factsText from "./templates/facts.text.hbs" with { type: "text" };
import layoutHtml from "./templates/layout.html.hbs" with { type: "text" };
import layoutText from "./templates/layout.text.hbs" with { type: "text" };
import completedHtml from "./templates/payment.completed.html.hbs" with { type: "text" };
import completedText from "./templates/payment.completed.text.hbs" with { type: "text" };
import refundedHtml from "./templates/payment.refunded.html.hbs" with { type: "text" };
import refundedText from "./templates/payment.refunded.text.hbs" with { type: "text" };
import totalHtml from "./templates/total.html.hbs" with { type: "text" };

type Phrases = Readonly<Record<string, string>>;

/** What is said in one language. A phrase of an event type goes before a common one of the same name. */
export interface Wording {
  common: Phrases;
  /** Kinds of payment, by the words of methods.json. */
  methods: Phrases;
  types: Readonly<Record<string, Phrases>>;
  /** In place of those of the type, where its amount is 0: nobody is thanked for a payment of nothing. */
  nothingPaid: Readonly<Record<string, Phrases>>;
}

/** Sources by name; a name that is not an event type's is a partial of the same kind. */
export interface Templates {
  html: Phrases;
  text: Phrases;
  /** By language subtag; "en" is what other languages fall back to. */
  wording: Readonly<Record<string, Wording>> & { readonly en: Wording };
}

export const BUILT_IN: Templates = {
  html: {
    layout: layoutHtml,
    facts: factsHtml,
    total: totalHtml,
    "payment.completed": completedHtml,
    "payment.refunded": refundedHtml,
  },
  text: {
    layout: layoutText,
    facts: factsText,
    "payment.completed": completedText,
    "payment.refunded": refundedText,
  },
  wording: { en, vi },
};

/** What each template is rendered with, whatever else it shows. */
export interface Scope {
  /** The phrase `key` with its placeholders filled in. */
  phrase(key: string, values: Readonly<Record<string, unknown>>): Shown;
}

type Template = (scope: Scope) => string;

/** @throws on a syntax error, naming the template */
export function compileTemplates(sources: Phrases, kind: "html" | "text"): ReadonlyMap<string, Template> {
  const handlebars = Handlebars.create();
  handlebars.registerHelper("t", (key: string, options: Handlebars.HelperOptions) =>
    (options.data.root as Scope).phrase(key, options.hash),
  );
  const compiled = new Map<string, Template>();
  for (const [name, source] of Object.entries(sources)) {
    const template = handlebars.compile(parse(handlebars, name, source), { noEscape: kind === "text" });
    handlebars.registerPartial(name, template);
    compiled.set(name, template);
  }
  return compiled;
}

function parse(handlebars: typeof Handlebars, name: string, source: string): unknown {
  try {
    return handlebars.parse(source);
  } catch (cause) {
    throw new Error(`template ${name} is not valid: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}
