import type { Event } from "./event.ts";

/*
 * The life of a message. Each arrow has one name, one Lua script, one function, one log line and one line in the
 * message's timeline; the script's name stands on the arrow.
 *
 *           enqueue            promote            take                  sent
 *   post ──┬──────▶ SCHEDULED ────────▶ QUEUED ─────────▶ SENDING ────────────▶ SENT
 *          │         ▲    ▲              ▲ ▲ ▲            │ │ │ │ │
 *          │  commit │    └── postpone ──┼─┼─┼────────────┘ │ │ │ └─ bury ────▶ DEAD
 *          └─▶ HELD ─┘                   │ │ └── release ───┘ │ │                │
 *              └─▶ check: HELD           │ └──── promote ───  │ └ defer ▶ DEFERRED (waits to be promoted)
 *                                        │                    └ lose, reclaim ▶ UNKNOWN
 *                                        ├── promote ── UNKNOWN, to be resent ◀┘ │
 *                                        └── replay ─── UNKNOWN, held ◀──────────┘, DEAD
 *
 *   undecided: HELD -> HELD, asked in vain.   amend: SCHEDULED or QUEUED -> the same, with another event of its payment.
 *   With no delay, enqueue and commit go straight to QUEUED; an event that was rolled back before goes to CANCELLED.
 *   rollback: any state but SENDING and SENT -> CANCELLED.   cancel: SENDING -> CANCELLED, nothing was said yet.
 *   drop: DEAD or a held UNKNOWN -> CANCELLED.   reclaim buries what has no retries left.
 *   bury and reclaim go by way of UNKNOWN where the relay may have the mail.
 *   attest: QUEUED, SCHEDULED, DEFERRED, UNKNOWN or DEAD -> SENT: the relay took an attempt whose owner was lost.
 *   A message that is rolled back while SENDING is CANCELLED when its attempt ends in anything but SENT.
 *   BOUNCED is for the relay's later reports, which nothing reads yet.
 *   SENT and CANCELLED expire after the retention; DEAD and what is held stay until somebody decides.
 */
export const STATES = [
  "held",
  "scheduled",
  "queued",
  "sending",
  "deferred",
  "sent",
  "bounced",
  "dead",
  "unknown",
  "cancelled",
] as const;

export type State = (typeof STATES)[number];

/** Highest first: the position is the rank that the scripts use. */
export const PRIORITIES = ["critical", "default", "low"] as const;

export type Priority = (typeof PRIORITIES)[number];

/** One line of a message's timeline. `attempt` is set on the states that an attempt led to. */
export interface TimelineEntry {
  /** Epoch ms, Redis's clock. */
  at: number;
  state: State;
  attempt?: number;
  /** Why, or what the relay said. */
  reason?: string;
}

/** One SMTP transaction, recorded before it was tried. `outcome` is missing while it is under way. */
export interface Attempt {
  n: number;
  /** Epoch ms. */
  at: number;
  outcome?: "sent" | "deferred" | "dead" | "unknown";
  /** The relay's reply, or what took its place ("connection closed before the greeting"). */
  reply?: string;
}

/** A message as people look at it. */
export interface Message {
  id: string;
  eventId: string;
  type: string;
  state: State;
  priority: Priority;
  bookingId: string;
  recipient: string;
  /** As it was accepted, or edited; undefined when it cannot be read. */
  event: Event | undefined;
  /** Epoch ms of the next attempt; of the last one once none is owed. */
  dueAt: number;
  /** Attempts begun so far. */
  attempt: number;
  timeline: TimelineEntry[];
  /** Set while the message is dead, or unknown and held. */
  death?: { reason: string; fingerprint: string; deadAt: number };
}

/** The attempts are read off the timeline: each `sending` begins one, the next line ends it. */
export function attemptsOf(timeline: readonly TimelineEntry[]): Attempt[] {
  const attempts: Attempt[] = [];
  let open: Attempt | undefined;
  for (const line of timeline) {
    if (line.state === "sending") {
      open = { n: line.attempt ?? attempts.length + 1, at: line.at };
      attempts.push(open);
    } else if (open !== undefined) {
      // Given back, put off, called off or buried before anything was said to the relay: that was no attempt.
      if (line.attempt === undefined) attempts.pop();
      else if (isOutcome(line.state)) {
        open.outcome = line.state;
        if (line.reason !== undefined) open.reply = line.reason;
      }
      open = undefined;
    }
  }
  return attempts;
}

function isOutcome(state: State): state is NonNullable<Attempt["outcome"]> {
  return state === "sent" || state === "deferred" || state === "dead" || state === "unknown";
}
