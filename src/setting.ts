/* How a setting is declared, and the kinds that several of them share. */
import { isIP } from "node:net";
import { parseDurationMs } from "./domain/duration.ts";
import { parseSigningKey } from "./domain/signingKey.ts";

export interface Setting<T> {
  /** As a person would write it; undefined: unset by default. */
  default: string | undefined;
  allowed: string;
  about: string;
  /** Its value is shown never, or unless an @ may stand behind a password. */
  secret?: "always" | "credentials";
  /** Undefined, or an error that says more, when the text is not allowed. */
  parse: (text: string) => T | undefined;
}

export const DAY_MS = 86_400_000;

export function integer(fallback: number, min: number, max: number, about: string): Setting<number> {
  return {
    default: String(fallback),
    allowed: `an integer from ${min} to ${max}`,
    about,
    parse: (text) => {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
  };
}

export function durations(value: string): number[] | undefined {
  const list = value.trim().split(/\s+/).map(parseDurationMs);
  return list.every((ms): ms is number => ms !== undefined && ms <= 30 * DAY_MS) ? list : undefined;
}

export function oneOf<const T extends string>(values: readonly T[], about: string): Setting<T> {
  return {
    default: values[0],
    allowed: values.join(" or "),
    about,
    parse: (text) => values.find((value) => value === text),
  };
}

/** A text that `parse` throws about when it is not allowed. */
export function checked(
  allowed: string,
  about: string,
  parse: (text: string) => unknown,
  secret?: Setting<string>["secret"],
): Setting<string> {
  return {
    default: undefined,
    allowed,
    about,
    ...(secret === undefined ? {} : { secret }),
    parse: (value) => {
      parse(value);
      return value;
    },
  };
}

export function text(
  fallback: string | undefined,
  allowed: string,
  about: string,
  valid: (text: string) => boolean,
  secret?: Setting<string>["secret"],
): Setting<string> {
  const parse = (value: string) => (valid(value) ? value : undefined);
  return { default: fallback, allowed, about, parse, ...(secret === undefined ? {} : { secret }) };
}

/** A name of digits and dots alone is a wrong address. */
export function isHost(text: string): boolean {
  return isIP(text) !== 0 || (/^[\w-]+(?:\.[\w-]+)*$/.test(text) && !/^[\d.]+$/.test(text));
}

export function isSigningKey(key: string): boolean {
  try {
    return parseSigningKey(key).length > 0;
  } catch {
    return false;
  }
}
