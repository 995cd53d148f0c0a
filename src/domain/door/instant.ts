/*
 * Dates and times as systems write them, in one form: `YYYY-MM-DD`, `YYYY-MM-DDTHH:MM[:SS[.fff]]` for a time on the
 * clock of the place, or that with `Z` or `±HH:MM` behind it. What is read: ISO 8601, RFC 3339, RFC 9557, and the
 * blanks that SQL and Ruby write.
 */
import { z } from "zod";
import { leaveOut, optional } from "./field.ts";
import { textOf } from "./text.ts";

/** Nearly all come so. Whether a month has more than 28 days is looked at below, and -00:00 is another offset. */
const NORMAL =
  /^(?!0000|.*-00:00$)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])(?:T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{3})?)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?)?$/;
const DATE = /^(\d{4})(-?)(\d{2})\2(\d{2})/;
const TIME = /^(\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?)?/;
const OFFSET = /^(?:Z|UTC|GMT|([+-])(\d{2})(?::?(\d{2}))?)$/;
/** A time zone, a calendar, or anything else that RFC 9557 puts behind the offset, which is what counts here. */
const SUFFIX = /(?:\[!?[\w+\-/=.:]{1,80}\])+$/;

/** The normal form; undefined for what is no real date, or cannot be read. */
export function normalInstant(text: string): string | undefined {
  if (NORMAL.test(text)) return text;
  const whole = text.trim().replace(SUFFIX, "").trim().toUpperCase().replace("\u2212", "-");
  const date = DATE.exec(whole);
  if (date === null) return undefined;
  const [year, month, day] = [Number(date[1]), Number(date[3]), Number(date[4])];
  if (year === 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  const rest = whole.slice(date[0].length);
  if (rest === "") return dateText(year, month, day);
  const separator = /^(?:T|\s+)/.exec(rest)?.[0];
  const time = separator === undefined ? null : TIME.exec(rest.slice(separator.length));
  if (separator === undefined || time === null) return undefined;
  const offset = offsetOf(rest.slice(separator.length + time[0].length).trim());
  const clock = clockOf(time);
  if (offset === undefined || clock === undefined) return undefined;
  const onDay = clock.isMidnightAtEnd ? nextDay(year, month, day) : dateText(year, month, day);
  return onDay && `${onDay}T${clock.text}${offset}`;
}

function clockOf([, hours = "", minutes = "00", seconds, fraction]: RegExpExecArray) {
  const [hour, minute, second] = [Number(hours), Number(minutes), Number(seconds ?? 0)];
  if (minute > 59) return undefined;
  const isMidnightAtEnd = hour === 24 && minute === 0 && second === 0 && !/[1-9]/.test(fraction ?? "");
  if (hour > 23 && !isMidnightAtEnd) return undefined;
  // A leap second ends an hour of UTC, so a quarter of an hour everywhere. It is shown as the one before it.
  const isLeap = second === 60 && minute % 15 === 14;
  if (second > 59 && !isLeap) return undefined;
  const text = [isMidnightAtEnd ? "00" : hours, minutes, ...(seconds === undefined ? [] : [isLeap ? "59" : seconds])];
  const ms = fraction === undefined ? "" : `.${fraction.slice(0, 3).padEnd(3, "0")}`;
  return { text: text.join(":") + ms, isMidnightAtEnd };
}

/** "" where there is none; undefined where what stands there is no offset. */
function offsetOf(text: string): string | undefined {
  if (text === "") return "";
  const match = OFFSET.exec(text);
  if (match === null) return undefined;
  const [, sign, hours = "", minutes = "00"] = match;
  if (sign === undefined) return "Z";
  if (Number(hours) > 23 || Number(minutes) > 59) return undefined;
  const offset = `${sign}${hours}:${minutes}`;
  return offset === "-00:00" ? "Z" : offset; // RFC 3339 4.3: UTC, and the place is not known
}

function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year < 100 ? year + 2000 : year, month, 0)).getUTCDate();
}

function nextDay(year: number, month: number, day: number): string | undefined {
  if (day < daysIn(year, month)) return dateText(year, month, day + 1);
  if (month < 12) return dateText(year, month + 1, 1);
  return year < 9999 ? dateText(year + 1, 1, 1) : undefined;
}

function dateText(year: number, month: number, day: number): string {
  return `${String(year).padStart(4, "0")}-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`;
}

export function instant(about: string) {
  const description = `${about} ISO 8601: a date, or a date and time, with an offset or without one (then it is the time on the clock of the place).`;
  const schema = z.string().meta({ description, example: "2026-12-01T21:30:00+07:00" });
  return optional(schema, (given, say) => {
    const text = textOf(given)?.trim();
    const normal = text === undefined ? undefined : normalInstant(text);
    if (normal === undefined)
      return leaveOut(say, given, "is no date, such as 2026-12-01T21:30:00+07:00 or 2026-12-01");
    if (normal !== text) say.note(`read as ${normal}`);
    return normal;
  });
}
