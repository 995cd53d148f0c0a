/*
 * The worker:
 *   1. settles the past: what the relay took and Redis was not told; then entries of its own name, which are from
 *      a life that ended, are reclaimed at once
 *   2. promotes what is due, takes what is queued, attempts it, settles it
 *   3. keeps its leases alive, reclaims the entries of workers that are gone, tidies up
 *   4. stops in three steps: quiet (takes nothing more) -> deadline (what is in flight may end) -> what is
 *      left is aborted and, where the relay has not got it, given back without spending an attempt
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import type { Event } from "../domain/event.ts";
import type { RetryPolicy } from "../domain/outcome.ts";
import type { Outbox } from "../journal/outbox.ts";
import type { Mail, Mailer } from "../mail/mailer.ts";
import { RedisAway } from "../stream/fault.ts";
import { tagsOf } from "../stream/keys.ts";
import { reclaim } from "../stream/lease.ts";
import type { NewKind } from "../stream/newKinds.ts";
import { eventOf } from "../stream/record.ts";
import { sentOrAttested } from "../stream/settle.ts";
import type { Taken } from "../stream/take.ts";
import { wasRolledBack } from "../stream/transaction.ts";
import { attempt, type BookingPolicy, type Settlement } from "./attempt.ts";
import { startChecker } from "./checker.ts";
import { createCircuit } from "./circuit.ts";
import { logReclaimed, startAlerter, startHeart, startJanitor, startPromoter, startReclaimer } from "./keepers.ts";
import { createDealer } from "./priorities.ts";
import { createSettler } from "./settler.ts";
import { type Slot, startTaker } from "./taker.ts";
import { startWaker } from "./waker.ts";

export interface WorkerOptions {
  /** For the scripts. */
  redis: Redis;
  /** Dedicated connections for blocking reads; the worker closes them. */
  openBlocking: () => Redis;
  /** Whether one connection may read the streams of several partitions together: not on a cluster. */
  readsPartitionsTogether: boolean;
  partitions: number;
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
  /** A rollback that Redis has not been told yet. */
  isRolledBack: (eventId: string) => boolean;
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
  const tags = tagsOf(options.partitions);
  await settleThePast(options);
  for (const tag of tags) logReclaimed(await reclaim(redis, tag, { of: consumer }, 0, policy), log);

  const circuit = createCircuit(
    () => mailer.probe(),
    () => taker.wake(),
    log,
  );
  const settler = createSettler({
    redis,
    consumer,
    retentionMs: options.retentionMs,
    outbox: options.outbox,
    log,
  });
  const alerter = startAlerter(redis, options.partitions, log, options.alert);

  const stopping = new AbortController();
  const deps = {
    ...options,
    circuit,
    wasRolledBack: (taken: Taken) => wasRolledBack(redis, taken),
    stopping: stopping.signal,
  };
  function begin(taken: Taken, slot: Slot): void {
    const startedAt = performance.now();
    const event = eventOf(taken.json);
    log.debug({ eventId: event?.id, messageId: taken.messageId, attempt: taken.attempt }, "message sending");
    void attempt(taken, event, deps).then((settlement) => {
      const durationMs = Math.round((performance.now() - startedAt) * 10) / 10;
      settler.settle(taken, settlement, (written) => {
        slot.settled();
        if (settlement.kind === "dead") alerter.wake();
        logSettled(log, event?.id, taken, settlement, durationMs, written);
      });
      slot.ended(); // after it: the take that this allows goes out behind the settlement
    });
  }

  const taker = startTaker({
    redis,
    tags,
    consumer,
    concurrency: options.concurrency,
    allowance: (free, inFlight) => Math.min(circuit.allowance(free, inFlight), storeAllows(inFlight)),
    deal: createDealer(options.priorityOrder),
    begin,
    log,
  });
  /** While the booking store is away, one message at a time finds out when it is back. */
  function storeAllows(inFlight: number): number {
    if (options.booking.store?.isAway?.() !== true) return Number.POSITIVE_INFINITY;
    return inFlight === 0 ? 1 : 0;
  }

  const blocking = (options.readsPartitionsTogether ? [tags] : tags.map((tag) => [tag])).map((together) => {
    const connection = options.openBlocking();
    return { connection, waker: startWaker(connection, together, () => taker.wake(), log) };
  });
  const keepers = [
    startPromoter(redis, tags, log),
    startHeart(redis, tags, consumer, () => [...taker.inFlight.values()], options.leaseMs, policy, log),
    startReclaimer(redis, tags, consumer, options.leaseMs, policy, log),
    startChecker({ ...options, tags }),
    startJanitor(redis, tags, log),
    alerter,
  ];

  return {
    async stop(deadlineMs) {
      for (const { connection } of blocking) connection.disconnect();
      // A loop may hang in a call to a Redis that does not answer: nothing here waits for that.
      const quiet = Promise.all([taker.stop(), ...blocking.map(({ waker }) => waker.stop())]);
      // With nothing in flight, and no Redis to take anything from, there is nothing to wait for.
      const isIdle = taker.inFlight.size === 0 && redis.status !== "ready";
      const idle = isIdle ? Promise.resolve() : quiet.then(() => taker.idle());
      circuit.stop();
      await Promise.race([idle, Bun.sleep(deadlineMs)]);
      stopping.abort();
      mailer.abort();
      await Promise.race([idle, Bun.sleep(LAST_SETTLEMENTS_MS)]);
      settler.abandon();
      const kept = Promise.all(keepers.map((keeper) => keeper.stop()));
      await Promise.race([kept, Bun.sleep(LAST_SETTLEMENTS_MS)]);
      options.outbox.close();
      log.info({ leftInFlight: taker.inFlight.size }, "worker stopped");
    },
  };
}

/** Facts of an earlier life: the mail has left, whatever Redis thinks of the message. */
async function settleThePast({ redis, consumer, outbox, retentionMs, log }: WorkerOptions): Promise<void> {
  for (const { id, facts } of outbox.left()) {
    for (const fact of facts) {
      const { tag, messageId, attempt, reply } = fact;
      try {
        const [settled] = await sentOrAttested(redis, tag, consumer, retentionMs, [fact]);
        if (settled) log.warn({ messageId, attempt, reply }, "message sent, settled after a restart");
      } catch (error) {
        if (error instanceof RedisAway) throw error;
        // One that cannot be settled is no reason to send nothing any more.
        log.error({ err: error, messageId, attempt, reply }, "message sent, and could not be settled after a restart");
      }
    }
    outbox.forget(id);
  }
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
