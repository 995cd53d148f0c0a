/*
 * Takes as many messages as there are free slots, never more: what is taken is begun at once. A slot is free
 * again when its attempt has ended, so that the settlement and the take that fills the slot travel together.
 * Two takes may be under way, each for half of the slots: Redis works on one while what the other brought is begun.
 * While outcomes cannot be written, no more than twice the slots are owned: then nothing more is taken.
 * A reply to `take` that was lost leaves entries that Redis says are ours and nobody here knows: before the
 * next take they are given back, without spending an attempt.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { release } from "../stream/settle.ts";
import { type Claim, readOwned, type Taken, take } from "../stream/take.ts";
import { type Loop, startLoop } from "./loop.ts";

/** The waker wakes the taker; this is for what a lost wake-up would leave. */
const POLL_MS = 1_000;

/** At least so many are known: a second of the fastest drain, which a failover can lose. */
const MIN_BEGUN = 20_000;

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
  const half = Math.ceil(options.concurrency / 2);
  const inFlight = new Map<string, Taken>();
  const whenIdle: (() => void)[] = [];
  /** Tags with a take whose reply was lost. */
  const replyLost = new Set<string>();
  /** Calls under way, by tag, and the messages that all of them ask for. */
  const calls = new Map<string, number>();
  let asked = 0;
  /** "more": the last take brought all that it asked for. "none": it did not, and nobody has woken us since. */
  let backlog: "none" | "unknown" | "more" = "unknown";
  let wakings = 0;
  /** Entries begun lately: one of them that is ours again has lost its settlement, it was tried (keepers.ts). */
  let begun = new Set<string>();
  let begunBefore = begun;
  let settling = 0;
  let turn = 0;
  let waking = false;
  let lastBegun = Promise.resolve();

  function begin(taken: Taken): void {
    const slot = slotOf(taken);
    // A failover lost the take, and handed the entry out once more: this attempt is under way.
    if (inFlight.has(slot)) return;
    inFlight.set(slot, taken);
    if (begun.size >= MIN_BEGUN) [begunBefore, begun] = [begun, new Set()];
    begun.add(slot);
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

  async function giveBackStrays(tag: string): Promise<void> {
    const owned = await readOwned(redis, tag, consumer, options.concurrency * 3);
    const strays = owned.filter((claim) => !begun.has(slotOf(claim)) && !begunBefore.has(slotOf(claim)));
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

  /** Whether it brought all that it asked for. */
  async function takeFrom(tag: string, count: number): Promise<boolean> {
    asked += count;
    try {
      const taken = await take(redis, tag, consumer, count, options.deal(count));
      await aTurnOfItsOwn();
      for (const one of taken) begin(one);
      return taken.length === count;
    } catch (error) {
      replyLost.add(tag);
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
    const begunAt = turn++; // also when one of them fails: the others have their turn
    for (let i = 0; i < tags.length; i++) {
      const tag = tags[(begunAt + i) % tags.length] as string;
      if (replyLost.has(tag)) {
        if (calls.get(tag)) {
          skipped = true;
          continue;
        }
        await calling(tag, () => giveBackStrays(tag)); // first: their lease must not run out while no slot is free
      }
      const free = options.allowance(freeSlots(), inFlight.size + asked);
      if (free < least) return POLL_MS; // an attempt that ends wakes it, the circuit, or the other take
      if (!(await calling(tag, () => takeFrom(tag, Math.min(free, half))))) continue;
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

function slotOf({ tag, entryId, rank }: Claim): string {
  return `${tag} ${entryId} ${rank}`;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
