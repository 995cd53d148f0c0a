/* What a call of enqueue.lua is given for each post, and what its reply means. */
import type { Logger } from "pino";
import { summaryOf } from "../domain/door/notes.ts";
import type { Event } from "../domain/event.ts";
import type { Durability, Posted } from "../domain/ingress.ts";
import type { State } from "../domain/lifecycle.ts";
import { time } from "../domain/time.ts";
import { planOf } from "../types/plan.ts";
import { bookingDigest, digestOf } from "./keys.ts";
import type { Partitions } from "./layout.ts";
import { messageIdOf } from "./messageId.ts";

export interface IngressOptions {
  partitions: Partitions;
  /** Reads the layout again: this partition says that it has moved. */
  refreshLayout?: ((moved?: string) => Promise<void>) | undefined;
  /** Default delay before the first attempt, ms. */
  delayMs: number;
  dedupTtlMs: number;
  retentionMs: number;
  /** When a held event that nobody decided is asked about first, ms. */
  firstCheckMs: number;
  /** Messages that may wait in a partition before posts are refused. */
  maxBacklog: number;
  /** Of what a partition's server has answered just now. */
  durability: (tag: string) => Durability | Promise<Durability>;
  /** Replicas that must have what is accepted. */
  minReplicas: number;
  log: Logger;
}

export interface Waiting {
  event: Event;
  acceptedAt: number | undefined;
  resolve: (posted: Posted | Promise<Posted>) => void;
  reject: (error: unknown) => void;
  /** Of the layout that its partition comes from. */
  version: number;
  /** How often that was an old one. */
  moves: number;
}

export interface Planned {
  posted: Waiting;
  /** The one that the event gives. */
  messageId: string;
  /** The script's two arguments for this event. */
  text: string;
  json: string;
}

/** Without those that cannot be planned: their posts are rejected. */
export function plannedOf(batch: readonly Waiting[], partition: number, options: IngressOptions): Planned[] {
  const planned: Planned[] = [];
  for (const posted of batch) {
    try {
      planned.push(plan(posted, partition, options));
    } catch (error) {
      posted.reject(error);
    }
  }
  return planned;
}

function plan(posted: Waiting, partition: number, options: IngressOptions): Planned {
  const { event, acceptedAt } = posted;
  const { json, bodyHash, rank, held, delayMs: plannedMs } = planOf(event, options.delayMs);
  const elapsedMs = acceptedAt === undefined ? 0 : Math.max(0, time.epochMs() - acceptedAt);
  const delayMs = held ? plannedMs : Math.max(0, plannedMs - elapsedMs);
  const checkMs = held ? options.firstCheckMs : -1;
  const messageId = messageIdOf(event.id, partition);
  const planned = `${delayMs} ${checkMs} ${elapsedMs}`;
  const said = event.notes === undefined ? ["", ""] : [" said", `\n${summaryOf(event.notes)}`];
  const text = `${messageId}|${digestsOf(event)}\n${planned}${said[0]}\t${rank}${bodyHash}${event.id}${said[1]}`;
  return { posted, messageId, text, json };
}

/** What it is looked up by: its booking, '|', its recipient. */
export function digestsOf({ data: { booking, customer } }: Event): string {
  return `${bookingDigest(booking.id)}|${digestOf(customer.email)}`;
}

export function amendReason({ notes }: Event): string {
  return notes === undefined ? "amended" : `amended; ${summaryOf(notes)}`;
}

/** An empty line says the same as the one before it. */
export function answersOf(reply: string, batch: readonly Planned[], limit: number, durability: Durability): Posted[] {
  const lines = reply.split("\n");
  let words: string[] = [];
  return batch.map(({ messageId }, i) => {
    const line = lines[i] ?? "";
    if (line !== "") words = line.split(" ");
    return answerOf(words, messageId, limit, durability);
  });
}

function answerOf(words: readonly string[], first: string, limit: number, durability: Durability): Posted {
  const word = words[0];
  const messageId = words[3] ?? first;
  if (word === "full") return { kind: "full", limit };
  if (word === "conflict") return { kind: "conflict", messageId };
  const [state, dueAt] = [words[1] as State, Number(words[2])];
  return { kind: "accepted", messageId, state, dueAt, duplicate: word === "duplicate", durability };
}
