/* Prometheus metrics. What is in Redis is read when somebody asks, so it is the same whichever process answers. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { Event } from "./domain/event.ts";
import type { Ingress, Posted } from "./domain/ingress.ts";
import { STATES } from "./domain/lifecycle.ts";
import type { Notice } from "./domain/notice.ts";
import { time } from "./domain/time.ts";
import { REFUSAL_REASONS, type RefusalReason } from "./http/refusals.ts";
import { STRIPE_OUTCOMES, type StripeOutcome } from "./http/stripeOutcome.ts";
import type { JournalStats } from "./journal/journal.ts";
import type { DeadLetters, Queues } from "./stream/store.ts";

interface RedisProbes {
  /** Undefined where nobody may know. */
  countDelayedSyncs(): Promise<number | undefined>;
  /** Why it takes no writes; undefined when it does. */
  writeFault(): Promise<string | undefined>;
}

export interface Metrics {
  /** The text format. */
  render(): Promise<string>;
  /** The same ingress, counted. */
  counted(ingress: Ingress): Ingress;
  refused(reason: RefusalReason): void;
  stripeEvent(outcome: StripeOutcome): void;
}

/** Node's own figures, which Bun leaves at 0 or makes up: a heap of 6 GB in a process of 45 MB. */
const NOT_UNDER_BUN = /^(?:process_heap_bytes$|nodejs_(?:active|external|gc|heap|version)_)/;

/** With the most dead letters: each is a time series of its own. */
const MAX_FINGERPRINTS = 50;

export function createMetrics(
  queues: Queues,
  dead: Pick<DeadLetters, "groups">,
  journal: () => JournalStats,
  redis: RedisProbes,
): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const { name } of registry.getMetricsAsArray()) if (NOT_UNDER_BUN.test(name)) registry.removeSingleMetric(name);
  const registers = [registry];
  const posts = new Counter({
    name: "postpaid_posts_total",
    help: "Events posted to this process, by what became of them.",
    labelNames: ["result"],
    registers,
  });
  const refusals = new Counter({
    name: "postpaid_http_refused_total",
    help: "Requests refused for their credentials or their Host.",
    labelNames: ["reason"],
    registers,
  });
  for (const reason of REFUSAL_REASONS) refusals.inc({ reason }, 0);
  const stripeEvents = new Counter({
    name: "postpaid_stripe_events_total",
    help: "Events of Stripe's with a good signature, by what became of them.",
    labelNames: ["outcome"],
    registers,
  });
  for (const outcome of STRIPE_OUTCOMES) stripeEvents.inc({ outcome }, 0);
  const redisUp = new Gauge({ name: "postpaid_redis_up", help: "1 while Redis answers and takes writes.", registers });
  const messages = new Gauge({
    name: "postpaid_messages",
    help: "Messages now in a state. Those sent or cancelled expire and are not taken off.",
    labelNames: ["state"],
    registers,
  });
  const transitions = new Counter({
    name: "postpaid_transitions_total",
    help: "Messages that ever entered a state.",
    labelNames: ["state"],
    registers,
  });
  const queued = new Gauge({
    name: "postpaid_queue_queued",
    help: "Messages that wait for a worker.",
    labelNames: ["queue"],
    registers,
  });
  const sending = new Gauge({
    name: "postpaid_queue_sending",
    help: "Messages that a worker owns.",
    labelNames: ["queue"],
    registers,
  });
  const paused = new Gauge({
    name: "postpaid_queue_paused",
    help: "1 while paused.",
    labelNames: ["queue"],
    registers,
  });
  const deadLetters = new Gauge({
    name: "postpaid_dead_letters",
    help: `Dead letters and held UNKNOWNs, by the fingerprint of their reason; the ${MAX_FINGERPRINTS} largest groups.`,
    labelNames: ["fingerprint"],
    registers,
  });
  const delayedSyncs = new Gauge({
    name: "postpaid_redis_delayed_fsyncs",
    help: "Redis's aof_delayed_fsync: syncs that its disk was too slow for, since Redis started.",
    registers,
  });
  const ofRedis = [messages, queued, sending, paused, deadLetters];

  const journalEntries = new Gauge({
    name: "postpaid_journal_entries",
    help: "Events and decisions on the local disk that Redis has not taken yet; rejected: that it never can.",
    labelNames: ["kind"],
    registers,
  });
  const journalBytes = new Gauge({ name: "postpaid_journal_bytes", help: "Size of what is journaled.", registers });
  const journalAge = new Gauge({
    name: "postpaid_journal_oldest_seconds",
    help: "Age of the oldest journaled entry; 0 when there is none.",
    registers,
  });

  function readJournal(): void {
    const { depth, rejected, bytes, oldestAt } = journal();
    journalEntries.set({ kind: "waiting" }, depth);
    journalEntries.set({ kind: "rejected" }, rejected);
    journalBytes.set(bytes);
    journalAge.set(oldestAt === undefined ? 0 : Math.max(0, time.epochMs() - oldestAt) / 1_000);
  }

  async function readRedis(): Promise<void> {
    const [counts, depths, groups, delayed] = await Promise.all([
      queues.counts(),
      queues.depths(),
      dead.groups(),
      redis.countDelayedSyncs(),
    ]);
    if (delayed === undefined) delayedSyncs.remove();
    else delayedSyncs.set(delayed);
    transitions.reset();
    for (const state of STATES) {
      messages.set({ state }, counts[state].now);
      transitions.inc({ state }, counts[state].total);
    }
    for (const depth of depths) {
      queued.set({ queue: depth.name }, depth.queued);
      sending.set({ queue: depth.name }, depth.sending);
      paused.set({ queue: depth.name }, depth.paused ? 1 : 0);
    }
    deadLetters.reset(); // of those that are gone
    for (const { fingerprint, count } of groups.slice(0, MAX_FINGERPRINTS)) deadLetters.set({ fingerprint }, count);
  }

  return {
    async render() {
      const [answers, fault] = await Promise.all([
        readRedis().then(
          () => true,
          () => false,
        ),
        redis.writeFault(),
      ]);
      readJournal();
      redisUp.set(answers && fault === undefined ? 1 : 0);
      if (!answers) {
        for (const stale of ofRedis) stale.reset();
        delayedSyncs.remove(); // a reset would leave a 0
      }
      return registry.metrics();
    },
    refused: (reason) => refusals.inc({ reason }),
    stripeEvent: (outcome) => stripeEvents.inc({ outcome }),
    counted: (ingress) => ({
      ...ingress,
      async post(event: Event, acceptedAt?: number) {
        const posted = await ingress.post(event, acceptedAt);
        posts.inc({ result: resultOf(posted) });
        return posted;
      },
      async learn(notice: Notice, acceptedAt?: number) {
        const learned = await ingress.learn(notice, acceptedAt);
        const posted = learned.kind === "event" ? learned.accepted : learned;
        if (posted.kind !== "unpaid" && posted.kind !== "unmailable") posts.inc({ result: resultOf(posted) });
        return learned;
      },
    }),
  };
}

function resultOf(posted: Posted): string {
  return posted.kind === "accepted" && posted.duplicate ? "duplicate" : posted.kind;
}
