import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { time } from "../../src/domain/time.ts";
import { createRelayBreaker, probeDelayMs, type RelayBreaker } from "../../src/worker/relayBreaker.ts";
import { keepLines, type Lines } from "../support/log.ts";
import { virtualTime } from "../support/virtualTime.ts";

const clock = virtualTime();

let kept: Lines;
let breaker: RelayBreaker;
/** What the relay says to a probe; undefined: it is well. */
let wrong: string | undefined;
/** ms after the start of the test. */
let probedAt: number[];
let readied: number;

beforeEach(() => {
  kept = keepLines();
  wrong = undefined;
  probedAt = [];
  readied = 0;
  const startedAt = time.monotonicMs();
  breaker = createRelayBreaker(
    async () => {
      probedAt.push(time.monotonicMs() - startedAt);
      return wrong;
    },
    () => {
      readied += 1;
    },
    kept.log,
  );
});
afterEach(() => {
  breaker.stop();
});

function said(msg: string): Record<string, unknown>[] {
  return kept.lines.filter((line) => line["msg"] === msg);
}

describe("a closed breaker", () => {
  test("lets everything through", () => {
    expect(breaker.allowance(10, () => 0)).toBe(10);
    expect(breaker.allowance(3, () => 7)).toBe(3);
    expect(breaker.allowance(0, () => 10)).toBe(0);
  });

  test("says nothing and probes nothing while the relay answers", async () => {
    for (let i = 0; i < 10; i++) breaker.answered();
    await clock.advance(60_000);
    expect({ lines: kept.lines, probedAt, readied }).toEqual({ lines: [], probedAt: [], readied: 0 });
  });
});

describe("an open breaker", () => {
  test("lets nothing through from the first fault on", () => {
    breaker.fault("connection refused");
    expect(breaker.allowance(10, () => 0)).toBe(0);
    expect(breaker.allowance(10, () => 5)).toBe(0);
  });

  test("probes at once: often only an idle connection had been closed", async () => {
    breaker.fault("421 idle");
    await clock.advance(0);
    expect(probedAt).toEqual([0]);
  });

  test("probes after 0, 0.5, 1, 2, 4 … 30 s, and goes on for as long as it takes", async () => {
    wrong = "connection refused";
    breaker.fault("connection refused");
    await clock.advance(130_000);
    const delays = probedAt.map((ms, i) => ms - (probedAt[i - 1] ?? 0));
    expect(delays.slice(0, 10)).toEqual([0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  });

  test("is one, however many attempts fail on the same fault", async () => {
    wrong = "connection refused";
    for (let i = 0; i < 10; i++) breaker.fault("connection refused");
    await clock.advance(0);
    expect(probedAt).toEqual([0]);
    expect(said("relay is away, the queue waits")).toEqual([expect.objectContaining({ reason: "connection refused" })]);
  });

  test("stays open when an attempt from before the fault gets its answer after it", async () => {
    wrong = "connection refused";
    breaker.fault("connection refused");
    breaker.answered();
    expect(breaker.allowance(10, () => 0)).toBe(0);
    await clock.advance(0);
    expect(said("relay is back")).toEqual([]);
  });

  test("goes on probing when a probe breaks instead of saying what is wrong", async () => {
    breaker.stop();
    let probes = 0;
    breaker = createRelayBreaker(
      async () => {
        probes += 1;
        if (probes === 1) throw new Error("no such host");
        return undefined;
      },
      () => {},
      kept.log,
    );
    breaker.fault("connection refused");
    await clock.advance(2_000);
    expect(probes).toBe(2);
    expect(breaker.allowance(10, () => 0)).toBe(1);
  });

  test("asks nothing more once it is stopped", async () => {
    wrong = "connection refused";
    breaker.fault("connection refused");
    await clock.advance(0);
    breaker.stop();
    await clock.advance(60_000);
    expect(probedAt).toEqual([0]);
  });

  test("that is stopped during a probe neither opens the queue nor probes again", async () => {
    let answer = (_: string | undefined) => {};
    breaker.stop();
    breaker = createRelayBreaker(
      () => new Promise((resolve) => (answer = resolve)),
      () => {
        readied += 1;
      },
      kept.log,
    );
    breaker.fault("away");
    await clock.advance(0);
    breaker.stop();
    answer(undefined);
    await clock.advance(1_000);
    expect(readied).toBe(0);
  });
});

describe("a half-open breaker", () => {
  beforeEach(async () => {
    breaker.fault("connection refused");
    await clock.advance(0);
  });

  test("says that messages may be taken, and lets one through at a time", () => {
    expect(readied).toBe(1);
    expect(breaker.allowance(10, () => 0)).toBe(1);
    expect(breaker.allowance(9, () => 1)).toBe(0);
    expect(breaker.allowance(0, () => 0)).toBe(0);
  });

  test("does not wait for those that were asked for before, nor long for the one that it let through", async () => {
    const askedSinceOf = (askedAt: number) => (at: number) => (askedAt < at ? 0 : 1);
    const now = time.monotonicMs();
    expect(breaker.allowance(10, askedSinceOf(now - 1_000))).toBe(1);
    expect(breaker.allowance(9, askedSinceOf(now))).toBe(0);
    await clock.advance(9_000);
    expect(breaker.allowance(9, askedSinceOf(now))).toBe(0);
    await clock.advance(2_000);
    expect(breaker.allowance(9, askedSinceOf(now))).toBe(1);
  });

  test("does not say yet that the relay is back: a probe hands nothing over", () => {
    expect(said("relay is back")).toEqual([]);
  });

  test("closes when the relay has answered for a message, and says for how long it was away", () => {
    breaker.answered();
    expect(breaker.allowance(10, () => 0)).toBe(10);
    expect(readied).toBe(2);
    expect(said("relay is back")).toEqual([expect.objectContaining({ awayMs: expect.any(Number) })]);
    breaker.answered();
    expect(said("relay is back").length).toBe(1);
  });

  test("opens again on another fault, waits longer each time, and says nothing twice", async () => {
    for (let i = 0; i < 3; i++) {
      breaker.fault("421 too busy");
      expect(breaker.allowance(10, () => 0)).toBe(0);
      await clock.advance(5_000);
      expect(breaker.allowance(10, () => 0)).toBe(1);
    }
    const delays = probedAt.map((ms, i) => ms - 5_000 * Math.max(0, i - 1));
    expect(delays).toEqual([0, 500, 1_000, 2_000]);
    expect(said("relay is away, the queue waits").length).toBe(1);
  });

  test("begins anew with a probe at once when the next fault comes after it was closed", async () => {
    breaker.answered();
    breaker.fault("connection refused");
    await clock.advance(0);
    expect(probedAt).toEqual([0, 0]);
    expect(said("relay is away, the queue waits").length).toBe(2);
  });
});

test("the back-off doubles from half a second to thirty seconds", () => {
  expect([0, 1, 2, 3, 4, 5, 6, 7, 8, 1_000].map(probeDelayMs)).toEqual([
    0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
  ]);
});
