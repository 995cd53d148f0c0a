/*
 * An ingress that does not fail when the one behind it does: what that cannot take is journaled, and taken over
 * by it later, in order.
 *   - While something of an event is journaled, all that concerns this event goes to the journal: a rollback
 *     never overtakes its event, nor the event its rollback.
 *   - Once a partition was unavailable, it is not asked again by each request: the drain finds out when it is back.
 *   - What Redis has on too few replicas (MIN_REPLICAS) is journaled until they have it: put.ts.
 *   - An error that nobody foresaw is no answer either: what met it is journaled too.
 *   - Refused only when the journal has no room either.
 */
import type { Logger } from "pino";
import type { Event } from "../domain/event.ts";
import type { Committed, Ingress, Posted, RolledBack } from "../domain/ingress.ts";
import { firstState, isSameEvent, planOf } from "../domain/plan.ts";
import { createDrain } from "./drain.ts";
import type { Entry } from "./entry.ts";
import type { Journal } from "./journal.ts";
import { createUpstream } from "./upstream.ts";

export interface FallbackOptions {
  inner: Ingress;
  journal: Journal;
  messageIdOf: (eventId: string) => string;
  /** Of the inner ingress. */
  partitions: number;
  partitionOf: (eventId: string) => number;
  /** Default delay before the first attempt, ms. */
  delayMs: number;
  /** When a held event that nobody decided is asked about first, ms. */
  firstCheckMs: number;
  log: Logger;
  /** Epoch ms. */
  now: () => number;
  /** Jitter, in [0, 1). */
  random: () => number;
  /** Longest pause of the drain, ms. */
  maxPauseMs?: number;
}

export interface FallbackIngress extends Ingress {
  /** Ends the drain after the batch under way. What is left stays for the next start. */
  stop(): Promise<void>;
}

const NO_ROOM = "Redis is away, and the journal is full or cannot be written";
const UNREADABLE = "the journal cannot be read, which may hold something of this event";

export function createFallback(options: FallbackOptions): FallbackIngress {
  const { inner, journal, messageIdOf, log, now } = options;
  const upstream = createUpstream(options.partitions, options.partitionOf, log);
  const drain = createDrain({ ...options, upstream });

  async function keep(entry: Entry): Promise<boolean> {
    const kept = await journal.append(entry);
    if (kept) drain.start();
    else upstream.presumeBack(entry.eventId); // the drain may have nothing to find out with
    return kept;
  }

  /** What the other ingress answers, or undefined: the journal's turn. */
  async function ask<T extends Posted | Committed | RolledBack>(
    question: Pick<Entry, "kind" | "eventId">,
    put: () => Promise<T>,
  ): Promise<T | undefined> {
    if (upstream.isAway(question) || journal.find(question.eventId).length > 0) return undefined;
    const answer = await upstream.ask(question, put);
    return typeof answer === "string" || answer.kind === "put" ? undefined : (answer as T);
  }

  async function journalPost(event: Event): Promise<Posted> {
    const plan = planOf(event, options.delayMs);
    const messageId = messageIdOf(event.id);
    const kept = journal.find(event.id);
    const first = kept.find(({ kind }) => kind === "post");
    const { bodyHash, json } = plan;
    const isOther = first !== undefined && first.bodyHash !== bodyHash && !isSameEvent(first.json, json);
    if (isOther) return { kind: "conflict", messageId };
    const at = first?.at ?? now();
    const written =
      first === undefined
        ? await keep({ kind: "post", eventId: event.id, bodyHash, json, at })
        : await journal.written(first);
    if (!written) return { kind: "unavailable", reason: NO_ROOM };
    return {
      kind: "accepted",
      messageId,
      state: kept.some(({ kind }) => kind === "rollback") ? "cancelled" : firstState(plan),
      dueAt: at + (plan.held ? options.firstCheckMs : plan.delayMs),
      duplicate: first !== undefined,
      durability: "journaled",
    };
  }

  async function journalDecision(kind: "commit" | "rollback", eventId: string) {
    // A commit that came before its event comes to nothing: only what follows the last post counts.
    const entries = journal.find(eventId);
    const since = entries.slice(entries.findLastIndex((entry) => entry.kind === "post") + 1);
    const known = since.find((entry) => entry.kind === kind);
    const kept = known
      ? await journal.written(known)
      : await keep({ kind, eventId, bodyHash: "", json: "", at: now() });
    if (!kept) return { kind: "unavailable", reason: NO_ROOM } as const;
    return { kind: "journaled", messageId: messageIdOf(eventId) } as const;
  }

  let unreadable = false;
  /** The other ingress's faults do not come here. */
  async function readable<T>(answer: () => Promise<T>): Promise<T | { kind: "unavailable"; reason: string }> {
    try {
      const given = await answer();
      unreadable = false;
      return given;
    } catch (error) {
      if (!unreadable) log.error({ err: error }, "journal cannot be read, posts and decisions are refused");
      unreadable = true;
      return { kind: "unavailable", reason: UNREADABLE };
    }
  }

  if (journal.depth() > 0) drain.start();

  return {
    post: (event) =>
      readable(
        async () =>
          (await ask({ kind: "post", eventId: event.id }, () => inner.post(event))) ?? (await journalPost(event)),
      ),
    commit: (eventId) =>
      readable(
        async () =>
          (await ask<Committed>({ kind: "commit", eventId }, () => inner.commit(eventId))) ??
          (await journalDecision("commit", eventId)),
      ),
    rollback: (eventId) =>
      readable(
        async () =>
          (await ask<RolledBack>({ kind: "rollback", eventId }, () => inner.rollback(eventId))) ??
          (await journalDecision("rollback", eventId)),
      ),
    stop: () => drain.stop(),
  };
}
