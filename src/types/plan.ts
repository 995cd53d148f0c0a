/* What an accepted event asks for, with the defaults filled in. */
import { hash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { type Event, withoutNotes } from "../domain/event.ts";
import { PRIORITIES, type State } from "../domain/lifecycle.ts";
import { EVENT_TYPES } from "./eventTypes.ts";
import { parseEvent } from "./parse.ts";

export interface Plan {
  /** The event as it is kept. */
  json: string;
  /** The same for a repeated post; where it is not, isSameEvent has the last word. */
  bodyHash: string;
  /** Position in PRIORITIES. */
  rank: number;
  /** Before the first attempt; after the commit, for a held event. */
  delayMs: number;
  held: boolean;
}

/**
 * A commit says what the default delay only hopes for (that the producer's transaction stands), so a held
 * event keeps only a delay that was asked for.
 */
export function planOf(event: Event, defaultDelayMs: number): Plan {
  const type = EVENT_TYPES.get(event.type);
  const held = event.options?.hold === true;
  const json = JSON.stringify(event);
  const body = event.notes === undefined ? json : JSON.stringify(withoutNotes(event));
  return {
    json,
    bodyHash: hash("sha256", body, "base64url").slice(0, 22),
    rank: PRIORITIES.indexOf(event.options?.priority ?? type?.priority ?? "default"),
    delayMs: event.options?.delayMs ?? (held ? 0 : (type?.delayMs ?? defaultDelayMs)),
    held,
  };
}

/** The state that a post puts its message in. */
export function firstState({ held, delayMs }: Pick<Plan, "held" | "delayMs">): State {
  if (held) return "held";
  return delayMs > 0 ? "scheduled" : "queued";
}

/**
 * Whether two posts have the same body: fields that the schema does not know may have come in another order, and what an
 * older release kept may be in another form.
 * @param kept as in a plan
 */
export function isSameEvent(kept: string, json: string): boolean {
  const parsed = parseEvent(withoutNotes(JSON.parse(kept) as Event));
  const event = withoutNotes(JSON.parse(json) as Event);
  return parsed.ok && isDeepStrictEqual(withoutNotes(parsed.event), event);
}
