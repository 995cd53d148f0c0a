import { describe, expect, test } from "bun:test";
import { type Breaker, CLOSED, failed, tried } from "../../src/domain/breaker.ts";

const POLICY = { openAfter: 2, delayMs: (retries: number) => 100 * 2 ** retries };
const fail = (breaker: Breaker, now: number) => failed(breaker, now, POLICY);
const ONCE: Breaker = { kind: "closed", failures: 1 };
const OPEN: Breaker = { kind: "open", since: 10, retries: 0, retryAt: 110 };
const HALF: Breaker = { kind: "half_open", since: 10, retries: 0, triedAt: 110 };

describe("each state and each event", () => {
  test.each([
    ["the first failure of two", fail(CLOSED, 5), ONCE],
    ["the second in a row", fail(ONCE, 10), OPEN],
    ["a failure of what had gone before it opened", fail(OPEN, 60), OPEN],
    ["a try before its time", tried(OPEN, 109), OPEN],
    ["a try at its time", tried(OPEN, 110), HALF],
    ["a try while another one finds out", tried(HALF, 500), HALF],
    ["a try when nothing is wrong", tried(ONCE, 500), ONCE],
    ["the one that finds out fails", fail(HALF, 150), { kind: "open", since: 10, retries: 1, retryAt: 350 }],
  ] as [string, Breaker, Breaker][])("%s", (_, became, expected) => {
    expect(became).toEqual(expected);
  });

  test("it waits longer each time, and remembers since when", () => {
    let breaker: Breaker = fail(ONCE, 10);
    const waits: number[] = [];
    for (let now = 10; waits.length < 4; ) {
      if (breaker.kind !== "open") throw new Error(`it is ${breaker.kind}`);
      waits.push(breaker.retryAt - now);
      now = breaker.retryAt;
      breaker = fail(tried(breaker, now), now);
    }
    expect([waits, breaker]).toMatchObject([[100, 200, 400, 800], { since: 10 }]);
  });
});
