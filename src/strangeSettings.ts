/*
 * Variables that somebody meant for us, and that no setting has: with our name before them, or nearly a setting's name.
 * An environment is shared with other programs, so a name is strange only when it cannot well be theirs.
 */
import { distance } from "./domain/door/nearMiss.ts";
import { SETTINGS } from "./settings.ts";

interface StrangeSetting {
  name: string;
  /** The setting that is nearest. */
  meant: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = /^POSTPAID_/i;

/** Of the commands and clients, and between our own processes. */
const OTHERS = ["POSTPAID_URL", "POSTPAID_TOKEN", "POSTPAID_KEY", "POSTPAID_CHILD"];

/** Shorter ones (PORT, HOST, ROLE) have too many neighbours. */
const LEAST_LETTERS = 7;
const MANY_LETTERS = 12;

const NAMES = Object.keys(SETTINGS);

export function strangeSettings(env: Environment): StrangeSetting[] {
  const isSet = (name: string) => env[name] !== undefined && env[name] !== "";
  return Object.keys(env)
    .filter((name) => isSet(name) && !NAMES.includes(name) && !OTHERS.includes(name))
    .flatMap((name) => {
      if (PREFIX.test(name)) return [{ name, meant: nearest(name.replace(PREFIX, "")) }];
      const meant = NAMES.find((known) => isMisspelt(name, known));
      // Where that is set, too, the other may well be for somebody else.
      return meant === undefined || isSet(meant) ? [] : [{ name, meant }];
    });
}

/** @example tellOf({ name: "SMTP_URI", meant: "SMTP_URL" }) // "SMTP_URI is set, and is no setting: SMTP_URL may be meant" */
export function tellOf({ name, meant }: StrangeSetting): string {
  return `${name} is set, and is no setting: ${meant} may be meant`;
}

function isMisspelt(name: string, known: string): boolean {
  const [given, wanted] = [lettersOf(name), lettersOf(known)];
  if (wanted.length < LEAST_LETTERS || Math.abs(given.length - wanted.length) > 3) return false;
  if (distance(given, wanted) <= (wanted.length < MANY_LETTERS ? 1 : 2)) return true;
  return known === `${name.toUpperCase()}_MS` || isInflected(name, known);
}

/** MAX_RETRY for MAX_RETRIES: in each word the same stem. */
function isInflected(name: string, known: string): boolean {
  const [words, wanted] = [name.toUpperCase().split("_"), known.split("_")];
  return words.length === wanted.length && words.length > 1 && words.every((word, i) => isAkin(word, wanted[i] ?? ""));
}

function isAkin(word: string, wanted: string): boolean {
  if (word === wanted) return true;
  const stem = wanted.slice(0, 4);
  return stem.length === 4 && word.startsWith(stem) && Math.max(word.length, wanted.length) <= 7;
}

function nearest(name: string): string {
  const letters = lettersOf(name);
  const apart = (known: string) => distance(letters, lettersOf(known));
  return NAMES.reduce((best, known) => (apart(known) < apart(best) ? known : best));
}

function lettersOf(name: string): string {
  return name
    .slice(0, 40)
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, "");
}
