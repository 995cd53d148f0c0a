import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatDuration, parseDurationMs } from "../../src/domain/duration.ts";

describe("a duration", () => {
  test.each([
    ["0ms", 0],
    ["0s", 0],
    ["250ms", 250],
    ["30s", 30_000],
    ["5m", 300_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
    ["090s", 90_000],
    ["1.5s", 1_500],
    ["0.25m", 15_000],
    ["1.1d", 95_040_000],
    ["1.001s", 1_001],
  ])("of %p is %p ms", (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });

  test.each([
    "",
    "5",
    "m",
    "5 m",
    " 5m",
    "5m ",
    "-5m",
    "1.5ms",
    "0.0001s",
    "1.s",
    ".5s",
    "1,5s",
    "1e3s",
    "5M",
    "5min",
    "5w",
    "5m5s",
    "٥m",
    "0x10s",
    "5m\n",
  ])("is not what %p says", (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  });

  test("that no number holds exactly is refused", () => {
    expect(parseDurationMs("999999999999999d")).toBeUndefined();
    expect(parseDurationMs("9999999999999999ms")).toBeUndefined();
  });

  test.each([
    [0, "0ms"],
    [1, "1ms"],
    [90_000, "90s"],
    [120_000, "2m"],
    [129_600_000, "36h"],
    [86_400_000, "1d"],
    [86_400_001, "86400001ms"],
  ])("of %p ms is written %p", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  test("is read back from what was written, whatever it is", () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 10 ** 14 }), (ms) => parseDurationMs(formatDuration(ms)) === ms));
  });
});
