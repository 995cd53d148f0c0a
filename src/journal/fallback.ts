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
import type { Accepted, Committed, Ingress, Learned, Posted, RolledBack, Unavailable } from "../domain/ingress.ts";
import type { Notice } from "../domain/notice.ts";
import { firstState, isSameEvent, planOf } from "../types/plan.ts";
import { understand } from "../types/understand.ts";
import { createDrain } from "./drain.ts";
import type { Entry } from "./entry.ts";
import type { Journal } from "./journal.ts";
import { createUpstream, type PutOnly } from "./upstream.ts";

export interface FallbackOptions {
  inner: Ingress;
  journal: Journal;
  messageIdOf: (eventId: string) => string;
  /** Of the inner ingress. */
  partitions: () => number;
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
  const upstream = createUpstream(options.partitionOf, log);
  const drain = createDrain({ ...options, upstream });

  async function keep(entry: Entry): Promise<boolean> {
    const kept = await journal.append(entry);
    if (kept) drain.start();
    else upstream.presumeBack(entry.eventId); // the drain may have nothing to find out with
    return kept;
  }

  /** What the other ingress answers; undefined when it is not asked, or has no answer. */
  async function ask<T extends Posted | Committed | RolledBack | Learned>(
    question: Pick<Entry, "kind" | "eventId">,
    put: () => Promise<T>,
  ): Promise<Exclude<T, Unavailable> | PutOnly | undefined> {
    const mayGo = !upstream.isAway(question) && journal.find(question.eventId).length === 0;
    // A Redis with too few replicas sends what is journaled: it is told of a rollback at once, before its event, too.
    const isUrgent = question.kind === "rollback" && upstream.isShort(question);
    if (!mayGo && !isUrgent) return undefined;
    const answer = await upstream.ask(question, put);
    return typeof answer === "string" ? undefined : answer;
  }

  async function post(event: Event): Promise<Posted> {
    const answer = await ask({ kind: "post", eventId: event.id }, () => inner.post(event));
    return answer === undefined || answer.kind === "put" ? journalPost(event) : answer;
  }

  async function learn(notice: Notice): Promise<Learned> {
    const answer = await ask({ kind: "notice", eventId: notice.eventId }, () => inner.learn(notice));
    return answer === undefined || answer.kind === "put" ? journalNotice(notice) : answer;
  }

  async function commit(eventId: string): Promise<Committed> {
    const answer = await ask({ kind: "commit", eventId }, () => inner.commit(eventId));
    return answer === undefined || answer.kind === "put" ? journalDecision("commit", eventId) : answer;
  }

  async function rollback(eventId: string): Promise<RolledBack> {
    const answer = await ask({ kind: "rollback", eventId }, () => inner.rollback(eventId));
    if (answer !== undefined && answer.kind !== "put" && journal.find(eventId).length === 0) return answer;
    const said = answer?.kind === "put" ? answer.said : answer;
    const journaled = await journalDecision("rollback", eventId);
    // That a mail has left, or is on its way, is so whatever becomes of this Redis.
    const isSo = said?.kind === "in_flight" || said?.kind === "too_late";
    return isSo && journaled.kind === "journaled" ? said : journaled;
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

  /** What it comes to as far as the journal knows: Redis may know more of this payment. */
  async function journalNotice(notice: Notice): Promise<Learned> {
    const { eventId } = notice;
    const json = JSON.stringify(notice);
    const kept = journal.find(eventId);
    const others = kept.filter((entry) => entry.kind === "notice");
    const known = others.find((entry) => entry.json === json);
    const at = known?.at ?? now();
    const written =
      known === undefined
        ? await keep({ kind: "notice", eventId, bodyHash: "", json, at })
        : await journal.written(known);
    if (!written) return { kind: "unavailable", reason: NO_ROOM };
    const before = others.map((entry) => JSON.parse(entry.json) as Notice);
    const understood = understand(known === undefined ? [...before, notice] : before);
    if (understood.kind !== "event") return understood;
    const { event } = understood;
    const plan = planOf(event, options.delayMs);
    const accepted: Accepted = {
      kind: "accepted",
      messageId: messageIdOf(eventId),
      state: kept.some(({ kind }) => kind === "rollback") ? "cancelled" : firstState(plan),
      dueAt: at + plan.delayMs,
      duplicate: known !== undefined || understand(before).kind === "event",
      durability: "journaled",
    };
    return { kind: "event", event, accepted, amended: false };
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
    post: (event) => readable(() => post(event)),
    learn: (notice) => readable(() => learn(notice)),
    commit: (eventId) => readable(() => commit(eventId)),
    rollback: (eventId) => readable(() => rollback(eventId)),
    stop: () => drain.stop(),
  };
}
