/* How a field of an event is read: one value in, its normal form out, and a word about what became of it. */
import type { z } from "zod";

/** Where a reader says what it did. */
export interface Say {
  /**
   * What was changed or left out. It begins with what happened, as the timeline repeats that much, up to the first
   * colon: "left out: …", "read as vi-VN: …".
   */
  note(detail: string): void;
  /** No mail can be made without it. */
  refuse(detail: string): void;
  /** About a field of this one. */
  at(name: PropertyKey): Say;
}

export interface Field<T> {
  /** Undefined: it is absent, or left out. */
  read(given: unknown, say: Say): T | undefined;
  /** For the document of the API. */
  schema: z.ZodType;
}

/** As serializers write what is not there. */
export function isAbsent(given: unknown): boolean {
  return given === undefined || given === null || (typeof given === "string" && given.trim() === "");
}

/** A field that a mail can do without: absent, or read, or left out with a note. */
export function optional<T>(
  schema: z.ZodType,
  read: (given: NonNullable<unknown>, say: Say) => T | undefined,
): Field<T> {
  return {
    schema,
    read: (given, say) => (isAbsent(given) ? undefined : read(given as NonNullable<unknown>, say)),
  };
}

export function leaveOut(say: Say, given: unknown, why: string): undefined {
  say.note(`left out: ${show(given)} ${why}`);
}

/** The value as the producer wrote it, cut so that no answer echoes a whole body. */
export function show(value: unknown): string {
  if (value === undefined) return "missing";
  const shown = jsonOf(value);
  return shown.length > 80 ? `${shown.slice(0, 80).toWellFormed()}…` : shown;
}

function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return typeof value; // it is no JSON
  }
}

export function isObject(given: unknown): given is Record<string, unknown> {
  return typeof given === "object" && given !== null && !Array.isArray(given);
}
