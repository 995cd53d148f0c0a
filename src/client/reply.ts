/* What the service answers. Instants are ISO 8601, UTC, with milliseconds. */

type State =
  | "held"
  | "scheduled"
  | "queued"
  | "sending"
  | "deferred"
  | "sent"
  | "bounced"
  | "dead"
  | "unknown"
  | "cancelled";

export interface Accepted {
  /** Of the message: `msg_…` */
  id: string;
  eventId: string;
  state: State;
  /** When the first attempt to send is due. */
  dueAt: string;
  /** The same event was accepted before, and has its id still: for 24 h by default, and while its mail is owed. */
  duplicate: boolean;
  /**
   * `replicated`: in Redis, and on so many replicas of it as the service's MIN_REPLICAS says. `fsynced`: on the disk of
   * this one Redis, which a failover may leave behind. `written`: in its append-only file, synced within a second.
   * `journaled`: synced on the service's own disk, not in Redis yet, or on too few replicas. `volatile`: its Redis has no
   * AOF, leaves its sync to the operating system, may evict keys, or could not be read.
   */
  durability: "replicated" | "fsynced" | "written" | "journaled" | "volatile";
  /**
   * What was changed or left out, and what may be a mistake, each with the JSON Pointer of its field. The mail is sent
   * all the same. Missing where there is nothing to say.
   */
  notes?: { pointer: string; detail: string }[];
}

/** Kept on the service's disk until its Redis is back. */
interface Journaled {
  id: string;
  eventId: string;
  result: "journaled";
  durability: "journaled";
}

export type Committed = { id: string; eventId: string; result: "committed"; state: State; dueAt: string } | Journaled;

/**
 * `cancelled`: no mail has left, none will. `in_flight`: an attempt is under way, no other one follows. `too_late`:
 * the mail has left, or may have. `journaled`: it wins over its event once Redis is back.
 */
export type RolledBack =
  | { id: string; eventId: string; result: "cancelled" | "in_flight" | "too_late"; state: State }
  | Journaled;

export interface Message {
  id: string;
  eventId: string;
  type: string;
  state: State;
  priority: "critical" | "default" | "low";
  /** Empty where the event has none. */
  bookingId: string;
  recipient: string;
  dueAt: string;
  /** `outcome` is missing while the attempt is under way. */
  attempts: { n: number; at: string; outcome?: "sent" | "deferred" | "dead" | "unknown"; reply?: string }[];
  timeline: { at: string; state: State; attempt?: number; reason: string }[];
  /** These three while it is dead, or unknown and held for a person. */
  reason?: string;
  fingerprint?: string;
  deadAt?: string;
}
