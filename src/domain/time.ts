/*
 * Time and chance, as this process has them. All of `src` reads them here (`src/client`, which imports nothing, has its
 * own), so that one call of `setTime` moves every clock of ours together: a test, or a test kit, waits 16 hours in no time.
 *
 * `time` is a variable of this module and no argument, since a process has one clock: as an argument it would go through
 * every function that leads to one of the forty files that read it. Who may set it: the root of a program and tests, before
 * anything is started; a timer that waits stays with the time that made it. The pure parts of the domain still have `now`
 * and `random` as arguments.
 *
 * Redis's clock, which decides what is due, is another one (stream/clock.ts). Keys and ids are made by `crypto`, not here.
 */
export interface Timer {
  /** A timer that has fired, or was cancelled, stays as it is. */
  cancel(): void;
  /** The process may end without it. */
  unref(): void;
}

export interface Time {
  /** To be stored and shown. May be set back. */
  epochMs(): number;
  /** To measure and to wait. Never goes back; says nothing about the day. */
  monotonicMs(): number;
  /** From 0 to under 1. */
  random(): number;
  /** Calls once. Never at once: 0 ms is a later turn of the event loop. */
  after(delayMs: number, call: () => void): Timer;
  /** When what has arrived in this turn of the event loop has been read. */
  nextTurn(call: () => void): void;
  /** Nothing else runs meanwhile. */
  blockThread(ms: number): void;
}

const systemTime: Time = {
  epochMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  random: () => Math.random(),
  after(delayMs, call) {
    const timer = setTimeout(call, delayMs);
    return { cancel: () => clearTimeout(timer), unref: () => void timer.unref() };
  },
  nextTurn: (call) => void setImmediate(call),
  blockThread: (ms) => Bun.sleepSync(ms),
};

/** Read where it is used, never kept: it may be set. */
export let time: Time = systemTime;

/** @param next the clock of this machine when it is left out */
export function setTime(next: Time = systemTime): void {
  time = next;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => time.after(ms, resolve));
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => time.nextTurn(resolve));
}

/**
 * What the promise resolves with; undefined when that takes longer. What it was waiting for goes on.
 * @example const worker = await within(5_000, started);
 */
export function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = time.after(ms, () => resolve(undefined));
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}

/** Calls again and again, the first time after one period. */
export function every(periodMs: number, call: () => void): Timer {
  let isReferenced = true;
  let timer = next();
  function next(): Timer {
    const armed = time.after(periodMs, () => {
      timer = next();
      call();
    });
    if (!isReferenced) armed.unref();
    return armed;
  }
  return {
    cancel: () => timer.cancel(),
    unref() {
      isReferenced = false;
      timer.unref();
    },
  };
}

/** Aborts with a TimeoutError, as AbortSignal.timeout does. */
export function timeoutSignal(ms: number): AbortSignal {
  const controller = new AbortController();
  const late = () => controller.abort(new DOMException("The operation timed out.", "TimeoutError"));
  time.after(ms, late).unref();
  return controller.signal;
}
