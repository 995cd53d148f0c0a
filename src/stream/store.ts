/* What the rest of the program may ask of Redis, apart from posting (domain/ingress.ts) and the worker's loops. */
import type { Note } from "../domain/door/notes.ts";
import type { Message, Priority, State } from "../domain/lifecycle.ts";

export interface Page {
  items: Message[];
  /** Opaque; missing on the last page. */
  cursor?: string;
}

export interface MessageQuery {
  state?: State;
  /** One, or any of several; so is the recipient. */
  booking?: string | readonly string[];
  recipient?: string | readonly string[];
  cursor?: string;
  /** 1 to 200. */
  limit: number;
}

export interface Messages {
  byId(messageId: string): Promise<Message | undefined>;
  byEvent(eventId: string): Promise<Message | undefined>;
  /** Newest first as far as the index in use allows. Throws BadCursor. */
  list(query: MessageQuery): Promise<Page>;
}

/** Corrections made while a dead letter is replayed. */
export interface Edit {
  recipient?: string;
  /** In the place of the event's. */
  data?: Record<string, unknown>;
}

/** `not_found`: no such message; `not_dead`: its state is another; `problems`: the event as edited is none. */
export type Replayed = "replayed" | "not_found" | "not_dead" | { problems: readonly Note[] };

export interface DeadQuery {
  fingerprint?: string;
  cursor?: string;
  limit: number;
}

export interface DeadGroup {
  fingerprint: string;
  count: number;
}

export interface DeadLetters {
  list(query: DeadQuery): Promise<Page>;
  /** The largest first. */
  groups(): Promise<DeadGroup[]>;
  /** DEAD or held UNKNOWN -> QUEUED. */
  replay(messageId: string, edit: Edit): Promise<Replayed>;
  /** DEAD or held UNKNOWN -> CANCELLED, kept for the retention. */
  drop(messageId: string): Promise<"dropped" | "not_found" | "not_dead">;
}

export interface QueueDepth {
  name: Priority;
  paused: boolean;
  /** Entries that wait for a worker. */
  queued: number;
  /** Entries that a worker owns. */
  sending: number;
}

export interface Queues {
  depths(): Promise<QueueDepth[]>;
  /** How many ever entered each state, and how many did not leave it; those that expired did not. */
  counts(): Promise<Record<State, { now: number; total: number }>>;
  pause(queue: Priority): Promise<void>;
  resume(queue: Priority): Promise<void>;
}

export interface Transition {
  /** Position in the feed: pass it to `since` to go on from there. */
  id: string;
  /** Epoch ms. */
  at: number;
  messageId: string;
  state: State;
  attempt?: number;
  reason?: string;
}

export interface Feed {
  /**
   * Calls back for each transition after `since` (default: from now on) until the returned function is called.
   * @param began called once, with the position it begins at: what comes after this call is seen
   */
  follow(
    since: string | undefined,
    on: (transition: Transition) => void,
    began?: (position: string) => void,
  ): () => void;
}

/** Redis has no such message, and what is journaled may be it. */
export class NotInRedisYet extends Error {
  override name = "NotInRedisYet";
}

/** The cursor was not made by this service. */
export class BadCursor extends Error {
  override name = "BadCursor";
}

export interface Partition {
  number: number;
  /** Messages that are scheduled, deferred, queued or being sent. */
  waiting: number;
  held: number;
  dead: number;
  /** New events do not come here any more. */
  draining: boolean;
}

export interface Partitioning {
  standing(): Promise<{ partitions: number; items: Partition[] }>;
  /** Messages stay where they are, and are found and sent from there; new events go by the new number. */
  change(partitions: number): Promise<{ partitions: number; items: Partition[] }>;
}
