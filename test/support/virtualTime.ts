/*
 * A clock that stands still until a test moves it (after tigerbeetle's testing/time.zig). Sockets, disks and turns of the
 * event loop stay real: only our own waiting takes no time.
 */
import { afterAll, afterEach, beforeEach } from "bun:test";
import { setTime, type Time, type Timer } from "../../src/domain/time.ts";

export interface VirtualTime extends Time {
  /**
   * Fires what is due on the way, in order of its time, and of its making where that is the same. Each timer sees its own
   * time, and what it begins has some turns of the event loop to arm timers of its own, which fire as well.
   */
  advance(ms: number): Promise<void>;
  /** How long until each timer that waits fires, ms, the next one first; without those that the process may end without. */
  waits(): number[];
  /** What `random` gives from now on. */
  setChance(random: number): void;
}

interface Waiting {
  dueMs: number;
  isReferenced: boolean;
  call: () => void;
}

const START_EPOCH_MS = Date.UTC(2026, 10, 24, 9, 30);
/** Enough for what a timer begins, as long as it waits for nothing real. */
const TURNS = 3;

/**
 * Each test of the file has a new one. Call it before the file's own beforeEach: the clock must stand before anything is
 * started. Whether tests leave timers behind is seen at the end of the file, when all of its hooks have run.
 */
export function virtualTime(): VirtualTime {
  const current = {} as VirtualTime;
  const made: VirtualTime[] = [];
  beforeEach(() => {
    const clock = createVirtualTime();
    made.push(clock);
    setTime(Object.assign(current, clock));
  });
  afterEach(() => setTime());
  afterAll(() => {
    const left = made.flatMap((each) => each.waits());
    if (left.length > 0) throw new Error(`tests leave timers behind, due in ${left.join(", ")} ms`);
  });
  return current;
}

export function createVirtualTime(): VirtualTime {
  // Not 0: what takes 0 for "never" shall show it.
  let nowMs = 1_000;
  let chance = 0;
  const startMs = nowMs;
  let waiting: Waiting[] = [];

  function after(delayMs: number, call: () => void): Timer {
    const one: Waiting = { dueMs: nowMs + Math.max(0, delayMs), isReferenced: true, call };
    const later = waiting.findIndex(({ dueMs }) => dueMs > one.dueMs);
    waiting.splice(later === -1 ? waiting.length : later, 0, one);
    return {
      cancel: () => {
        waiting = waiting.filter((each) => each !== one);
      },
      unref() {
        one.isReferenced = false;
      },
    };
  }

  return {
    epochMs: () => START_EPOCH_MS + nowMs - startMs,
    monotonicMs: () => nowMs,
    random: () => chance,
    after,
    nextTurn: (call) => void setImmediate(call),
    blockThread(ms) {
      nowMs += ms;
    },
    async advance(ms) {
      const endMs = nowMs + ms;
      await settled();
      for (let next = waiting[0]; next !== undefined && next.dueMs <= endMs; next = waiting[0]) {
        waiting.shift();
        nowMs = Math.max(nowMs, next.dueMs);
        next.call();
        await settled();
      }
      nowMs = Math.max(nowMs, endMs);
    },
    waits: () => waiting.filter(({ isReferenced }) => isReferenced).map(({ dueMs }) => dueMs - nowMs),
    setChance(random) {
      chance = random;
    },
  };
}

/** What is ready to go on goes on; no time passes. */
export async function settled(): Promise<void> {
  for (let i = 0; i < TURNS; i++) await new Promise((resolve) => setImmediate(resolve));
}
