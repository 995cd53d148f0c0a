/*
 * Posts that arrive in one turn of the event loop travel as one script call per partition.
 * An answer that was lost is asked for again by posting again: the idempotency key finds the first one.
 * No event fails because of another one in its call.
 */
import type { Redis } from "ioredis";
import type { Event } from "../domain/event.ts";
import type { Committed, Ingress, Posted, RolledBack } from "../domain/ingress.ts";
import type { State } from "../domain/lifecycle.ts";
import { time } from "../domain/time.ts";
import { isSameEvent } from "../types/plan.ts";
import source from "./enqueue.lua" with { type: "text" };
import { answersOf, type IngressOptions, type Planned, plannedOf, type Waiting } from "./enqueueCall.ts";
import { RedisAway } from "./fault.ts";
import { key, partitionOf, tagOf } from "./keys.ts";
import { earlierHomesOf, type Layout, layoutOf } from "./layout.ts";
import { createLearn } from "./learn.ts";
import { messageIdOf } from "./messageId.ts";
import { dueOf, reading } from "./record.ts";
import { createWrite, orUnavailable, refusal, unavailable, type Written } from "./replicas.ts";
import { script } from "./script.ts";
import { commit, type Decided, Moved, rollback } from "./transaction.ts";

const enqueue = script("enqueue", source);

/** Events in one script call. Small enough that Redis works on one while the next is put together. */
const MAX_CALL = 64;

/**
 * Calls under way at once in a partition: one that Redis works on, one that waits for it. What comes meanwhile goes
 * in the next.
 */
const MAX_CALLS = 2;

/** A change of the layout is a matter of milliseconds: who meets it more often meets something else. */
const MAX_MOVES = 20;
const MOVING = "the number of partitions is being changed";

const DECIDED = { commit: "message committed", rollback: "message rolled back" };

interface Queue {
  partition: number;
  waiting: Waiting[];
  /** Calls under way, and the events in them. */
  calls: number;
  underWay: number;
}

/** @param redis of its own where there are `minReplicas` */
export function createIngress(redis: Redis, options: IngressOptions): Ingress {
  const write = createWrite(redis, options.minReplicas);
  const queues = new Map<number, Queue>();

  /** Where an event is known from before a change of the layout; else where it goes now. */
  async function findHome(eventId: string, layout: Layout): Promise<number> {
    for (const partition of earlierHomesOf(eventId, layout)) {
      const [tag, id] = [tagOf(partition), messageIdOf(eventId, partition)];
      for (const name of [key.message(tag, id), key.notices(tag, id)])
        if ((await reading(() => redis.exists(name))) === 1) return partition;
    }
    return partitionOf(eventId, layout.partitions);
  }

  function place(posted: Waiting): void {
    const layout = layoutOf(options.partitions);
    posted.version = layout.version;
    const { id } = posted.event;
    if (layout.earlier.length === 0) push(partitionOf(id, layout.partitions), posted);
    else
      findHome(id, layout).then(
        (partition) => push(partition, posted),
        (error) => (error instanceof RedisAway ? refuse([posted], error.message) : posted.reject(error)),
      );
  }

  function push(partition: number, posted: Waiting): void {
    const queue = queues.get(partition) ?? { partition, waiting: [], calls: 0, underWay: 0 };
    queues.set(partition, queue);
    if (queue.waiting.length === 0) time.nextTurn(() => void flush(queue));
    queue.waiting.push(posted);
  }

  /** Their partition has another layout than they were placed by. */
  async function placeAgain(moved: readonly Waiting[], tag?: string): Promise<void> {
    await options.refreshLayout?.(tag);
    for (const posted of moved) {
      posted.moves += 1;
      if (posted.moves > MAX_MOVES) refuse([posted], MOVING);
      else place(posted);
    }
  }

  /** Calls of the same size, or the longer one is waited for while the shorter one is worked on. */
  function flush(queue: Queue): void {
    while (queue.waiting.length > 0 && queue.calls < MAX_CALLS) {
      const share = Math.ceil((queue.waiting.length + queue.underWay) / MAX_CALLS);
      void send(queue, queue.waiting.splice(0, Math.min(share, MAX_CALL)));
    }
  }

  async function send(queue: Queue, batch: Waiting[]): Promise<void> {
    queue.calls += 1;
    queue.underWay += batch.length;
    const { version } = layoutOf(options.partitions);
    const stale = batch.filter((posted) => posted.version !== version);
    if (stale.length > 0) void placeAgain(stale);
    const fresh = stale.length > 0 ? batch.filter((posted) => posted.version === version) : batch;
    await call(queue, plannedOf(fresh, queue.partition, options), version);
    queue.calls -= 1;
    queue.underWay -= batch.length;
    flush(queue);
  }

  /** Never rejects. What fails because of one of its events is sent again one by one, so that only that one fails. */
  async function call(queue: Queue, batch: readonly Planned[], version: number): Promise<void> {
    if (batch.length === 0) return;
    const args: (string | number)[] = [options.dedupTtlMs, options.maxBacklog, options.retentionMs, version];
    for (const { text, json } of batch) args.push(text, json);
    try {
      const tag = tagOf(queue.partition);
      const { answer: reply, short } = await write(tag, (node) => enqueue(node, tag, args) as Promise<string>);
      if (reply === "moved")
        return void placeAgain(
          batch.map(({ posted }) => posted),
          tag,
        );
      const durability = options.durability(tag);
      const known = typeof durability === "string" ? durability : await durability;
      const answers = answersOf(reply, batch, options.maxBacklog, known);
      answers.forEach((answer, i) => {
        const { posted, json } = batch[i] as Planned;
        if (answer.kind === "conflict") posted.resolve(secondLook(tag, answer.messageId, json));
        else posted.resolve(answer.kind === "accepted" && short ? unavailable(short) : answer);
      });
      if (short) refuse(queue.waiting.splice(0), short.reason);
      // Neither the answers nor the next call wait for the log.
      time.nextTurn(() => {
        answers.forEach((answer, i) => {
          logNew((batch[i] as Planned).posted.event.id, answer);
        });
      });
    } catch (error) {
      // Those behind would only wait as long for the same answer.
      if (error instanceof RedisAway)
        refuse([...batch.map(({ posted }) => posted), ...queue.waiting.splice(0)], error.message);
      else if (batch.length === 1) batch[0]?.posted.reject(error);
      else await Promise.all(batch.map((one) => call(queue, [one], version)));
    }
  }

  /** At a conflict: the same body with some fields in another order is a duplicate all the same. */
  async function secondLook(tag: string, messageId: string, json: string): Promise<Posted> {
    const found = await orUnavailable(() =>
      write(tag, (node) => reading(() => node.hmget(key.message(tag, messageId), "e", "s", "d", "l"))),
    );
    if ("kind" in found) return found;
    const [kept, state, due, timeline] = found.answer;
    if (!kept || !isSameEvent(kept, json)) return { kind: "conflict", messageId };
    if (found.short) return unavailable(found.short);
    const durability = await options.durability(tag);
    const dueAt = dueOf(due, timeline);
    return { kind: "accepted", messageId, state: state as State, dueAt, duplicate: true, durability };
  }

  function logNew(eventId: string, posted: Posted): void {
    if (posted.kind !== "accepted" || posted.duplicate) return;
    const { messageId, state, dueAt } = posted;
    options.log.info({ eventId, messageId, dueAt }, `message ${state}`);
  }

  async function decideAtHome<Answer>(
    eventId: string,
    decide: (node: Redis, tag: string, messageId: string, version: number) => Promise<Decided<Answer>>,
  ): Promise<Written<Decided<Answer>>> {
    for (let moves = 0; moves <= MAX_MOVES; moves++) {
      const layout = layoutOf(options.partitions);
      const partition = await findHome(eventId, layout);
      const tag = tagOf(partition);
      try {
        return await write(tag, (node) => decide(node, tag, messageIdOf(eventId, partition), layout.version));
      } catch (error) {
        if (!(error instanceof Moved)) throw error;
        await options.refreshLayout?.(tag);
      }
    }
    throw new RedisAway(MOVING);
  }

  /** A decision that was repeated, came too late or has to wait for the end of an attempt is no transition. */
  async function decided<Answer extends Committed | RolledBack>(
    decision: keyof typeof DECIDED,
    eventId: string,
    decide: (node: Redis, tag: string, messageId: string, version: number) => Promise<Decided<Answer>>,
  ) {
    const decided = await orUnavailable(() => decideAtHome(eventId, decide));
    if ("kind" in decided) return decided;
    const { answer, changed } = decided.answer;
    const fields: object = { eventId, ...answer };
    options.log.info(fields, changed ? DECIDED[decision] : `${decision} changed no state`);
    if (decided.short === undefined || answer.kind === "not_found") return answer;
    return { ...unavailable(decided.short), said: answer };
  }

  function post(event: Event, acceptedAt?: number): Promise<Posted> {
    return new Promise((resolve, reject) => {
      place({ event, acceptedAt, resolve, reject, version: 0, moves: 0 });
    });
  }

  return {
    post,
    learn: createLearn({ post, decideAtHome }, options),
    commit: (eventId) =>
      decided("commit", eventId, (node, tag, id, version) => commit(node, tag, id, undefined, version)),
    rollback: (eventId) =>
      decided("rollback", eventId, (node, tag, id, version) =>
        rollback(node, tag, id, options.retentionMs, undefined, version),
      ),
  };
}

function refuse(batch: readonly Waiting[], reason: string): void {
  for (const { resolve } of batch) resolve(refusal(reason));
}
