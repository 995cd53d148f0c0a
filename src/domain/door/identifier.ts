/* Ids that people and systems know: any printable text. They are never cut, as a part of an id is another id. */
import { z } from "zod";
import { type Field, leaveOut, optional, type Say, show } from "./field.ts";
import { cleanLine, isLonger, readLine, textOf } from "./text.ts";

export const MAX_ID_LENGTH = 200;

export function identifier(about: string): Field<string> {
  const description = `${about} Printable text of up to ${MAX_ID_LENGTH} characters.`;
  return optional(z.string().meta({ description }), (given, say) => {
    if (isRounded(given)) return leaveOut(say, given, "is too large for a number: write it as text");
    const line = readLine(given, say);
    if (line === undefined || !isLonger(line, MAX_ID_LENGTH)) return line;
    return leaveOut(say, line, `has more than ${MAX_ID_LENGTH} characters, and a part of it would be another id`);
  });
}

/** The sender wrote other digits, which are lost. */
function isRounded(given: unknown): boolean {
  return typeof given === "number" && Math.abs(given) > Number.MAX_SAFE_INTEGER;
}

const EVENT_ID = `must be printable text of 1 to ${MAX_ID_LENGTH} characters, not . or ..`;

/** What an event is known by, in whichever form it was written; undefined when there is no event with such an id. */
export function eventIdOf(given: unknown): string | undefined {
  if (isRounded(given)) return undefined;
  const id = cleanLine(textOf(given) ?? "");
  // No URL's path keeps "." and "..", however they are encoded.
  return id === "" || id === "." || id === ".." || isLonger(id, MAX_ID_LENGTH) ? undefined : id;
}

export const eventId: Field<string> = {
  schema: z.string().meta({ description: `The idempotency key. It ${EVENT_ID}` }),
  read(given, say: Say) {
    const id = eventIdOf(given);
    if (id === undefined) say.refuse(`is ${show(given)}: ${EVENT_ID}`);
    else readLine(given, say); // for its note
    return id;
  },
};
