/*
 * Text of any origin as one clean line, so that none can start a header of its own, turn the direction of what stands
 * around it, or break an encoder. What a script or an emoji needs stays: joiners, direction marks, balanced isolates.
 */
import { z } from "zod";
import { type Field, leaveOut, optional, type Say } from "./field.ts";

/** C0, C1, and the separators of lines and paragraphs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/**
 * Embeddings and overrides of direction (UAX #9), the deprecated format characters, and what has no shape and joins
 * nothing: zero-width space, word joiner, byte order mark, soft hyphen, annotations, noncharacters.
 */
const UNSEEN = /[\u00ad\u180e\u200b\u202a-\u202e\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff]/g;

const ISOLATE = /[\u2066-\u2069]/g;
const POP = "\u2069";

/** Nothing that a reader would see. */
const INVISIBLE = /^[\s\p{Default_Ignorable_Code_Point}\u2800]*$/u;

/** What nearly all texts are: letters, marks and signs between single blanks. */
const PLAIN =
  /^[\u0021-\u007e\u00a1-\u00ac\u00ae-\u02ff\u1ea0-\u1ef9]+(?: [\u0021-\u007e\u00a1-\u00ac\u00ae-\u02ff\u1ea0-\u1ef9]+)*$/;

/** The clean line; "" when a reader would see nothing. */
export function cleanLine(text: string): string {
  if (PLAIN.test(text)) return text;
  const line = withoutStray(text.toWellFormed().replace(CONTROL, " ").replace(UNSEEN, ""))
    .replace(/\s{2,}/g, " ")
    .trim()
    .normalize("NFC");
  return INVISIBLE.test(line) ? "" : line;
}

/** Whether more than its blanks and the spelling of its letters has changed. */
function isCleaned(text: string): boolean {
  const has = (characters: RegExp) => text.search(characters) !== -1;
  return has(CONTROL) || has(UNSEEN) || !text.isWellFormed() || withoutStray(text) !== text;
}

/** Without isolates that are not closed, and ends of none (UAX #9, BD9). */
function withoutStray(text: string): string {
  if (text.search(ISOLATE) === -1) return text;
  const stray = new Set<number>();
  const open: number[] = [];
  for (const { 0: mark, index } of text.matchAll(ISOLATE)) {
    if (mark !== POP) open.push(index);
    else if (open.pop() === undefined) stray.add(index);
  }
  for (const index of open) stray.add(index);
  return text.replace(ISOLATE, (mark, index: number) => (stray.has(index) ? "" : mark));
}

/** In characters as Unicode counts them. */
export function lengthOf(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

export function isLonger(text: string, maxLength: number): boolean {
  return text.length > maxLength && (text.length > 2 * maxLength || lengthOf(text) > maxLength);
}

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** At most so many characters, "…" being the last one where some are missing; no grapheme is cut in two. */
export function shorten(line: string, maxLength: number): string {
  if (!isLonger(line, maxLength)) return line;
  let cut = "";
  let length = 0;
  // A grapheme may be as long as somebody likes; no letter is.
  for (const { segment } of graphemes.segment(line.slice(0, maxLength * 8).toWellFormed())) {
    length += lengthOf(segment);
    if (length >= maxLength) break;
    cut += segment;
  }
  if (cut === "") cut = [...line].slice(0, maxLength - 1).join("");
  return `${cleanLine(cut)}…`;
}

/** What stands for a text: itself, or a number. */
export function textOf(given: unknown): string | undefined {
  if (typeof given === "string") return given;
  return typeof given === "number" && Number.isFinite(given) ? String(given) : undefined;
}

/** The line that is meant, and a note where it has lost something. */
export function readLine(given: unknown, say: Say): string | undefined {
  const text = textOf(given);
  if (text === undefined) return leaveOut(say, given, "is no text");
  const line = cleanLine(text);
  if (line !== text && isCleaned(text)) {
    say.note(line === "" ? "left out: it has nothing to see" : "cleaned: it had characters that no line of text has");
  }
  return line === "" ? undefined : line;
}

export function text(maxLength: number, about: string): Field<string> {
  const description = `${about} Made one clean line, and cut to ${maxLength} characters.`;
  return optional(z.string().meta({ description }), (given, say) => {
    const line = readLine(given, say);
    if (line === undefined) return undefined;
    const short = shorten(line, maxLength);
    if (short !== line) say.note(`cut to ${maxLength} characters: it had ${lengthOf(line)}`);
    return short;
  });
}
