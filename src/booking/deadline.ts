import { time } from "../domain/time.ts";

/**
 * Gives `work` at most `ms` milliseconds, from the first byte to the last. Then `signal` is aborted and the promise
 * rejects, whether or not `work` listens: a connection that swallows everything must not hold up its caller. What
 * `work` ends in after that is nobody's concern, so it frees by itself what it holds.
 * @throws Error "no answer within 2000 ms", which is also the signal's reason
 * @example await withDeadline(2000, (signal) => fetch(url, { signal }))
 */
export function withDeadline<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  return new Promise((resolve, reject) => {
    const timer = time.after(ms, () => {
      const late = new Error(`no answer within ${ms} ms`);
      reject(late);
      controller.abort(late);
    });
    work(controller.signal)
      .then(resolve, reject)
      .finally(() => timer.cancel());
  });
}
