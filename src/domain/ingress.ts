import type { Event } from "./event.ts";
import type { State } from "./lifecycle.ts";

/**
 * What a 2xx stands for. `fsynced`: on Redis's disk. `written`: in Redis's AOF, synced within a second.
 * `journaled`: synced on the local disk, not in Redis yet. `volatile`: this Redis has no AOF,
 * leaves its sync to the operating system, or may evict any key.
 */
export type Durability = "fsynced" | "written" | "journaled" | "volatile";

export interface Accepted {
  kind: "accepted";
  messageId: string;
  state: State;
  /** Epoch ms. */
  dueAt: number;
  /**
   * The same event was accepted before, and has its id still: within the dedup window, while its mail is owed, or while
   * its cancelled message is kept.
   */
  duplicate: boolean;
  durability: Durability;
}

export type Posted =
  | Accepted
  /** The id was used for another body, which has it still. */
  | { kind: "conflict"; messageId: string }
  /** Not accepted: the backlog is at its limit. */
  | { kind: "full"; limit: number }
  /**
   * Not accepted, as far as is known: posting the same event again is safe.
   * `takesDecisions`: there is no memory for an event, but commits and rollbacks are taken.
   */
  | { kind: "unavailable"; reason: string; takesDecisions?: true };

export type Committed =
  /** It waits for no decision, any more or at all, and is not cancelled. */
  | { kind: "committed"; messageId: string; state: State; dueAt: number }
  /** Rolled back, dropped, or its booking is cancelled: no attempt will begin; one may be under way. */
  | { kind: "cancelled"; messageId: string }
  | { kind: "not_found" }
  /** Kept on the local disk until Redis is back. */
  | { kind: "journaled"; messageId: string }
  | { kind: "unavailable"; reason: string };

export type RolledBack =
  /** No mail has left, and none will. */
  | { kind: "cancelled"; messageId: string; state: State }
  /** An attempt is under way; no other one follows it. */
  | { kind: "in_flight"; messageId: string; state: State }
  /** The mail has left, or may have; no other one follows. */
  | { kind: "too_late"; messageId: string; state: State }
  /** Kept on the local disk until Redis is back; it wins over its event, in whichever order they came. */
  | { kind: "journaled"; messageId: string }
  | { kind: "unavailable"; reason: string };

/** Where events are taken in, and decided. */
export interface Ingress {
  /** @param acceptedAt epoch ms, when it was accepted before it came here: its delay began then */
  post(event: Event, acceptedAt?: number): Promise<Posted>;
  commit(eventId: string): Promise<Committed>;
  rollback(eventId: string): Promise<RolledBack>;
}
