/*
 * Takes as many messages as there are free slots, never more. A taken message starts its attempt at once.
 *   1. Whatever may change what can be taken calls #pump: a wake-up, an attempt that ends, a settlement, an answer.
 *   2. #pump starts takes while slots are free, partition by partition in turn. Two takes overlap, each for at most half
 *      of the slots: Redis runs one while we start the messages of the other.
 *   3. A partition that brought fewer messages than requested is empty until the next wake-up, or the poll.
 *   4. A partition that fails is left out for a while, and the others go on.
 * Nothing here is fatal.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { every, nextTurn, type Timer, time } from "../domain/time.ts";
import { type Taken, take } from "../stream/take.ts";
import type { AskedSince } from "./relayBreaker.ts";
import { createRests } from "./rests.ts";
import { Slots } from "./slots.ts";
import { createStrays, entryKeyOf } from "./strays.ts";

/** The waker wakes the taker; this is for what a lost wake-up would leave. */
const POLL_MS = 1_000;

/** Messages in one call: Redis does nothing else meanwhile, and an event may have 64 KiB. */
const MAX_TAKE = 100;

const MAX_TAKES = 2;

export interface TakerOptions {
  redis: Redis;
  /** More may come in the course of time. */
  tags: readonly string[];
  consumer: string;
  retentionMs: number;
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
  /** When the message was asked for, time.monotonicMs(): Redis has handed it out since. */
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

interface Partition {
  /** `empty`: the last take returned fewer than requested, and no wake-up followed. `more`: it returned all. */
  backlog: "empty" | "unknown" | "more";
  /** Calls under way. */
  calls: number;
  deal: (slots: number) => number[];
}

export class Taker {
  /** By tag, entry id and rank. Written by #begin and by a slot's `settled`. */
  readonly inFlight = new Map<string, InFlight>();
  readonly #options: TakerOptions;
  readonly #half: number;
  readonly #slots: Slots;
  readonly #strays: ReturnType<typeof createStrays>;
  readonly #rests: ReturnType<typeof createRests>;
  readonly #partitions = new Map<string, Partition>();
  readonly #poll: Timer;
  readonly #whenIdle: (() => void)[] = [];
  readonly #whenQuiet: (() => void)[] = [];
  /** Takes under way. Written by #call. */
  #takes = 0;
  #wakeUps = 0;
  /** Whose turn it is, in the order of the tags. Written by #pump. */
  #turn = 0;
  #isPumpDue = false;
  #stopped = false;
  /** Resolves when the messages of the latest take have started. */
  #lastStart = Promise.resolve();

  constructor(options: TakerOptions) {
    const { redis, consumer, retentionMs, concurrency, tags, log } = options;
    this.#options = options;
    this.#half = Math.ceil(concurrency / 2);
    this.#slots = new Slots(concurrency);
    const isInFlight = (claim: Parameters<typeof entryKeyOf>[0]) => this.inFlight.has(entryKeyOf(claim));
    this.#strays = createStrays({ redis, consumer, retentionMs, limit: concurrency * 3, isInFlight, log });
    this.#rests = createRests(redis, tags, () => this.wake(), log);
    this.#poll = every(POLL_MS, () => this.wake());
    this.wake();
  }

  /** There may be something to take. */
  wake(): void {
    this.#wakeUps += 1;
    for (const partition of this.#partitions.values()) if (partition.backlog === "empty") partition.backlog = "unknown";
    this.#pump();
  }

  /** Takes nothing more. Resolves when the calls under way have ended. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#poll.cancel();
    this.#rests.stop();
    return this.#takes === 0 ? Promise.resolve() : new Promise((resolve) => this.#whenQuiet.push(resolve));
  }

  /** Resolves when nothing is in flight. */
  idle(): Promise<void> {
    return this.inFlight.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  #pump(): void {
    while (!this.#stopped && this.#takes < MAX_TAKES) {
      const turn = this.#next();
      if (turn === undefined) return;
      const tag = this.#options.tags[turn] as string;
      // Before anything is taken there: their lease must not run out while no slot is free.
      if (this.#strays.mayBeIn(tag)) {
        this.#turn = turn + 1;
        void this.#call(tag, () => this.#strays.giveBack(tag));
        continue;
      }
      const free = this.#options.allowance(this.#slots.free(), (at) => this.#askedSince(at));
      // A second take is worth its call for half of the slots.
      if (free < (this.#takes === 0 ? 1 : this.#half)) return;
      this.#turn = turn + 1;
      void this.#call(tag, () => this.#take(tag, Math.min(free, this.#half, MAX_TAKE)));
    }
  }

  /** Slots that come free in one turn of the event loop are filled by one take. */
  #pumpSoon(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    time.nextTurn(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }

  /** The number of the next partition in turn that may be taken from. Its turn is over when a call is made, not before. */
  #next(): number | undefined {
    const { tags } = this.#options;
    for (let i = 0; i < tags.length; i++) {
      const turn = (this.#turn + i) % tags.length;
      const tag = tags[turn] as string;
      const { backlog, calls } = this.#partitionOf(tag);
      if (this.#rests.has(tag)) continue;
      const mayGo = this.#strays.mayBeIn(tag)
        ? calls === 0
        : backlog === "more" || (backlog === "unknown" && calls === 0);
      if (mayGo) return turn;
    }
    return undefined;
  }

  #partitionOf(tag: string): Partition {
    const known = this.#partitions.get(tag);
    if (known !== undefined) return known;
    const made: Partition = { backlog: "unknown", calls: 0, deal: this.#options.createDealer() };
    this.#partitions.set(tag, made);
    return made;
  }

  /** Never rejects. */
  async #call(tag: string, call: () => Promise<void>): Promise<void> {
    const partition = this.#partitionOf(tag);
    const startedAt = time.monotonicMs();
    this.#takes += 1;
    partition.calls += 1;
    try {
      await call();
      this.#rests.answered(tag);
    } catch (error) {
      this.#strays.lost(tag);
      if (!this.#stopped) this.#rests.failed(tag, error, startedAt);
    }
    this.#takes -= 1;
    partition.calls -= 1;
    if (this.#takes === 0) for (const resolve of this.#whenQuiet.splice(0)) resolve();
    this.#pump();
  }

  async #take(tag: string, count: number): Promise<void> {
    const { redis, consumer } = this.#options;
    const partition = this.#partitionOf(tag);
    const wakeUpsBefore = this.#wakeUps;
    const askedAt = time.monotonicMs();
    this.#slots.ask(count);
    try {
      const taken = await take(redis, tag, consumer, count, partition.deal(count));
      if (taken.length === count) partition.backlog = "more";
      else partition.backlog = this.#wakeUps === wakeUpsBefore ? "empty" : "unknown";
      await this.#startTurn();
      for (const one of taken) this.#begin(one, askedAt);
    } finally {
      this.#slots.answer(count);
    }
  }

  /**
   * Two replies in one event-loop turn are started in separate turns, so that the first batch can be settled before the
   * second starts.
   */
  #startTurn(): Promise<void> {
    const before = this.#lastStart;
    this.#lastStart = before.then(nextTurn).then(nextTurn);
    return before;
  }

  #begin(taken: Taken, askedAt: number): void {
    const entryKey = entryKeyOf(taken);
    // A failover lost the take, and handed the entry out once more: this attempt is under way.
    if (this.inFlight.has(entryKey)) return;
    this.inFlight.set(entryKey, { taken, askedAt });
    this.#strays.begun(entryKey);
    const slot = this.#slots.begin();
    this.#options.begin(taken, {
      askedAt,
      ended: () => {
        slot.end();
        this.#pumpSoon();
      },
      settled: () => {
        slot.settle();
        this.inFlight.delete(entryKey);
        if (this.inFlight.size === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
        this.#pumpSoon();
      },
    });
  }

  #askedSince(at: number): number {
    const later = [...this.inFlight.values()].filter(({ askedAt }) => askedAt >= at);
    return later.length + this.#slots.asked;
  }
}
