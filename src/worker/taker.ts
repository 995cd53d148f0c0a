/*
 * Takes as many messages as there are free slots, never more: what is taken is begun at once. A slot is free
 * again when its attempt has ended, so that the settlement and the take that fills the slot travel together.
 * While outcomes cannot be written, no more than twice the slots are owned: then nothing more is taken.
 * A reply to `take` that was lost leaves entries that Redis says are ours and nobody here knows: before the
 * next take they are given back, without spending an attempt.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { release } from "../stream/settle.ts";
import { readOwned, type Taken, take } from "../stream/take.ts";
import { type Loop, startLoop } from "./loop.ts";

/** The waker wakes the taker; this is for what a lost wake-up would leave. */
const POLL_MS = 1_000;

/** Some seconds of the fastest drain: as much as a failover can lose. */
const MAX_BEGUN = 20_000;

export interface TakerOptions {
  redis: Redis;
  tags: readonly string[];
  consumer: string;
  concurrency: number;
  /** How many of `free` slots may be filled now. */
  allowance: (free: number, inFlight: number) => number;
  deal: (slots: number) => number[];
  /** Sees the message through to its written outcome; calls `ended` when the attempt is over. Never rejects. */
  begin: (taken: Taken, ended: () => void) => Promise<void>;
  log: Logger;
}

export interface Taker extends Loop {
  /** By tag and entry id. */
  inFlight: ReadonlyMap<string, Taken>;
  /** Resolves when nothing is in flight. */
  idle(): Promise<void>;
}

export function startTaker(options: TakerOptions): Taker {
  const { redis, tags, consumer, log } = options;
  const inFlight = new Map<string, Taken>();
  const whenIdle: (() => void)[] = [];
  const replyLost = new Set<string>();
  /** Entries begun lately: one of them that is ours again has lost its settlement, it was tried (keepers.ts). */
  const begun = new Set<string>();
  let settling = 0;
  let turn = 0;
  let waking = false;

  function begin(taken: Taken): void {
    const slot = `${taken.tag} ${taken.entryId} ${taken.rank}`;
    // A failover lost the take, and handed the entry out once more: this attempt is under way.
    if (inFlight.has(slot)) return;
    inFlight.set(slot, taken);
    begun.add(slot);
    if (begun.size > MAX_BEGUN) begun.delete(begun.values().next().value as string);
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      settling += 1;
      wakeLater();
    };
    void options.begin(taken, end).finally(() => {
      end();
      settling -= 1;
      inFlight.delete(slot);
      if (inFlight.size === 0) for (const resolve of whenIdle.splice(0)) resolve();
      wakeLater();
    });
  }

  function freeSlots(): number {
    const free = options.concurrency - (inFlight.size - settling);
    return Math.min(free, options.concurrency * 2 - inFlight.size);
  }

  /** Slots that come free in one turn of the event loop are filled by one take. */
  function wakeLater(): void {
    if (waking) return;
    waking = true;
    setImmediate(() => {
      waking = false;
      loop.wake();
    });
  }

  async function giveBackStrays(tag: string): Promise<void> {
    const owned = await readOwned(redis, tag, consumer, options.concurrency * 3);
    const strays = owned.filter((claim) => !begun.has(`${tag} ${claim.entryId} ${claim.rank}`));
    if (strays.length > 0) {
      const reason = "the worker lost the connection while it took the message";
      await release(
        redis,
        tag,
        consumer,
        strays.map((claim) => ({ ...claim, reason })),
      );
      log.warn({ messages: strays.map((claim) => claim.messageId) }, "messages given back, they were not tried");
    }
    replyLost.delete(tag);
  }

  const loop = startLoop("taker", log, async () => {
    let sleepMs = POLL_MS;
    const first = turn++; // also when one of them fails: the others have their turn
    for (let i = 0; i < tags.length; i++) {
      const tag = tags[(first + i) % tags.length] as string;
      if (replyLost.has(tag)) await giveBackStrays(tag);
      const free = options.allowance(freeSlots(), inFlight.size);
      if (free <= 0) break;
      replyLost.add(tag);
      const taken = await take(redis, tag, consumer, free, options.deal(free));
      replyLost.delete(tag);
      for (const one of taken) begin(one);
      if (taken.length === free) sleepMs = 0;
    }
    return freeSlots() > 0 ? sleepMs : POLL_MS;
  });

  return {
    ...loop,
    inFlight,
    idle: () => (inFlight.size === 0 ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve))),
  };
}
