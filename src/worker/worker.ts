/*
 * The worker:
 *   1. settles the past: what the relay took and Redis was not told; then entries of its own name, which are from
 *      a life that ended, are reclaimed at once
 *   2. promotes what is due, takes what is queued, attempts it, settles it
 *   3. keeps its leases alive, reclaims the entries of workers that are gone, tells a Redis that has lost it what was
 *      sent, tidies up
 *   4. stops in three steps: quiet (takes nothing more) -> deadline (what is in flight may end) -> what is
 *      left is aborted and, where the relay has not got it, given back without spending an attempt
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import type { Event } from "../domain/event.ts";
import type { RetryPolicy, Settlement } from "../domain/outcome.ts";
import { time, within } from "../domain/time.ts";
import type { Outbox } from "../journal/outbox.ts";
import type { RollbackReader } from "../journal/reader.ts";
import type { Mail, Mailer } from "../mail/mailer.ts";
import { RedisAway } from "../stream/fault.ts";
import { type Partitions, tagsServedBy } from "../stream/layout.ts";
import type { NewKind } from "../stream/newKinds.ts";
import { eventOf } from "../stream/record.ts";
import type { Claim, Taken } from "../stream/take.ts";
import { wasRolledBack } from "../stream/transaction.ts";
import { startAlerter } from "./alerter.ts";
import { attempt } from "./attempt.ts";
import { startAttester } from "./attester.ts";
import { startChecker } from "./checker.ts";
import { startClockWatch } from "./clockWatch.ts";
import { enter } from "./enter.ts";
import { startForgetter } from "./forgetter.ts";
import type { BookingPolicy } from "./gates.ts";
import { startHeart } from "./heart.ts";
import { startJanitor } from "./janitor.ts";
import type { Loop } from "./loop.ts";
import { createDealer } from "./priorities.ts";
import { startPromoter } from "./promoter.ts";
import { startReclaimer } from "./reclaimer.ts";
import { type AskedSince, createRelayBreaker, oneAtATime } from "./relayBreaker.ts";
import { createSentLately } from "./sentLately.ts";
import { serve } from "./serving.ts";
import { createSettler } from "./settler.ts";
import { entryKeyOf } from "./strays.ts";
import { createSuspects } from "./suspects.ts";
import { type Slot, Taker } from "./taker.ts";

export interface WorkerOptions {
  /** For the scripts. */
  redis: Redis;
  /** Dedicated connections for blocking reads; the worker closes them. */
  openBlocking: () => Redis;
  /** Whether one connection may read the streams of several partitions together: not on a cluster. */
  readsPartitionsTogether: boolean;
  partitions: Partitions;
  /** Stable across restarts, unique among the workers that live at the same time. */
  consumer: string;
  concurrency: number;
  leaseMs: number;
  retentionMs: number;
  priorityOrder: "weighted" | "strict";
  policy: RetryPolicy;
  render: (event: Event, messageId: string) => Mail;
  mailer: Mailer;
  booking: BookingPolicy;
  outbox: Outbox;
  /** Rollbacks that Redis has not been told yet. */
  rollbacks: Pick<RollbackReader, "isRolledBack" | "hasChangedSince">;
  /** Told of each kind of dead letters once. */
  alert?: ((kind: NewKind) => void) | undefined;
  log: Logger;
  random: () => number;
}

export interface Worker {
  /** Waits up to `deadlineMs` for what is in flight. */
  stop(deadlineMs: number): Promise<void>;
}

/** Time for the settlements of aborted attempts, and again for the calls of the keepers. */
const LAST_SETTLEMENTS_MS = 1_000;

/** Resolves when it takes messages. Rejects with RedisAway when Redis cannot be asked: try again. */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { redis, consumer, log, policy, mailer } = options;
  const tags = tagsServedBy(options.partitions);
  const left = options.outbox.left();
  const entries = await Promise.allSettled(tags.map((tag) => enter(tag, left, options)));
  const entered = tags.filter((_, i) => entries[i]?.status === "fulfilled");
  for (const entry of entries) {
    if (entry.status === "fulfilled") continue;
    if (entered.length === 0 || !(entry.reason instanceof RedisAway)) throw entry.reason;
  }

  const relay = createRelayBreaker(
    () => mailer.probe(),
    () => taker.wake(),
    log,
  );
  const settler = createSettler(options);
  const alerter = startAlerter(redis, options.partitions, log, options.alert);

  const stopping = new AbortController();
  const deps = {
    ...options,
    relay,
    suspects: createSuspects(),
    wasRolledBack: (taken: Taken) => wasRolledBack(redis, taken),
    stopping: stopping.signal,
  };
  const lately = createSentLately(options.retentionMs);
  async function ended(taken: Taken, event: Event | undefined, slot: Slot): Promise<Settlement> {
    const { messageId } = taken;
    const known = lately.replyTo(taken);
    if (known !== undefined)
      log.warn({ eventId: event?.id, messageId }, "message was sent before, redis had lost that");
    const settlement: Settlement =
      known === undefined ? await attempt(taken, slot.askedAt, event, deps) : { kind: "sent", reply: known };
    if (settlement.kind === "sent") lately.add(taken, settlement.reply);
    return settlement;
  }

  function begin(taken: Taken, slot: Slot): void {
    const startedAt = time.monotonicMs();
    const event = eventOf(taken.json);
    log.debug({ eventId: event?.id, messageId: taken.messageId, attempt: taken.attempt }, "message sending");
    void ended(taken, event, slot).then((settlement) => {
      const durationMs = Math.round((time.monotonicMs() - startedAt) * 10) / 10;
      settler.settle(taken, settlement, (written) => {
        slot.settled();
        if (settlement.kind === "dead") alerter.wake();
        logSettled(log, event?.id, taken, settlement, durationMs, written);
      });
      slot.ended(); // after it: the take that this allows goes out behind the settlement
    });
  }

  /** time.monotonicMs(), while the booking store is away. */
  let storeAwaySince: number | undefined;
  /** Meanwhile one message at a time finds out when it is back. */
  function storeAllows(askedSince: AskedSince): number {
    if (options.booking.store?.isAway?.() !== true) {
      storeAwaySince = undefined;
      return Number.POSITIVE_INFINITY;
    }
    storeAwaySince ??= time.monotonicMs();
    return oneAtATime(storeAwaySince, askedSince);
  }

  const taker = new Taker({
    redis,
    tags: entered,
    consumer,
    retentionMs: options.retentionMs,
    concurrency: options.concurrency,
    allowance: (free, askedSince) => Math.min(relay.allowance(free, askedSince), storeAllows(askedSince)),
    createDealer: () => createDealer(options.priorityOrder),
    begin,
    log,
  });

  const inFlight = () => [...taker.inFlight.values()].map(({ taken }) => taken);
  const isInFlight = (claim: Claim) => taker.inFlight.has(entryKeyOf(claim));
  const keep = (tag: string, own: Logger): Loop[] => [
    startPromoter(redis, tag, own),
    startClockWatch(redis, tag, own),
    startHeart(redis, tag, consumer, inFlight, options.leaseMs, policy, own),
    startReclaimer(redis, tag, consumer, options.leaseMs, policy, own),
    startAttester(redis, tag, consumer, options.retentionMs, lately, isInFlight, own),
    startChecker({ ...options, tag, log: own }),
    startJanitor(redis, tag, own),
  ];
  const serving = serve({
    ...options,
    tags,
    entered,
    enter: (tag) => enter(tag, left, options),
    keep,
    wake: () => taker.wake(),
    stopping: stopping.signal,
  });
  const keepers = [alerter, startForgetter(redis, options.partitions, options.retentionMs, log)];

  return {
    async stop(deadlineMs) {
      // A loop may hang in a call to a Redis that does not answer: nothing here waits for that.
      const quiet = Promise.all([serving.quiet(), taker.stop()]);
      // With nothing in flight, and no Redis to take anything from, there is nothing to wait for.
      const isIdle = taker.inFlight.size === 0 && redis.status !== "ready";
      const idle = isIdle ? Promise.resolve() : quiet.then(() => taker.idle());
      relay.stop();
      await within(deadlineMs, idle);
      stopping.abort();
      mailer.abort();
      await within(LAST_SETTLEMENTS_MS, idle);
      settler.abandon();
      const kept = Promise.all([...keepers, serving].map((keeper) => keeper.stop()));
      await within(LAST_SETTLEMENTS_MS, kept);
      options.outbox.close();
      log.info({ leftInFlight: taker.inFlight.size }, "worker stopped");
    },
  };
}

function logSettled(
  log: Logger,
  eventId: string | undefined,
  { messageId, attempt }: Taken,
  settlement: Settlement,
  durationMs: number,
  written: boolean,
): void {
  const { kind, ...detail } = settlement;
  const line = { eventId, messageId, attempt, durationMs, ...detail };
  if (written) log.info(line, `message ${kind}`);
  else log.warn({ ...line, outcome: kind }, "outcome not written: no longer ours, or the worker stopped first");
}
