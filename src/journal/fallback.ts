/*
 * An ingress that does not fail when the one behind it does: what that cannot take is journaled, and taken over
 * by it later, in order.
 *   - While something of an event is journaled, all that concerns this event goes to the journal: a rollback
 *     never overtakes its event, nor the event its rollback.
 *   - Once the other one was unavailable, it is not asked again by each request: the drain finds out when it is back.
 *   - Taking over is idempotent, so an entry that was taken over twice, or had got through before, does no harm.
 *   - Refused only when the journal has no room either.
 */
import type { Logger } from "pino";
import type { Event } from "../domain/event.ts";
import type { Committed, Ingress, Posted, RolledBack } from "../domain/ingress.ts";
import { firstState, planOf } from "../domain/plan.ts";
import type { Entry, Journal, KeptEntry } from "./journal.ts";

export interface FallbackOptions {
  inner: Ingress;
  journal: Journal;
  messageIdOf: (eventId: string) => string;
  /** Default delay before the first attempt, ms. */
  delayMs: number;
  /** When a held event that nobody decided is asked about first, ms. */
  firstCheckMs: number;
  log: Logger;
  /** Epoch ms. */
  now: () => number;
  /** Jitter, in [0, 1). */
  random: () => number;
}

export interface FallbackIngress extends Ingress {
  /** Ends the drain after the batch under way. What is left stays for the next start. */
  stop(): Promise<void>;
}

/** Entries taken over at a time. */
const DRAIN_BATCH = 500;
const FIRST_DELAY_MS = 50;
const MAX_DELAY_MS = 2_000;

const FULL = "Redis is away and the journal is full";

export function createFallback(options: FallbackOptions): FallbackIngress {
  const { inner, journal, messageIdOf, log, now } = options;
  let away = false;
  let stopped = false;
  let draining: Promise<void> | undefined;
  let endPause: (() => void) | undefined;

  async function keep(entry: Entry): Promise<boolean> {
    const kept = await journal.append(entry);
    if (kept) draining ??= drain();
    else if (draining === undefined) away = false; // nobody else would find out that it is back
    return kept;
  }

  /** What the other ingress answers, or undefined: the journal's turn. */
  async function ask<T extends Posted | Committed | RolledBack>(
    eventId: string,
    question: () => Promise<T>,
  ): Promise<T | undefined> {
    if (away || journal.find(eventId).length > 0) return undefined;
    const answer = await question();
    if (answer.kind !== "unavailable") return answer;
    if (!away) log.error({ reason: answer.reason }, "redis is away, events are journaled");
    away = true;
    return undefined;
  }

  async function journalPost(event: Event): Promise<Posted> {
    const plan = planOf(event, options.delayMs);
    const messageId = messageIdOf(event.id);
    const kept = journal.find(event.id);
    const first = kept.find(({ kind }) => kind === "post");
    if (first !== undefined && first.bodyHash !== plan.bodyHash) return { kind: "conflict", messageId };
    const at = first?.at ?? now();
    const { bodyHash, json } = plan;
    const written =
      first === undefined
        ? await keep({ kind: "post", eventId: event.id, bodyHash, json, at })
        : await journal.written(first);
    if (!written) return { kind: "unavailable", reason: FULL };
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
    if (!kept) return { kind: "unavailable", reason: FULL } as const;
    return { kind: "journaled", messageId: messageIdOf(eventId) } as const;
  }

  /** One loop, while there is something to take over. It is the only one that asks an ingress that was away. */
  async function drain(): Promise<void> {
    const startedAt = performance.now();
    let drained = 0;
    for (let failures = 0; !stopped; ) {
      const entries = journal.oldest(DRAIN_BATCH);
      if (entries.length === 0) break;
      const { done, there } = await takeOver(entries);
      if (there) away = false;
      if (done.length > 0 && attempted("be shortened", () => journal.remove(done))) {
        drained += done.length;
        failures = 0;
      } else {
        failures += 1;
        const delayMs = Math.min(FIRST_DELAY_MS * 2 ** failures, MAX_DELAY_MS);
        await pause(delayMs * (1 + options.random()));
      }
    }
    draining = undefined;
    away = false;
    if (!stopped) log.warn({ drained, durationMs: Math.round(performance.now() - startedAt) }, "journal drained");
  }

  /** False when the disk has no room even for that: they are taken over once more later, which does no harm. */
  function attempted(what: string, change: () => void): boolean {
    try {
      change();
      return true;
    } catch (error) {
      log.error({ err: error }, `journal cannot ${what}`);
      return false;
    }
  }

  /**
   * As far as it goes, each event in order. Posts that follow each other travel together. One that finds the backlog
   * full keeps back its own event alone: what is behind it may be the rollback that makes room.
   */
  async function takeOver(entries: readonly KeptEntry[]): Promise<{ done: KeptEntry[]; there: boolean }> {
    const done: KeptEntry[] = [];
    const keptBack = new Set<string>();
    let there = false;
    for (let i = 0; i < entries.length; ) {
      const run = [entries[i] as KeptEntry];
      while (run[0]?.kind === "post" && entries[i + run.length]?.kind === "post") {
        run.push(entries[i + run.length] as KeptEntry);
      }
      i += run.length;
      const free = run.filter(({ eventId }) => !keptBack.has(eventId));
      const taken = await Promise.all(free.map(takeOverOne));
      done.push(...free.filter((_, n) => taken[n] === "done"));
      there ||= taken.some((one) => one !== "away");
      if (taken.includes("away")) break;
      for (const [n, { eventId }] of free.entries()) if (taken[n] === "full") keptBack.add(eventId);
    }
    return { done, there };
  }

  /** An entry that was put aside is not in the journal's way any more, so the round ends and begins anew. */
  async function takeOverOne(entry: KeptEntry): Promise<"done" | "full" | "away"> {
    const { eventId, kind } = entry;
    try {
      const answer = await (kind === "post"
        ? inner.post(JSON.parse(entry.json) as Event, entry.at)
        : kind === "commit"
          ? inner.commit(eventId)
          : inner.rollback(eventId));
      if (answer.kind === "unavailable") return "away";
      if (answer.kind === "full") return "full";
      if (answer.kind === "conflict" || answer.kind === "not_found") {
        log.warn({ eventId, kind, answer: answer.kind }, "journal entry came to nothing");
      }
      return "done";
    } catch (error) {
      log.error({ err: error, eventId, kind }, "journal entry put aside, it cannot be taken over");
      attempted("put an entry aside", () => journal.reject(entry));
      return "away";
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  if (journal.stats().depth > 0) {
    away = true; // until the drain has found out
    draining = drain();
  }

  return {
    post: async (event) => (await ask(event.id, () => inner.post(event))) ?? journalPost(event),
    commit: async (eventId) =>
      (await ask<Committed>(eventId, () => inner.commit(eventId))) ?? journalDecision("commit", eventId),
    rollback: async (eventId) =>
      (await ask<RolledBack>(eventId, () => inner.rollback(eventId))) ?? journalDecision("rollback", eventId),
    async stop() {
      stopped = true;
      endPause?.();
      await draining;
    },
  };
}
