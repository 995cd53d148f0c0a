/* A child process that is started again whenever it ends, or cannot be started, with a growing pause. */
import type { Logger } from "pino";
import { backoffMs } from "../domain/backoff.ts";
import { time } from "../domain/time.ts";

export interface Supervised {
  /** How often in a row it has ended soon. */
  failures(): number;
  /** Resolves when it has ended; killed when it has not ended after `deadlineMs`. */
  stop(deadlineMs: number): Promise<void>;
}

const FIRST_RESTART_DELAY_MS = 50;
const MAX_RESTART_DELAY_MS = 5_000;

/**
 * @param name for the log
 * @param before waited for before each start
 */
export function supervise(
  name: string,
  start: () => Bun.Subprocess,
  log: Logger,
  before?: (isStopping: () => boolean) => Promise<void>,
): Supervised {
  let stopping = false;
  let failures = 0;
  let child: Bun.Subprocess | undefined;
  let endPause: (() => void) | undefined;

  /** Resolves with why it ended. */
  async function runOnce(): Promise<Record<string, unknown>> {
    try {
      child = start();
      return { status: await child.exited, signal: child.signalCode };
    } catch (err) {
      return { err }; // no memory, no process: the service goes on all the same
    }
  }

  async function run(): Promise<void> {
    for (;;) {
      if (before !== undefined) await before(() => stopping);
      if (stopping) return;
      const startedAt = time.monotonicMs();
      const why = await runOnce();
      if (stopping) return;
      failures = time.monotonicMs() - startedAt > 10_000 ? 1 : failures + 1;
      const delayMs = backoffMs(failures, FIRST_RESTART_DELAY_MS, MAX_RESTART_DELAY_MS);
      log.error({ ...why, delayMs }, `${name} ended, starting it again`);
      await new Promise<void>((resolve) => {
        endPause = resolve;
        time.after(delayMs, resolve);
      });
    }
  }

  const running = run();
  return {
    failures: () => failures,
    async stop(deadlineMs) {
      stopping = true;
      endPause?.();
      child?.kill("SIGTERM");
      const timer = time.after(deadlineMs, () => child?.kill("SIGKILL"));
      await running;
      timer.cancel();
    },
  };
}
