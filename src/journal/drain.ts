/*
 * Takes the journal over into the ingress that is back: one loop, while there is something to take over.
 *   - Each pass goes once through the journal, an event's own entries in order. What cannot go now keeps back its own
 *     event, what finds no room all posts of its partition, a partition that is away what is its own: the rest goes on, and
 *     behind a post that finds no room may be the rollback that makes some.
 *   - What the ingress says to all of them is nobody's fault, and tried again for as long as it says so. Put aside is
 *     only what cannot be read, and what failed more than MAX_FAILURES times while others of its kind and partition got
 *     through.
 *   - What goes to Redis and has too few replicas there stays as well (put.ts).
 *   - Taking over is idempotent, so an entry that was taken over twice, or had got through before, does no harm.
 */
import type { Logger } from "pino";
import { backoffMs } from "../domain/backoff.ts";
import type { Event } from "../domain/event.ts";
import type { Committed, Ingress, Learned, Posted, RolledBack } from "../domain/ingress.ts";
import type { Notice } from "../domain/notice.ts";
import { nextTurn, time } from "../domain/time.ts";
import { isAddition, type KeptEntry } from "./entry.ts";
import { createFailures } from "./failures.ts";
import type { Journal } from "./journal.ts";
import { newPass, type Pass, type Verdict } from "./pass.ts";
import { createPut } from "./put.ts";
import type { Upstream } from "./upstream.ts";

export interface DrainOptions {
  inner: Ingress;
  upstream: Upstream;
  /** Of the inner ingress. */
  partitions: () => number;
  partitionOf: (eventId: string) => number;
  journal: Journal;
  log: Logger;
  /** Jitter, in [0, 1). */
  random: () => number;
  /** Longest pause between two passes, ms, without the jitter. */
  maxPauseMs?: number | undefined;
}

export interface Drain {
  /** Unless it is under way. */
  start(): void;
  /** Ends it after the batch under way. What is left stays for the next start. */
  stop(): Promise<void>;
}

/** Entries read and taken over at a time. */
const BATCH = 500;
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 2_000;
const MAX_FAILURES = 20;

export function createDrain(options: DrainOptions): Drain {
  const { inner, upstream, partitions, partitionOf, journal, log, random, maxPauseMs = MAX_PAUSE_MS } = options;
  let stopped = false;
  let running: Promise<void> | undefined;
  let endPause: (() => void) | undefined;
  const failures = createFailures();
  const put = createPut();

  async function run(): Promise<void> {
    const startedAt = time.monotonicMs();
    let drained = 0;
    let unusable = false;
    for (let fruitless = 0; !stopped && journal.depth() > 0; ) {
      try {
        const now = await pass();
        unusable = false;
        drained += now.done;
        // What fails is tried again after longer and longer, however much the others get done.
        fruitless = now.done + now.put > 0 && !now.failed ? 0 : fruitless + 1;
      } catch (error) {
        // What was taken over and is still there is taken over once more later, which does no harm.
        if (!unusable) log.error({ err: error }, "journal cannot be read or shortened, it is tried again");
        unusable = true;
        fruitless += 1;
      }
      if (journal.depth() > 0) await pause(fruitless);
    }
    failures.forgetAll();
    put.forget();
    running = undefined;
    if (!stopped) log.warn({ drained, durationMs: Math.round(time.monotonicMs() - startedAt) }, "journal drained");
  }

  async function pass(): Promise<Pass> {
    const now = newPass();
    await probe(now);
    let after = put.upTo();
    while (!stopped && !now.again && now.shut.size < partitions()) {
      const entries = journal.oldest(BATCH, after);
      const last = entries.at(-1);
      if (last === undefined) break;
      after = last.seq;
      remove(await takeOver(entries, now), now);
      await nextTurn(); // a request's, when there is nothing here to wait for
    }
    if (now.again) put.forget();
    else if (!stopped && !now.failed && now.keptBack.size + now.shut.size === 0) put.passed(after);
    return now;
  }

  /** What was put before finds out whether replicas have it now. */
  async function probe(now: Pass): Promise<void> {
    const probes = put.probes();
    const verdicts = await Promise.all(probes.map(takeOverOne));
    const done = probes.filter((entry, i) => settled(entry, verdicts[i] as Verdict, now));
    remove(done, now);
    now.put = 0; // nothing new
    if (done.length > 0) now.again = true;
  }

  function remove(done: readonly KeptEntry[], now: Pass): void {
    if (done.length > 0) journal.remove(done);
    now.done += done.length;
  }

  /** Posts that follow each other travel together. */
  async function takeOver(entries: readonly KeptEntry[], now: Pass): Promise<KeptEntry[]> {
    const done: KeptEntry[] = [];
    for (let i = 0; i < entries.length; ) {
      const run = [entries[i] as KeptEntry];
      for (let next = entries[i + 1]; isAddition(run[0] as KeptEntry) && next !== undefined && isAddition(next); ) {
        run.push(next);
        next = entries[i + run.length];
      }
      i += run.length;
      if (now.again) break;
      const free = run.filter((entry) => mayGo(entry, now));
      const verdicts = await Promise.all(free.map(takeOverOne));
      for (const [n, entry] of free.entries()) if (settled(entry, verdicts[n] as Verdict, now)) done.push(entry);
    }
    return done;
  }

  function mayGo(entry: KeptEntry, { keptBack, shut, full }: Pass): boolean {
    const { eventId } = entry;
    const partition = partitionOf(eventId);
    if (shut.has(partition) || keptBack.has(eventId)) return false;
    if (!isAddition(entry) || !full.has(partition)) return true;
    keptBack.add(eventId);
    return false;
  }

  /** Whether it is taken over; else its event, and maybe more, is kept back for the rest of this pass. */
  function settled(entry: KeptEntry, verdict: Verdict, now: Pass): boolean {
    const { eventId } = entry;
    const partition = partitionOf(eventId);
    if (verdict === "done") {
      now.errors.delete(partition);
      return true;
    }
    if (typeof verdict === "object") {
      now.put += 1;
      if (!put.add(partition, entry, verdict.connection)) now.again = true;
      return false; // the rest of its event may follow
    }
    now.keptBack.add(eventId);
    if (verdict === "lost" || (verdict === "away" && put.probes().length > 0)) now.again = true;
    if (verdict === "away") now.shut.add(partition);
    if (verdict === "full") now.full.add(partition);
    if (verdict === "failed") {
      now.failed = true;
      const inARow = (now.errors.get(partition) ?? 0) + 1;
      now.errors.set(partition, inARow);
      if (inARow >= BATCH) now.shut.add(partition);
    }
    return false;
  }

  async function takeOverOne(entry: KeptEntry): Promise<Verdict> {
    const { eventId, kind } = entry;
    let added: unknown;
    try {
      if (isAddition(entry)) added = JSON.parse(entry.json);
    } catch (error) {
      putAside(entry, error);
      return "failed";
    }
    const asks: Record<KeptEntry["kind"], () => Promise<Posted | Committed | RolledBack | Learned>> = {
      post: () => inner.post(added as Event, entry.at),
      notice: () => inner.learn(added as Notice, entry.at),
      commit: () => inner.commit(eventId),
      rollback: () => inner.rollback(eventId),
    };
    const answer = await upstream.ask(entry, asks[kind]);
    if (answer === "failed" && failures.count(entry, upstream.taken(entry)) > MAX_FAILURES) putAside(entry);
    if (answer !== "failed" && answer !== "away") failures.forget(entry);
    if (answer === "away" || answer === "failed") return answer;
    if (answer === "refused" || answer.kind === "full") return "full";
    if (answer.kind === "put") return answer;
    if (
      answer.kind === "not_found" &&
      put.probes().length > 0 &&
      journal.find(eventId).some(({ kind }) => kind === "post")
    )
      return "lost";
    if (answer.kind === "conflict" || answer.kind === "not_found" || answer.kind === "unmailable") {
      log.warn({ eventId, kind, answer: answer.kind }, "journal entry came to nothing");
    }
    return "done";
  }

  function putAside(entry: KeptEntry, error?: unknown): void {
    const { eventId, kind } = entry;
    journal.reject(entry);
    failures.forget(entry);
    log.error({ err: error, eventId, kind }, "journal entry put aside, it cannot be taken over");
  }

  function pause(fruitless: number): Promise<void> {
    if (stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = time.after(backoffMs(fruitless, FIRST_PAUSE_MS, maxPauseMs) * (1 + random()), resolve);
      endPause = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  return {
    start() {
      running ??= run();
    },
    async stop() {
      stopped = true;
      endPause?.();
      await running;
    },
  };
}
