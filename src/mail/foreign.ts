/*
 * What others wrote, as a mail shows it: one clean line, in which nothing is a link, and whose direction changes nothing
 * around it (UAX #9). The door cleans, too; events from before it did are in journals and queues.
 */
import { cleanLine, textOf } from "../domain/door/text.ts";
import { unlinked, unlinkedId } from "./links.ts";
import { type Shown, toHtml } from "./shown.ts";

/** Scripts from right to left, and marks that set a direction: what moves brackets and numbers beside it. */
const TURNS =
  /[\u0590-\u08ff\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefe]|[\ud802\ud803\ud83a\ud83b][\udc00-\udfff]/;

const [LEFT_TO_RIGHT, FIRST_STRONG, POP] = ["\u2066", "\u2068", "\u2069"];

/** A title, a name, a reason; undefined where there is nothing to see. */
export function foreignText(given: unknown): Shown | undefined {
  const line = lineOf(given);
  return line === undefined ? undefined : isolated(unlinked(line));
}

/** An id, which people copy. */
export function foreignId(given: unknown): Shown | undefined {
  const line = lineOf(given);
  return line === undefined ? undefined : isolated(unlinkedId(line));
}

/** Undefined where a reader would see nothing. */
export function lineOf(given: unknown): string | undefined {
  return cleanLine(textOf(given) ?? "") || undefined;
}

/** Most text reads the same with and without: it stays as it is, byte for byte. */
export function isolated(text: string): Shown {
  if (!turns(text)) return { toString: () => text, toHTML: () => toHtml(text) };
  return { toString: () => `${FIRST_STRONG}${text}${POP}`, toHTML: () => `<bdi>${toHtml(text)}</bdi>` };
}

/** An amount on a line with such text: its sign stays in front, also where a program turns the whole line. */
export function leftToRight(text: string): Shown {
  return {
    toString: () => `${LEFT_TO_RIGHT}${text}${POP}`,
    toHTML: () => `<bdi dir="ltr">${toHtml(text)}</bdi>`,
  };
}

export function turns(text: string): boolean {
  return TURNS.test(text);
}
