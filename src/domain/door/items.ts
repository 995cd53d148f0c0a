/* What was bought, line by line. A line's amount is of the whole line. */
import { z } from "zod";
import { type Field, isAbsent, isObject, leaveOut, type Say } from "./field.ts";
import { lineAmount, quantity } from "./number.ts";
import { type Fields, looseSchema, readRecord } from "./record.ts";
import { text, textOf } from "./text.ts";

const LINE: Fields = { name: text(200, "What it is."), quantity, amount: lineAmount };

/** Of a line: event, data, booking, items, line. */
const DEPTH = 5;

export const items: Field<Record<string, unknown>[]> = {
  schema: z.array(looseSchema(LINE, ["name"])).meta({ description: "As many as fit; a mail shows the first ones." }),
  read(given, say) {
    if (isAbsent(given)) return undefined;
    if (!Array.isArray(given)) return leaveOut(say, given, "is no list");
    return given.flatMap((line: unknown, i): Record<string, unknown>[] => {
      const read = readLine(line, say.at(i));
      return read === undefined ? [] : [read];
    });
  },
};

function readLine(given: unknown, say: Say): Record<string, unknown> | undefined {
  if (isAbsent(given)) return undefined;
  const name = textOf(given);
  if (name === undefined && !isObject(given)) return leaveOut(say, given, "is no line with a name");
  const line = readRecord(isObject(given) ? given : { name }, LINE, say, DEPTH);
  return line["name"] === undefined ? leaveOut(say, given, "has no name to show") : line;
}

/** The mail shows both and adds nothing up: somebody should know. Lines without an amount say nothing. */
export function compareWithTotal(lines: unknown, total: unknown, say: Say): void {
  if (!Array.isArray(lines) || lines.length === 0 || typeof total !== "number") return;
  const amounts = lines.map(({ amount }) => amount);
  if (!amounts.every((amount) => typeof amount === "number")) return;
  const sum = amounts.reduce((sum, amount) => sum + BigInt(amount), 0n);
  if (sum !== BigInt(total)) say.note(`differs from the total: the lines add up to ${sum}, the payment is ${total}`);
}
