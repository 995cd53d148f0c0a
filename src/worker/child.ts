/*
 * The worker as a child process, so that sending mail shares no event loop with the HTTP service.
 *   - It is started again when it ends, with a growing pause.
 *   - Its standard input is a pipe from here: when that closes, also after kill -9 of this process, the child
 *     knows that it is an orphan and stops.
 *   - It is nicer than the service, so that a post does not wait for a mail where cores are short. For that it stays in
 *     the service's session: Linux may weigh whole sessions against each other, and niceness within one alone
 *     (autogroup, sched(7)). So Ctrl-C reaches it, too, and it leaves that to the service (main.ts).
 */
import { constants, getPriority, setPriority } from "node:os";
import type { Logger } from "pino";
import { type Supervised, supervise } from "../stream/supervise.ts";

/** On top of the service's: where both want one core it has three quarters of it. */
const NICE = 5;

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
    });
    try {
      const nice = Math.min(getPriority() + NICE, constants.priority.PRIORITY_LOW);
      setPriority(child.pid, nice); // before it makes threads, which have what their maker has
    } catch (err) {
      log.warn({ err }, "worker has the service's priority");
    }
    log.info({ pid: child.pid }, "worker process started");
    return child;
  };
  return supervise("worker", start, log);
}
