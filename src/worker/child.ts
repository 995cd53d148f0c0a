/*
 * The worker as a child process, so that sending mail shares no event loop with the HTTP service.
 *   - It is started again when it ends, with a growing pause.
 *   - Its standard input is a pipe from here: when that closes, also after kill -9 of this process, the child
 *     knows that it is an orphan and stops.
 */
import type { Logger } from "pino";

export interface WorkerChild {
  /** Resolves when it has ended; killed when it has not ended after `deadlineMs`. */
  stop(deadlineMs: number): Promise<void>;
}

const MAX_RESTART_DELAY_MS = 5_000;

/** @param env the whole environment of the child */
export function startWorkerChild(
  command: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  log: Logger,
): WorkerChild {
  let stopping = false;
  let child: Bun.Subprocess<"pipe"> | undefined;
  let endPause: (() => void) | undefined;

  /** Resolves with why it ended. */
  async function runOnce(): Promise<Record<string, unknown>> {
    try {
      child = Bun.spawn([...command], {
        env: { ...env },
        stdin: "pipe",
        stdout: "inherit",
        stderr: "inherit",
        detached: true, // Ctrl-C in a terminal goes to the service, which stops the rest in order
      });
      log.info({ pid: child.pid }, "worker process started");
      return { status: await child.exited, signal: child.signalCode };
    } catch (err) {
      return { err }; // no memory, no process: posts are taken all the same
    }
  }

  async function run(): Promise<void> {
    for (let failures = 0; !stopping; ) {
      const startedAt = performance.now();
      const why = await runOnce();
      if (stopping) return;
      failures = performance.now() - startedAt > 10_000 ? 1 : failures + 1;
      const delayMs = Math.min(50 * 2 ** failures, MAX_RESTART_DELAY_MS);
      log.error({ ...why, delayMs }, "worker ended, starting it again");
      await new Promise<void>((resolve) => {
        endPause = resolve;
        setTimeout(resolve, delayMs);
      });
    }
  }

  const running = run();
  return {
    async stop(deadlineMs) {
      stopping = true;
      endPause?.();
      child?.kill("SIGTERM");
      const timer = setTimeout(() => child?.kill("SIGKILL"), deadlineMs);
      await running;
      clearTimeout(timer);
    },
  };
}
