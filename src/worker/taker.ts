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
import type { AskedSince } from "./relayBreaker.ts";
import { createRests } from "./rests.ts";
import { createStrays, entryKeyOf } from "./strays.ts";

/** The waker wakes the taker; this is for what a lost wake-up would leave. */
const POLL_MS = 1_000;

/** Messages in one call: Redis does nothing else meanwhile, and an event may have 64 KiB. */
const MAX_TAKE = 100;

export interface TakerOptions {
  redis: Redis;
  /** More may come in the course of time. */
  tags: readonly string[];
  consumer: string;
  concurrency: number;
  /** How many of `free` slots may be filled now. */
  allowance: (free: number, askedSince: AskedSince) => number;
  /** One for each partition: each is to have its shares, however the slots fall to them. */
  createDealer: () => (slots: number) => number[];
  /** Sees the message through to its written outcome, and says so. */
  begin: (taken: Taken, slot: Slot) => void;
  log: Logger;
}

/** What a message holds while it is seen through. */
export interface Slot {
  /** When the message was asked for, performance.now(): Redis has handed it out since. */
  askedAt: number;
  /** The attempt is over: another one may begin. */
  ended(): void;
  /** After it: the outcome is written, or given up. */
  settled(): void;
}

interface InFlight {
  taken: Taken;
  /** As in its slot. */
  askedAt: number;
}

export interface Taker extends Loop {
  /** By tag, entry id and rank. */
  inFlight: ReadonlyMap<string, InFlight>;
  /** Resolves when nothing is in flight. */
  idle(): Promise<void>;
}

export function startTaker(options: TakerOptions): Taker {
  const { redis, tags, consumer, log } = options;
  const half = Math.ceil(options.concurrency / 2);
  const inFlight = new Map<string, InFlight>();
  const whenIdle: (() => void)[] = [];
  const strays = createStrays({
    redis,
    consumer,
    limit: options.concurrency * 3,
    isInFlight: (claim) => inFlight.has(entryKeyOf(claim)),
    log,
  });
  const rests = createRests(redis, tags, () => taker.wake(), log);
  const dealers = new Map<string, (slots: number) => number[]>();
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

  function begin(taken: Taken, askedAt: number): void {
    const entryKey = entryKeyOf(taken);
    // A failover lost the take, and handed the entry out once more: this attempt is under way.
    if (inFlight.has(entryKey)) return;
    inFlight.set(entryKey, { taken, askedAt });
    strays.begun(entryKey);
    options.begin(taken, {
      askedAt,
      ended() {
        settling += 1;
        wakeLater();
      },
      settled() {
        settling -= 1;
        inFlight.delete(entryKey);
        if (inFlight.size === 0) for (const resolve of whenIdle.splice(0)) resolve();
        wakeLater();
      },
    });
  }

  function freeSlots(): number {
    const free = options.concurrency - (inFlight.size - settling);
    return Math.min(free, options.concurrency * 2 - inFlight.size) - asked;
  }

  function askedSince(at: number): number {
    return [...inFlight.values()].reduce((count, { askedAt }) => (askedAt < at ? count : count + 1), asked);
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

  function dealerOf(tag: string): (slots: number) => number[] {
    const dealer = dealers.get(tag) ?? options.createDealer();
    dealers.set(tag, dealer);
    return dealer;
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
    const askedAt = performance.now();
    try {
      const taken = await take(redis, tag, consumer, count, dealerOf(tag)(count));
      await aTurnOfItsOwn();
      for (const one of taken) begin(one, askedAt);
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

  /** @param least slots that must be free */
  async function round(least: number): Promise<number> {
    const wakingsBefore = wakings;
    let isMore = false;
    let skipped = false;
    const firstTag = turn++; // also when one of them fails: the others have their turn
    for (let i = 0; i < tags.length; i++) {
      const tag = tags[(firstTag + i) % tags.length] as string;
      if (rests.has(tag)) continue;
      const begunAt = performance.now();
      try {
        if (strays.mayBeIn(tag)) {
          if (calls.get(tag)) {
            skipped = true;
            continue;
          }
          await calling(tag, () => strays.giveBack(tag)); // first: their lease must not run out while no slot is free
        }
        const free = options.allowance(freeSlots(), askedSince);
        if (free < least) return POLL_MS; // an attempt that ends wakes it, the breaker, or the other take
        const wasAllThere = await calling(tag, () => takeFrom(tag, Math.min(free, half, MAX_TAKE)));
        rests.answered(tag);
        if (!wasAllThere) continue;
      } catch (error) {
        if (tags.length === 1) throw error;
        rests.failed(tag, error, begunAt);
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

  const taker: Taker = {
    wake() {
      wakings += 1;
      if (backlog === "none") backlog = "unknown";
      first.wake();
    },
    async stop() {
      rests.stop();
      await Promise.all([first.stop(), second.stop()]);
    },
    inFlight,
    idle: () => (inFlight.size === 0 ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve))),
  };
  return taker;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
