/*
 * What a team's own store may say, read once for SQL and HTTP alike. Whatever is none of the three words is a fault
 * of the store, named as it came, so that "shipped" or NULL is found in the log and not guessed at. "paid" is never
 * the answer to a doubt.
 */
import type { BookingStatus } from "./store.ts";

const WORDS = ["paid", "pending", "cancelled"] as const;

const MAX_SHOWN = 80;
const MAX_REASON = 300;

/**
 * Any case will do, and the blanks that a CHAR column adds.
 * @example readStatus("PAID  ", "db:5432") // { kind: "paid" }
 * @example readStatus(null, "db:5432").reason // "db:5432: the status is null, must be paid, pending or cancelled"
 */
export function readStatus(value: unknown, source: string): BookingStatus {
  const word = typeof value === "string" ? value.trim().toLowerCase() : undefined;
  const kind = WORDS.find((known) => known === word);
  if (kind !== undefined) return { kind };
  return unavailable(source, `the status is ${show(value)}, must be paid, pending or cancelled`);
}

/**
 * One line, however many the fault had, without the URL that an HTTP fault may name with its query. `source` is what
 * a person would look at: "db:5432", never with a password.
 */
export function unavailable(source: string, fault: string): BookingStatus {
  const line = `${source}: ${fault.replace(/https?:\/\/[^\s"')]+/g, "its URL")}`.replace(/[\s\p{Cc}]+/gu, " ").trim();
  return { kind: "unavailable", reason: cut(line, MAX_REASON) };
}

/**
 * With the database's own code where there is one, rather than Bun's.
 * @example faultOf(error) // "relation \"bookings\" does not exist (42P01)"
 */
export function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, errno } = error as Error & { code?: unknown; errno?: unknown };
  const name = typeof code === "string" && code.startsWith("ERR_") && errno ? errno : code;
  return typeof name === "string" || typeof name === "number" ? `${error.message} (${name})` : error.message;
}

/** A value as JSON, cut so that a reason never repeats a whole body. */
export function show(value: unknown): string {
  if (typeof value === "bigint") return String(value);
  return cut(JSON.stringify(value) ?? String(value), MAX_SHOWN);
}

function cut(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max)}…` : text;
}
