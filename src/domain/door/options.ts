/*
 * How an event asks to be handled. What cannot be read is left to the defaults, but for `hold`: who wrote something like
 * it may not have been paid yet, so the event is held, and a person sees it in the end.
 */
import { z } from "zod";
import { PRIORITIES, type Priority } from "../lifecycle.ts";
import { type Field, isAbsent, isObject, leaveOut, optional, type Say, show } from "./field.ts";
import { nearMiss } from "./nearMiss.ts";

const MAX_DELAY_MS = 30 * 86_400_000;

export interface EventOptions {
  /** Before the first attempt to send; up to 30 days. */
  delayMs?: number | undefined;
  priority?: Priority | undefined;
  /** Waits for commit or rollback. */
  hold?: boolean | undefined;
}

const delayMs = optional(
  z.int().min(0).max(MAX_DELAY_MS).meta({ description: "Before the first attempt, ms; up to 30 days." }),
  (given, say) => {
    const value = typeof given === "string" && /^\s*\d{1,15}\s*$/.test(given) ? Number(given) : given;
    const fits = Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MAX_DELAY_MS;
    if (!fits) return leaveOut(say, given, `is not a whole number of ms from 0 to ${MAX_DELAY_MS}`);
    if (value !== given) say.note(`read as ${value}`);
    return value as number;
  },
);

const priority = optional(z.enum(PRIORITIES), (given, say) => {
  const text = typeof given === "string" ? given.trim() : "";
  const found = PRIORITIES.find((one) => one === text.toLowerCase());
  if (found === undefined) return leaveOut(say, given, `is none of ${PRIORITIES.join(", ")}`);
  if (found !== text) say.note(`read as ${found}`);
  return found;
});

const HOLD: ReadonlyMap<unknown, boolean> = new Map<unknown, boolean>([
  [true, true],
  ["true", true],
  [1, true],
  ["1", true],
  [false, false],
  ["false", false],
  [0, false],
  ["0", false],
]);

const hold = optional(z.boolean().meta({ description: "Waits for commit or rollback." }), (given, say) => {
  const known = HOLD.get(typeof given === "string" ? given.trim().toLowerCase() : given);
  if (known !== given) say.note(`read as ${known ?? true}: it is ${show(given)}, must be true or false`);
  return known ?? true;
});

const OPTIONS: Record<keyof EventOptions, Field<unknown>> = { delayMs, priority, hold };

export const optionsSchema = z.object({
  delayMs: delayMs.schema.nullish(),
  priority: priority.schema.nullish(),
  hold: hold.schema.nullish(),
});

/** Not kept, unlike in `data`: no template wants them. */
export function readOptions(event: Readonly<Record<string, unknown>>, say: Say): EventOptions | undefined {
  const given = event["options"];
  const at = say.at("options");
  const options: EventOptions | undefined = isAbsent(given)
    ? undefined
    : isObject(given)
      ? readKnown(given, at)
      : leaveOut(at, given, "is no object");
  if (options?.hold !== undefined || !isHoldMeant(event, isObject(given) ? given : {})) return options;
  at.note("held: something like hold stands where none is read");
  return { ...options, hold: true };
}

function readKnown(given: Record<string, unknown>, say: Say): EventOptions {
  const options: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(OPTIONS)) {
    const value = field.read(Object.hasOwn(given, name) ? given[name] : undefined, say.at(name));
    if (value !== undefined) options[name] = value;
  }
  for (const name of Object.keys(given))
    if (!Object.hasOwn(OPTIONS, name)) noteUnknown(name, Object.keys(OPTIONS), say);
  return options as EventOptions;
}

export function noteUnknown(name: string, known: readonly string[], say: Say): void {
  const meant = nearMiss(name, known);
  say
    .at(name)
    .note(`left out: it is not a field that is known here${meant === undefined ? "" : `, ${meant} may be meant`}`);
}

/** `Hold` or `held` beside the other options, `hold` beside `options`, or either in what is called `option`. */
function isHoldMeant(event: Readonly<Record<string, unknown>>, options: Record<string, unknown>): boolean {
  const isSet = (value: unknown) => !isAbsent(value) && HOLD.get(value) !== false;
  const has = (object: Record<string, unknown>) =>
    Object.keys(object).some((name) => nearMiss(name, ["hold"]) !== undefined && isSet(object[name]));
  return (
    has(options) ||
    Object.keys(event).some((name) => name.toLowerCase() === "hold" && isSet(event[name])) ||
    Object.keys(event).some((name) => {
      const value = event[name];
      return isObject(value) && nearMiss(name, ["options"]) !== undefined && has(value);
    })
  );
}
