/* A message's hash, read back. */
import type { Redis } from "ioredis";
import type { Event } from "../domain/event.ts";
import { type Message, PRIORITIES, type State, type TimelineEntry } from "../domain/lifecycle.ts";
import { awayOf } from "./fault.ts";
import { key } from "./keys.ts";

/** The columns before the event's id in the field c. */
const EVENT_AT = 36;

const FIELDS = ["s", "c", "d", "n", "e", "l", "r", "f", "t"] as const;

/** Runs reads; a Redis that is away becomes RedisAway. */
export async function reading<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw awayOf(error) ?? error;
  }
}

/** The ids in a chunk of the list of all that were posted: what each line begins with. */
export function postedIdsIn(chunk: string | null): string[] {
  return (chunk ?? "").split("\n").flatMap((line) => line.split("|", 1)[0] || []);
}

/** Of the events of these messages; those that are gone are left out. */
export async function eventIdsOf(redis: Redis, tag: string, ids: readonly string[]): Promise<string[]> {
  const kept = await Promise.all(ids.map((id) => redis.hget(key.message(tag, id), "c")));
  return kept.flatMap((one) => one?.slice(EVENT_AT) || []);
}

/**
 * The messages behind these ids, in their order; those that are gone are left out. Not as a pipeline: while a cluster
 * moves their slot, the client sends all of a pipeline to the other node when some of its keys are there, and finds none
 * of the rest.
 */
export async function readMessages(redis: Redis, tag: string, ids: readonly string[]): Promise<Message[]> {
  const rows = await Promise.all(ids.map((id) => redis.hmget(key.message(tag, id), ...FIELDS)));
  return rows.flatMap((row, i) => {
    const message = messageOf(ids[i] as string, row);
    return message === undefined ? [] : [message];
  });
}

function messageOf(id: string, row: (string | null)[]): Message | undefined {
  const [state, eventKey, due, attempt, json, timeline, reason, fingerprint, deadAt] = row;
  if (!state) return undefined;
  const event = eventOf(json ?? "");
  return {
    id,
    eventId: event?.id ?? "",
    type: event?.type ?? "",
    state: state as State,
    priority: PRIORITIES[Number(eventKey?.[0])] ?? "default",
    bookingId: event?.data.booking.id ?? "",
    recipient: event?.data.customer.email ?? "",
    event,
    dueAt: dueOf(due, timeline),
    attempt: Number(attempt),
    timeline: (timeline ?? "").split("\n").slice(0, -1).map(lineOf),
    ...(deadAt ? { death: { reason: reason ?? "", fingerprint: fingerprint ?? "", deadAt: Number(deadAt) } } : {}),
  };
}

/** Of the fields d and l, epoch ms: what was due as soon as it was posted has only its timeline. */
export function dueOf(due: string | null | undefined, timeline: string | null | undefined): number {
  return Number(due ?? timeline?.split("|", 1)[0] ?? 0);
}

/** The event as it was accepted; undefined when what is stored is none. */
export function eventOf(json: string): Event | undefined {
  try {
    const event = JSON.parse(json) as Event;
    const { booking, customer } = event.data;
    return typeof booking === "object" && typeof customer.email === "string" ? event : undefined;
  } catch {
    return undefined;
  }
}

function lineOf(line: string): TimelineEntry {
  const [at, ...step] = line.split("|");
  return { at: Number(at), ...stepOf(step) };
}

/** What a line of a timeline and one of the feed end in: state|attempt|reason. */
export function stepOf([state, attempt, ...reason]: string[]): Omit<TimelineEntry, "at"> {
  return {
    state: state as State,
    ...(attempt ? { attempt: Number(attempt) } : {}),
    ...(reason.join("|") ? { reason: reason.join("|") } : {}),
  };
}
