import { beforeEach, describe, expect, test } from "bun:test";
import { guarded } from "../../src/booking/guarded.ts";
import type { BookingStatus, BookingStore } from "../../src/booking/store.ts";

const DOWN: BookingStatus = { kind: "unavailable", reason: "db: refused" };
const WAITING: BookingStatus = { kind: "unavailable", reason: "db: refused (not asked again yet)" };

/** Ids that reached the store, and how to answer each. */
let asked: string[];
let answers: ((status: BookingStatus) => void)[];
/** Undefined: the question waits for its entry in `answers`. */
let answer: BookingStatus | undefined;
let now: number;
let said: string[];
let closed: number;
let store: BookingStore;

beforeEach(() => {
  [asked, answers, answer, now, said, closed] = [[], [], DOWN, 5_000, [], 0];
  const inner: BookingStore = {
    statusOf(id) {
      asked.push(id);
      if (answer !== undefined) return Promise.resolve(answer);
      return new Promise((resolve) => answers.push(resolve));
    },
    close() {
      closed += 1;
      return Promise.resolve();
    },
  };
  store = guarded(inner, {
    now: () => now,
    onDown: (reason) => said.push(`down: ${reason}`),
    onUp: (awayMs) => said.push(`up after ${awayMs}`),
  });
});

async function askAll(...ids: string[]): Promise<BookingStatus[]> {
  const statuses: BookingStatus[] = [];
  for (const id of ids) statuses.push(await store.statusOf(id));
  return statuses;
}

describe("a store that answers", () => {
  test.each([{ kind: "paid" }, { kind: "pending" }, { kind: "cancelled" }, { kind: "not_found" }] as const)(
    "passes %p on, and says nothing",
    async (status) => {
      answer = status;
      expect(await askAll("a", "b", "c", "d")).toEqual([status, status, status, status]);
      expect({ asked, said }).toEqual({ asked: ["a", "b", "c", "d"], said: [] });
    },
  );

  test("stays closed when an answer comes between the failures", async () => {
    for (const id of ["a", "b", "c", "d"]) {
      answer = DOWN;
      await askAll(`${id}1`, `${id}2`);
      answer = { kind: "not_found" };
      await askAll(`${id}3`);
    }
    expect(asked).toHaveLength(12);
  });

  test("is not opened by one booking that the store chokes on", async () => {
    expect(await askAll(...Array<string>(20).fill("a"))).toEqual(Array<BookingStatus>(20).fill(DOWN));
    expect(asked).toHaveLength(20);
    expect(said).toEqual(["down: db: refused"]);
  });
});

describe("a store that is away", () => {
  test("answers without asking, after three bookings that the store could not tell", async () => {
    expect(await askAll("a", "b", "c", "d", "a")).toEqual([DOWN, DOWN, DOWN, WAITING, WAITING]);
    expect({ asked, said }).toEqual({ asked: ["a", "b", "c"], said: ["down: db: refused"] });
  });

  test("asks again after 0.5, 1, 2, 4, 8, 16 and then each 30 s", async () => {
    await askAll("a", "b", "c");
    const waits: number[] = [];
    for (let probe = 0, waited = 0; probe < 8; ) {
      now += 100;
      waited += 100;
      await askAll("p");
      if (asked.length === 3 + probe + 1) {
        waits.push(waited);
        [probe, waited] = [probe + 1, 0];
      }
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    expect(said).toEqual(["down: db: refused"]);
  });

  test("lets one question at a time through", async () => {
    await askAll("a", "b", "c");
    [now, answer] = [now + 500, undefined];
    const probe = store.statusOf("p");
    now += 60_000;
    expect(await askAll("q", "r")).toEqual([WAITING, WAITING]);
    answers[0]?.(DOWN);
    expect(await probe).toEqual(DOWN);
    expect(await askAll("q")).toEqual([WAITING]);
    expect(asked).toEqual(["a", "b", "c", "p"]);
  });

  test("closes with the first answer, and says so once", async () => {
    await askAll("a", "b", "c");
    [now, answer] = [now + 700, { kind: "pending" }];
    expect(await askAll("p", "q", "r")).toEqual([{ kind: "pending" }, { kind: "pending" }, { kind: "pending" }]);
    expect(said).toEqual(["down: db: refused", "up after 700"]);
  });

  test("begins at 0.5 s again when the store goes away again", async () => {
    await askAll("a", "b", "c");
    for (const wait of [500, 1_000, 2_000]) {
      now += wait;
      await askAll("p");
    }
    [now, answer] = [now + 4_000, { kind: "paid" }];
    await askAll("p");
    answer = DOWN;
    await askAll("a", "b", "c");
    expect(await askAll("d")).toEqual([WAITING]);
    now += 500;
    expect(await askAll("d")).toEqual([DOWN]);
  });

  test("is not held back by failures of questions from before it opened", async () => {
    answer = undefined;
    const early = ["a", "b", "c", "d", "e"].map((id) => store.statusOf(id));
    for (const resolve of answers.slice(0, 3)) resolve(DOWN);
    await Promise.all(early.slice(0, 3));
    now += 400;
    for (const resolve of answers.slice(3)) resolve(DOWN);
    await Promise.all(early);
    [now, answer] = [now + 100, { kind: "paid" }];
    expect(await askAll("p")).toEqual([{ kind: "paid" }]);
  });

  test("is closed by a late answer, too", async () => {
    answer = undefined;
    const slow = store.statusOf("slow");
    answer = DOWN;
    await askAll("a", "b", "c");
    answers[0]?.({ kind: "paid" });
    expect(await slow).toEqual({ kind: "paid" });
    answer = { kind: "cancelled" };
    expect(await askAll("d")).toEqual([{ kind: "cancelled" }]);
    expect(said).toEqual(["down: db: refused", "up after 0"]);
  });
});

test("closing goes through to the store", async () => {
  await store.close();
  expect(closed).toBe(1);
});
