import { describe, expect, test } from "bun:test";
import { parseRetryAfter, waitMs } from "../../src/client/backoff.ts";

describe("the wait between two tries", () => {
  const cases: [tries: number, retryAfterMs: number | undefined, random: number, expected: number][] = [
    [1, undefined, 0, 0],
    [1, undefined, 0.5, 50],
    [2, undefined, 0.5, 100],
    [5, undefined, 0.5, 800],
    [6, undefined, 0.5, 1_000],
    [2_000, undefined, 0.5, 1_000],
    [1, 2_000, 0, 2_000],
    [1, 2_000, 0.5, 2_050],
  ];
  test.each(cases)(
    "after try %d with Retry-After %p and chance %d is %d ms",
    (tries, retryAfterMs, random, expected) => {
      expect(waitMs(tries, retryAfterMs, random)).toBe(expected);
    },
  );
});

describe("Retry-After", () => {
  const now = Date.parse("2026-11-24T09:30:00Z");
  const cases: [string | null, number | undefined][] = [
    ["2", 2_000],
    [" 0 ", 0],
    ["Tue, 24 Nov 2026 09:30:05 GMT", 5_000],
    ["Tuesday, 24-Nov-26 09:30:05 GMT", 5_000],
    ["Tue, 24 Nov 2026 09:29:00 GMT", 0],
    ["-1", undefined],
    ["1.5", undefined],
    ["soon", undefined],
    ["Soon, please", undefined],
    ["", undefined],
    [null, undefined],
  ];
  test.each(cases)("%p is %p ms", (value, expected) => {
    expect(parseRetryAfter(value, now)).toBe(expected as number);
  });
});
