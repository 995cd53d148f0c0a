/* What the door says to the producer: a note for what was changed or left out, a problem for what is refused. */
import { pointerOf } from "../pointer.ts";
import type { Say } from "./field.ts";
import { cleanLine, shorten } from "./text.ts";

/** About one field. `pointer` is its JSON Pointer (RFC 6901), "" being the whole body. */
export interface Note {
  pointer: string;
  detail: string;
}

/** A body has room for thousands of wrong fields; the answer and the stored event have not. */
const MAX_NOTES = 50;

/** `say` is about the whole body. */
export interface Findings {
  say: Say;
  notes(): Note[];
  problems: Note[];
}

export function createFindings(): Findings {
  const notes: Note[] = [];
  const problems: Note[] = [];
  let untold = 0;
  const about = (path: readonly PropertyKey[]): Say => ({
    note(detail) {
      if (notes.length < MAX_NOTES) notes.push({ pointer: shownPointer(path), detail });
      else untold += 1;
    },
    refuse(detail) {
      problems.push({ pointer: shownPointer(path), detail });
    },
    at: (name) => about([...path, name]),
  });
  return {
    say: about([]),
    notes: () => (untold === 0 ? notes : [...notes, { pointer: "", detail: `and ${untold} more` }]),
    problems,
  };
}

const MAX_POINTER = 300;

/** The names of fields come from outside, too, however long. */
function shownPointer(path: readonly PropertyKey[]): string {
  const pointer = pointerOf(path);
  return pointer.length <= MAX_POINTER ? pointer : `${pointer.slice(0, MAX_POINTER).toWellFormed()}…`;
}

const MAX_SUMMARY = 200;

/**
 * In one line, for the timeline: what each note begins with.
 * @example summaryOf([{ pointer: "/data/customer/locale", detail: 'left out: "x" names …' }]) // "/data/customer/locale left out"
 */
export function summaryOf(notes: readonly Note[]): string {
  const words = notes.map(({ pointer, detail }) => `${pointer} ${detail.split(":", 1)[0]}`.trim());
  return shorten(cleanLine(words.join(", ").slice(0, 4 * MAX_SUMMARY)), MAX_SUMMARY);
}
