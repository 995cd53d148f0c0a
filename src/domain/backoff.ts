/**
 * How long to wait after failures in a row, ms: twice as long each time.
 * @param failures before this one
 * @example backoffMs(2, 50, 1_000) // 200
 */
export function backoffMs(failures: number, firstMs: number, longestMs: number): number {
  return Math.min(firstMs * 2 ** failures, longestMs);
}
