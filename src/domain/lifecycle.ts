/*
 * The life of a message. Each arrow has one name, one Lua script, one function, one log line and one
 * line in the message's timeline; the script's name stands on the arrow.
 *
 *            enqueue          promote          take                 sent
 *   post ──▶ SCHEDULED ─────▶ QUEUED ────────▶ SENDING ───────────▶ SENT
 *                               ▲ ▲            │ │ │ │
 *                               │ └──release───┘ │ │ └─ bury ─────▶ DEAD ────────┐
 *                               │   (not tried)  │ │                             │ replay
 *                               │                │ └─── defer ────▶ DEFERRED     │
 *                               ├────────────────┼──────────────────┘ promote    │
 *                               ├────────────────┼───────────────────────────────┘
 *                               │ resend         └── lose ────────▶ UNKNOWN ───┐
 *                               └──────────────────────────────────────────────┘
 *
 * DEAD and a held UNKNOWN stay until a person replays or drops them. SENT expires after the retention.
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
      if (line.state === "queued")
        attempts.pop(); // released before it was tried: not an attempt
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
