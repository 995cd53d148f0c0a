import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createDealer } from "../../src/worker/priorities.ts";

const SHARES = [0.6, 0.3, 0.1];

describe("the weighted order", () => {
  test("deals ten slots 6:3:1, in one batch or in ten", () => {
    expect(createDealer("weighted")(10)).toEqual([6, 3, 1]);
    const deal = createDealer("weighted");
    const turns = Array.from({ length: 10 }, () => deal(1).indexOf(1));
    expect([0, 1, 2].map((rank) => turns.filter((turn) => turn === rank).length)).toEqual([6, 3, 1]);
  });

  test("deals every slot, and each priority its share, whatever the sizes of the batches", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 37 }), { maxLength: 60 }), (batches) => {
        const deal = createDealer("weighted");
        const sum = [0, 0, 0];
        let total = 0;
        for (const slots of batches) {
          const dealt = deal(slots);
          expect(dealt.reduce((a, b) => a + b, 0)).toBe(slots);
          total += slots;
          for (const [rank, share] of SHARES.entries()) {
            sum[rank] = (sum[rank] ?? 0) + (dealt[rank] ?? 0);
            // Never more than a slot away from the exact share: no priority waits for its turn to catch up.
            expect(Math.abs((sum[rank] ?? 0) - total * share)).toBeLessThan(1);
          }
        }
      }),
    );
  });

  test("starves nobody: each priority has its turn within ten slots, from wherever one looks", () => {
    const deal = createDealer("weighted");
    const order = Array.from({ length: 200 }, () => deal(1).indexOf(1));
    for (let from = 0; from + 10 <= order.length; from++) {
      expect([...new Set(order.slice(from, from + 10))].sort()).toEqual([0, 1, 2]);
    }
  });

  test("does not deal the low ones all at the end", () => {
    const deal = createDealer("weighted");
    const order = Array.from({ length: 10 }, () => deal(1).indexOf(1));
    expect(order[0]).toBe(0);
    expect(order.indexOf(1)).toBeLessThan(3);
    expect(order.indexOf(2)).toBeLessThan(9);
  });

  test("is each worker's own", () => {
    const [one, other] = [createDealer("weighted"), createDealer("weighted")];
    one(7);
    expect(other(10)).toEqual([6, 3, 1]);
  });
});

describe("the strict order", () => {
  test("deals none: the highest priority fills all that is free", () => {
    const deal = createDealer("strict");
    for (const slots of [0, 1, 10, 1_000]) expect(deal(slots)).toEqual([0, 0, 0]);
  });
});
