/* How long to wait between two tries. Pure: chance and the clock are arguments. */

const BASE_MS = 100;

const MAX_BACKOFF_MS = 2_000;

/**
 * Exponential with full jitter: anything from nothing to the whole step, so that producers that failed together
 * do not come back together. What the service asked for is the least, and the jitter comes on top of it.
 * @param tries made so far, from 1
 * @param random from 0 to under 1
 */
export function waitMs(tries: number, retryAfterMs: number | undefined, random: number): number {
  const step = Math.min(MAX_BACKOFF_MS, BASE_MS * 2 ** (tries - 1));
  return (retryAfterMs ?? 0) + random * step;
}

/**
 * Retry-After (RFC 9110 10.2.3), seconds or an HTTP date, as ms from now; undefined when it is neither.
 * @param now epoch ms
 */
export function parseRetryAfter(value: string | null, now: number): number | undefined {
  const text = value?.trim() ?? "";
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const at = /^[A-Z][a-z]+, /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
