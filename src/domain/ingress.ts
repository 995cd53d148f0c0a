import type { Event } from "./event.ts";
import type { State } from "./lifecycle.ts";
import type { Notice, Understood } from "./notice.ts";

/**
 * What a 2xx stands for. `replicated`: in Redis, and on MIN_REPLICAS replicas of it. `fsynced`: on the disk of this one
 * Redis. `written`: in Redis's AOF, synced within a second. `journaled`: synced on the local disk, not in Redis yet, or
 * on too few replicas. `volatile`: this Redis has no AOF, leaves its sync to the operating system, may evict
 * keys, or could not be read.
 */
export type Durability = "replicated" | "fsynced" | "written" | "journaled" | "volatile";

/** Not taken, as far as is known: the same again is safe. */
export interface Unavailable {
  kind: "unavailable";
  reason: string;
  /** There is no memory for an event, but commits and rollbacks are taken. */
  takesDecisions?: true;
  /**
   * Redis has taken it all the same, and fewer replicas than MIN_REPLICAS: a failover may lose it. A number for the
   * connection: with another one, Redis may be another one, which does not have it.
   */
  writtenOver?: number;
  /** Then, of a decision: what came of it there. */
  said?: Committed | RolledBack;
}

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
  | Unavailable;

export type Committed =
  /** It waits for no decision, any more or at all, and is not cancelled. */
  | { kind: "committed"; messageId: string; state: State; dueAt: number }
  /** Rolled back, dropped, or its booking is cancelled: no attempt will begin; one may be under way. */
  | { kind: "cancelled"; messageId: string }
  | { kind: "not_found" }
  /** Kept on the local disk until Redis is back. */
  | { kind: "journaled"; messageId: string }
  | Unavailable;

export type RolledBack =
  /** No mail has left, and none will. */
  | { kind: "cancelled"; messageId: string; state: State }
  /** An attempt is under way; no other one follows it. */
  | { kind: "in_flight"; messageId: string; state: State }
  /** The mail has left, or may have; no other one follows. */
  | { kind: "too_late"; messageId: string; state: State }
  /** Kept on the local disk until Redis is back; it wins over its event, in whichever order they came. */
  | { kind: "journaled"; messageId: string }
  | Unavailable;

export type Learned =
  /** Of all that is known by now. `amended`: a message was there, and has this event from now on. */
  | { kind: "event"; event: Event; accepted: Accepted; amended: boolean }
  /** It is kept, for the next ones of its payment. */
  | Exclude<Understood, { kind: "event" }>
  | Extract<Posted, { kind: "full" }>
  | Unavailable;

/** Where events are taken in, and decided. */
export interface Ingress {
  /** @param acceptedAt epoch ms, when it was accepted before it came here: its delay began then */
  post(event: Event, acceptedAt?: number): Promise<Posted>;
  commit(eventId: string): Promise<Committed>;
  rollback(eventId: string): Promise<RolledBack>;
  /** A notice of a payment: its event is posted as soon as all notices together make one. @param acceptedAt as of a post */
  learn(notice: Notice, acceptedAt?: number): Promise<Learned>;
}
