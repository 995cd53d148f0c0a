/*
 * The worker as a child process, so that sending mail shares no event loop with the HTTP service.
 *   - It is started again when it ends, with a growing pause.
 *   - Its standard input is a pipe from here: when that closes, also after kill -9 of this process, the child
 *     knows that it is an orphan and stops.
 */
import type { Logger } from "pino";
import { type Supervised, supervise } from "../stream/supervise.ts";

/** @param env the whole environment of the child */
export function startWorkerChild(
  command: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  log: Logger,
): Supervised {
  const start = () => {
    const child = Bun.spawn([...command], {
      env: { ...env },
      stdin: "pipe",
      stdout: "inherit",
      stderr: "inherit",
      detached: true, // Ctrl-C in a terminal goes to the service, which stops the rest in order
    });
    log.info({ pid: child.pid }, "worker process started");
    return child;
  };
  return supervise("worker", start, log);
}
