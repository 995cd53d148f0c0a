/*
 * What a producer posts. One schema per event type: the types, the checks and the OpenAPI document
 * all come from it. A new type is one entry in EVENT_TYPES and its templates.
 *
 * Strings that reach a mail carry no control characters, so none can start a header of its own.
 * Unknown fields are refused beside the known ones, where they are likely typing errors, and kept
 * inside `data`, where a team's own templates may want them.
 */
import { z } from "zod";
import { PRIORITIES, type Priority } from "./lifecycle.ts";
import { pointerOf } from "./pointer.ts";

const MAX_DELAY_MS = 30 * 86_400_000;

// biome-ignore lint/suspicious/noControlCharactersInRegex: refusing them is the point
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

function text(maxLength: number) {
  return z
    .string()
    .min(1, { abort: true })
    .max(maxLength)
    .refine((value) => value.trim() !== "", "must not be whitespace only")
    .refine((value) => !CONTROL.test(value), "must not contain control characters such as CR or LF")
    .refine((value) => value.isWellFormed(), "must be well-formed Unicode")
    .meta({ description: "Not blank, without control characters such as CR or LF." });
}

/** Fit for a URL path: "." and ".." would be resolved away. */
export const EVENT_ID = /^(?!\.{1,2}$)[\x21-\x7e]{1,128}$/;

/** Printable ASCII without spaces, so that it is the same in a URL, a log line and a key. */
const identifier = z
  .string()
  .regex(EVENT_ID, "must be 1 to 128 printable ASCII characters without spaces, and not . or ..");

/** One bare addr-spec (RFC 5321 4.1.2), at most 254 bytes: no display name, comment, group or quoted part. */
export const address = z
  .string()
  .max(254)
  .regex(
    /^(?=.{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/,
    "must be one bare e-mail address such as an@example.com",
  );

const instant = z.iso.datetime({
  offset: true,
  error: "must be an ISO 8601 instant with an offset, such as 2026-12-01T21:30:00+07:00",
});

/** Minor units (ISO 4217): 450000 is 450,000 VND, and 4,500.00 USD. */
const amount = z.int("must be an integer in the currency's minor unit").min(0, "must not be negative");

/** Not metals, funds and test codes, which have no minor unit: of the codes that begin with X these are money. */
const MONEY_WITH_X = ["XAF", "XCD", "XCG", "XOF", "XPF"];

const CURRENCIES = new Set(
  Intl.supportedValuesOf("currency").filter((code) => !code.startsWith("X") || MONEY_WITH_X.includes(code)),
);

const currency = z
  .string()
  .refine((code) => CURRENCIES.has(code), "must be an ISO 4217 code in capitals, such as VND")
  .meta({ description: "An ISO 4217 code in capitals.", example: "VND" });

const locale = z
  .string()
  .max(35, { abort: true })
  .refine((tag) => {
    try {
      return Intl.getCanonicalLocales(tag).length === 1;
    } catch {
      return false;
    }
  }, "must be a BCP 47 language tag, such as vi or en-GB")
  .meta({ description: "A BCP 47 language tag.", example: "en-GB" });

const booking = z.looseObject({
  id: identifier,
  title: text(200),
  startsAt: instant.optional(),
  items: z
    .array(z.looseObject({ name: text(200), quantity: z.int().min(1), amount }))
    .max(100)
    .optional(),
});

const payment = z.looseObject({ id: identifier, amount, currency, method: text(64).optional() });

const customer = z.looseObject({ email: address, name: text(200).optional(), locale: locale.optional() });

const refund = z.looseObject({ id: identifier.optional(), amount, reason: text(200).optional() });

const options = z.strictObject({
  delayMs: z.int().min(0).max(MAX_DELAY_MS).optional(),
  priority: z.enum(PRIORITIES).optional(),
  hold: z.boolean().optional(),
});

const commonData = z.looseObject({ booking, payment, customer });

function eventOf<T extends z.ZodType, D extends z.ZodType>(type: T, data: D) {
  return z.strictObject({
    id: identifier,
    type,
    occurredAt: instant.optional(),
    data,
    options: options.optional(),
  });
}

interface EventType {
  schema: z.ZodType<Event>;
  priority: Priority;
  /** Overrides DELAY_MS for this type. */
  delayMs?: number;
}

const paymentCompleted = eventOf(z.literal("payment.completed"), commonData);
const paymentRefunded = eventOf(z.literal("payment.refunded"), commonData.extend({ refund: refund.optional() }));

/** What can be said about an event whose type is missing or unknown. */
const untyped = eventOf(z.unknown().optional(), commonData);

export type Event = z.output<typeof paymentCompleted> | z.output<typeof paymentRefunded>;

export const EVENT_TYPES: ReadonlyMap<string, EventType> = new Map<string, EventType>([
  ["payment.completed", { schema: paymentCompleted, priority: "critical" }],
  ["payment.refunded", { schema: paymentRefunded, priority: "default" }],
]);

/** One bad field, with all that is wrong with it. `pointer` is its JSON Pointer (RFC 6901), "" being the whole body. */
export interface FieldProblem {
  pointer: string;
  detail: string;
}

export type ParsedEvent = { ok: true; event: Event } | { ok: false; problems: FieldProblem[] };

/**
 * Checks a decoded body, and finds all its bad fields at once.
 * @example parseEvent({ id: "evt_1", type: "nope" }) // { ok: false, problems: [{ pointer: "/type", … }, { pointer: "/data", … }] }
 */
export function parseEvent(input: unknown): ParsedEvent {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    return { ok: false, problems: [{ pointer: "", detail: "must be a JSON object" }] };
  }
  const type = (input as { type?: unknown }).type;
  const entry = typeof type === "string" ? EVENT_TYPES.get(type) : undefined;
  if (entry === undefined) {
    const allowed = [...EVENT_TYPES.keys()].join(", ");
    const unknown = { pointer: "/type", detail: `is ${show(type)}, must be one of: ${allowed}` };
    const issues = untyped.safeParse(input, { reportInput: true }).error?.issues ?? [];
    return { ok: false, problems: [unknown, ...problemsOf(issues)] };
  }
  const parsed = entry.schema.safeParse(input, { reportInput: true });
  if (parsed.success) return { ok: true, event: parsed.data };
  return { ok: false, problems: problemsOf(parsed.error.issues) };
}

function problemsOf(issues: readonly z.core.$ZodIssue[]): FieldProblem[] {
  const found = new Map<string, FieldProblem>();
  for (const issue of issues) {
    for (const problem of fieldsOf(issue)) {
      const earlier = found.get(problem.pointer);
      if (earlier === undefined) found.set(problem.pointer, problem);
      else earlier.detail += `; ${issue.message}`;
    }
  }
  return [...found.values()];
}

function fieldsOf(issue: z.core.$ZodIssue): FieldProblem[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      pointer: pointerOf([...issue.path, key]),
      detail: "is not a field of an event",
    }));
  }
  return [{ pointer: pointerOf(issue.path), detail: `is ${show(issue.input)}: ${issue.message}` }];
}

/** The value as the producer wrote it, cut so that an error never echoes a whole body. */
function show(value: unknown): string {
  if (value === undefined) return "missing";
  const shown = JSON.stringify(value) ?? String(value);
  return shown.length > 80 ? `${shown.slice(0, 80).toWellFormed()}…` : shown;
}
