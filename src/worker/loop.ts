/*
 * A loop that never dies in silence: it logs the first failure and the recovery, backs off in between, and
 * goes on until it is stopped. A step says how long the loop may sleep; `wake` ends the sleep.
 * That a partition's slot moves the taker says once (rests.ts), for all loops of the partition.
 */
import type { Logger } from "pino";
import { backoffMs } from "../domain/backoff.ts";
import { time } from "../domain/time.ts";
import { SlotMoves } from "../stream/fault.ts";

export interface Loop {
  wake(): void;
  /** Resolves when the step under way has ended. */
  stop(): Promise<void>;
}

const FIRST_BACKOFF_MS = 25;
/** The longest pause after a failure. */
export const LONGEST_BACKOFF_MS = 2_000;

const isSlotMove = (error: unknown) => error instanceof SlotMoves;

/**
 * @param step does one round and returns the ms until the next
 * @param isSaid whether somebody else logs this failure
 */
export function startLoop(
  name: string,
  log: Logger,
  step: () => Promise<number>,
  isSaid: (error: unknown) => boolean = isSlotMove,
): Loop {
  let stopped = false;
  let woken = false;
  let endSleep: (() => void) | undefined;
  let failures = 0;
  /** The log has this failure, and is to have the recovery. */
  let logged = false;

  function sleep(ms: number): Promise<void> {
    if (woken || stopped || ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = time.after(ms, done);
      function done() {
        timer.cancel();
        endSleep = undefined;
        resolve();
      }
      endSleep = done;
    });
  }

  async function round(): Promise<number> {
    try {
      const sleepMs = await step();
      if (logged) log.warn({ loop: name, failures }, "loop recovered");
      failures = 0;
      logged = false;
      return sleepMs;
    } catch (error) {
      if (stopped) return 0;
      failures += 1;
      if (!logged && !isSaid(error)) {
        log.error({ loop: name, err: error }, "loop failed, it goes on");
        logged = true;
      }
      woken = false; // a wake-up must not turn the back-off into a spin
      return backoffMs(failures - 1, FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS);
    }
  }

  async function run(): Promise<void> {
    while (!stopped) {
      woken = false;
      await sleep(await round());
    }
  }

  const running = run();
  return {
    wake() {
      woken = true;
      if (failures === 0) endSleep?.();
    },
    async stop() {
      stopped = true;
      endSleep?.();
      await running;
    },
  };
}
