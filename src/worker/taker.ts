/*
 * Takes as many messages as there are free slots, never more: what is taken is begun at once. A slot is free
 * again when its attempt has ended, so that the settlement and the take that fills the slot travel together.
 * Two takes may be under way, each for half of the slots: Redis works on one while what the other brought is begun.
 * While outcomes cannot be written, no more than twice the slots are owned: then nothing more is taken.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { type Taken, take } from "../stream/take.ts";
import { type Loop, startLoop } from "./loop.ts";
import { createStrays, slotOf } from "./strays.ts";

/** The waker wakes the taker; this is for what a lost wake-up would leave. */
const POLL_MS = 1_000;

/** The longest that a partition is left out after a failure. */
const MAX_REST_MS = 4_000;

/** Messages in one call: Redis does nothing else meanwhile, and an event may have 64 KiB. */
const MAX_TAKE = 100;

export interface TakerOptions {
  redis: Redis;
  tags: readonly string[];
  consumer: string;
  concurrency: number;
  /** How many of `free` slots may be filled now. */
  allowance: (free: number, inFlight: number) => number;
  deal: (slots: number) => number[];
  /** Sees the message through to its written outcome, and says so. */
  begin: (taken: Taken, slot: Slot) => void;
  log: Logger;
}

/** What a message holds while it is seen through. */
export interface Slot {
  /** The attempt is over: another one may begin. */
  ended(): void;
  /** After it: the outcome is written, or given up. */
  settled(): void;
}

export interface Taker extends Loop {
  /** By tag and entry id. */
  inFlight: ReadonlyMap<string, Taken>;
  /** Resolves when nothing is in flight. */
  idle(): Promise<void>;
}

export function startTaker(options: TakerOptions): Taker {
  const { redis, tags, consumer, log } = options;
  const half = Math.ceil(options.concurrency / 2);
  const inFlight = new Map<string, Taken>();
  const whenIdle: (() => void)[] = [];
  const strays = createStrays({
    redis,
    consumer,
    limit: options.concurrency * 3,
    isInFlight: (claim) => inFlight.has(slotOf(claim)),
    log,
  });
  /** Partitions whose shard failed lately, and the time, performance.now(), until which they are left out. */
  const resting = new Map<string, { failures: number; until: number }>();
  /** Calls under way, by tag, and the messages that all of them ask for. */
  const calls = new Map<string, number>();
  let asked = 0;
  /** "more": the last take brought all that it asked for. "none": it did not, and nobody has woken us since. */
  let backlog: "none" | "unknown" | "more" = "unknown";
  let wakings = 0;
  let settling = 0;
  let turn = 0;
  let waking = false;
  let lastBegun = Promise.resolve();

  function begin(taken: Taken): void {
    const name = slotOf(taken);
    // A failover lost the take, and handed the entry out once more: this attempt is under way.
    if (inFlight.has(name)) return;
    inFlight.set(name, taken);
    strays.begun(name);
    options.begin(taken, {
      ended() {
        settling += 1;
        wakeLater();
      },
      settled() {
        settling -= 1;
        inFlight.delete(name);
        if (inFlight.size === 0) for (const resolve of whenIdle.splice(0)) resolve();
        wakeLater();
      },
    });
  }

  function freeSlots(): number {
    const free = options.concurrency - (inFlight.size - settling);
    return Math.min(free, options.concurrency * 2 - inFlight.size) - asked;
  }

  /** Slots that come free in one turn of the event loop are filled by one take. */
  function wakeLater(): void {
    if (waking) return;
    waking = true;
    setImmediate(() => {
      waking = false;
      if (backlog !== "none") first.wake();
      if (backlog === "more") second.wake();
    });
  }

  async function calling<T>(tag: string, call: () => Promise<T>): Promise<T> {
    calls.set(tag, (calls.get(tag) ?? 0) + 1);
    try {
      return await call();
    } finally {
      calls.set(tag, (calls.get(tag) ?? 0) - 1);
    }
  }

  /** Whether it brought all that it asked for. */
  async function takeFrom(tag: string, count: number): Promise<boolean> {
    asked += count;
    try {
      const taken = await take(redis, tag, consumer, count, options.deal(count));
      await aTurnOfItsOwn();
      for (const one of taken) begin(one);
      return taken.length === count;
    } catch (error) {
      strays.lost(tag);
      throw error;
    } finally {
      asked -= count;
    }
  }

  /** What two takes bring together is begun one after the other, and what has ended at once is settled in between. */
  function aTurnOfItsOwn(): Promise<void> {
    const turnBefore = lastBegun;
    lastBegun = turnBefore.then(async () => {
      await nextTurn();
      await nextTurn();
    });
    return turnBefore;
  }

  function isResting(tag: string): boolean {
    return (resting.get(tag)?.until ?? 0) > performance.now();
  }

  function rest(tag: string, err: unknown): void {
    const failures = (resting.get(tag)?.failures ?? 0) + 1;
    if (failures === 1) log.error({ tag, err }, "nothing can be taken from a partition, the others go on");
    resting.set(tag, { failures, until: performance.now() + Math.min(POLL_MS * 2 ** (failures - 1), MAX_REST_MS) });
  }

  function endRest(tag: string): void {
    if (resting.delete(tag)) log.warn({ tag }, "the partition is taken from again");
  }

  /** @param least slots that must be free */
  async function round(least: number): Promise<number> {
    const wakingsBefore = wakings;
    let isMore = false;
    let skipped = false;
    const begunAt = turn++; // also when one of them fails: the others have their turn
    for (let i = 0; i < tags.length; i++) {
      const tag = tags[(begunAt + i) % tags.length] as string;
      if (isResting(tag)) continue;
      try {
        if (strays.mayBeIn(tag)) {
          if (calls.get(tag)) {
            skipped = true;
            continue;
          }
          await calling(tag, () => strays.giveBack(tag)); // first: their lease must not run out while no slot is free
        }
        const free = options.allowance(freeSlots(), inFlight.size + asked);
        if (free < least) return POLL_MS; // an attempt that ends wakes it, the circuit, or the other take
        const wasAllThere = await calling(tag, () => takeFrom(tag, Math.min(free, half, MAX_TAKE)));
        endRest(tag);
        if (!wasAllThere) continue;
      } catch (error) {
        if (tags.length === 1) throw error;
        rest(tag, error);
        continue;
      }
      isMore = true;
      backlog = "more";
      second.wake();
    }
    if (!isMore && !skipped && wakings === wakingsBefore) backlog = "none";
    return isMore ? 0 : POLL_MS;
  }

  const first = startLoop("taker", log, () => round(1));
  const second = startLoop("second taker", log, async () => {
    try {
      return await round(half);
    } finally {
      if (backlog !== "none") first.wake(); // it may have found the slots that this one asked for taken
    }
  });

  return {
    wake() {
      wakings += 1;
      if (backlog === "none") backlog = "unknown";
      first.wake();
    },
    stop: async () => void (await Promise.all([first.stop(), second.stop()])),
    inFlight,
    idle: () => (inFlight.size === 0 ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve))),
  };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
