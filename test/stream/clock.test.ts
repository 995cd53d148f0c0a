/* Redis's clock is set back: nothing waits longer for it, what came since is left alone, whatever happens meanwhile. */
import { beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Redis } from "ioredis";
import { NO_READING, watchClock } from "../../src/stream/clock.ts";
import { connect } from "../../src/stream/connect.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { promote } from "../../src/stream/take.ts";
import { check } from "../../src/stream/transaction.ts";
import { eventWith } from "../support/event.ts";
import { openIngress } from "../support/ingress.ts";
import { accepted, onRedis } from "./fixture.ts";

const TAG = tagOf(0);
const HOUR_MS = 3_600_000;
const START = 1_000 * HOUR_MS;
const on = onRedis("--appendonly", "no");
let redis: Redis;

beforeAll(async () => {
  redis = connect(on.server.address, "worker", `local function now() return tonumber(redis.call('GET', 'now')) end`);
  redis.on("error", () => {});
  await redis.connect();
  return () => redis.disconnect();
});
beforeEach(() => setNow(START));

const setNow = (now: number) => on.server.raw.set("now", now);
const ingress = () => openIngress(redis, { firstCheckMs: 30_000 });

async function post(id: string, options: object): Promise<string> {
  return accepted(await ingress().post(eventWith(id, options))).messageId;
}

/** Watches until nothing is left to be moved. */
async function watch(last = NO_READING, elapsedMs = 0, limit = 500): Promise<number[]> {
  const readings: number[] = [];
  for (let left = 1; left > 0; ) {
    const reading = await watchClock(redis, TAG, last, elapsedMs, limit);
    readings.push(reading.setBackMs);
    left = reading.left;
  }
  return readings;
}

async function due(id: string): Promise<number> {
  return (await createMessages(redis, 1).byId(id))?.dueAt ?? Number.NaN;
}

describe("a clock that is set back by two hours", () => {
  test("moves what waits back with it, by what was seen last, also for a worker that has just started", async () => {
    const soon = await post("soon", { delayMs: 10_000 });
    const later = await post("later", { delayMs: 5 * HOUR_MS });
    const held = await post("held", { hold: true });
    expect(await watch()).toEqual([0]);
    await setNow(START - 2 * HOUR_MS);
    expect(await watch()).toEqual([2 * HOUR_MS]);
    expect(await watch()).toEqual([0]);
    expect([await due(soon), await due(later), await due(held)]).toEqual([
      START - 2 * HOUR_MS + 10_000,
      START + 3 * HOUR_MS,
      START - 2 * HOUR_MS + 30_000,
    ]);
    await setNow(START - 2 * HOUR_MS + 10_000);
    expect((await promote(redis, TAG, 10)).messages.map(({ messageId }) => messageId)).toEqual([soon]);
    await setNow(START - 2 * HOUR_MS + 30_000);
    expect((await check(redis, TAG, 10, [1_000])).undecided.map(({ messageId }) => messageId)).toEqual([held]);
  });

  test("leaves alone what was posted since, and is told exactly by who has looked before", async () => {
    const last = await watchClock(redis, TAG, NO_READING, 0, 500);
    await setNow(START + 4_000);
    const before = await post("before", { delayMs: 60_000 });
    await setNow(START - 2 * HOUR_MS + 4_500);
    const since = await post("since", { delayMs: 60_000 });
    await setNow(START - 2 * HOUR_MS + 5_000);
    expect(await watch(last, 5_000)).toEqual([2 * HOUR_MS]);
    expect(await due(before)).toBe(START - 2 * HOUR_MS + 64_000);
    expect(await due(since)).toBe(START - 2 * HOUR_MS + 64_500);
  });

  test("is worked off in steps, in which messages may be decided, and new ones come", async () => {
    const ids = await Promise.all(Array.from({ length: 25 }, (_, n) => post(`evt_${n}`, { delayMs: HOUR_MS })));
    const held = await Promise.all(Array.from({ length: 5 }, (_, n) => post(`held_${n}`, { hold: true })));
    await watch();
    await setNow(START - HOUR_MS);
    await watchClock(redis, TAG, NO_READING, 0, 4);
    for (const n of [0, 12, 24]) expect((await ingress().rollback(`evt_${n}`)).kind).toBe("cancelled");
    for (const n of [0, 4]) expect((await ingress().commit(`held_${n}`)).kind).toBe("committed");
    expect(accepted(await ingress().post(eventWith("evt_3", { delayMs: HOUR_MS }))).duplicate).toBe(true);
    const fresh = await post("fresh", { delayMs: 10_000 });
    await watch(NO_READING, 0, 4);
    const waiting = await redis.zrange(key.due(TAG), "0", "-1", "WITHSCORES");
    const scores = new Map(waiting.flatMap((id, i) => (i % 2 === 0 ? [[id, Number(waiting[i + 1])] as const] : [])));
    const left = ids.filter((_, n) => ![0, 12, 24].includes(n));
    expect([...scores.keys()].sort()).toEqual([...left, fresh].sort());
    for (const id of left) expect(scores.get(id)).toBe(START);
    expect(scores.get(fresh)).toBe(START - HOUR_MS + 10_000);
    expect((await redis.zrange(key.held(TAG), "0", "-1")).sort()).toEqual(held.slice(1, 4).sort());
    expect(await redis.keys("*rewind*")).toEqual([]);
  });

  test("is one step for all workers, and for one that did not get the answer", async () => {
    const later = await post("later", { delayMs: 5 * HOUR_MS });
    const one = await watchClock(redis, TAG, NO_READING, 0, 500);
    const other = await watchClock(redis, TAG, NO_READING, 0, 500);
    await setNow(START - 2 * HOUR_MS + 1_000);
    expect(await watch(one, 1_000)).toEqual([2 * HOUR_MS]);
    expect(await watch(other, 1_000)).toEqual([0]);
    expect(await watch(one, 1_000)).toEqual([0]);
    expect(await due(later)).toBe(START + 3 * HOUR_MS);
    const again = await watchClock(redis, TAG, other, 1_000, 500);
    await setNow(START - 3 * HOUR_MS + 1_000);
    expect(await watch(again, 0)).toEqual([HOUR_MS]);
    expect(await due(later)).toBe(START + 2 * HOUR_MS);
  });

  test("moves what was posted at the very time that it is again", async () => {
    const old = await post("old", { delayMs: 3 * HOUR_MS });
    await setNow(START + 2 * HOUR_MS);
    const last = await watchClock(redis, TAG, NO_READING, 0, 500);
    await setNow(START + 500);
    const fresh = await post("fresh", { delayMs: 10_000 });
    expect(await watch(last, 1_000)).toEqual([2 * HOUR_MS + 500]);
    expect(await due(old)).toBe(START + HOUR_MS - 500);
    expect(await due(fresh)).toBe(START + 10_500);
  });

  test("is found out long after, by the first worker that comes: what was posted since is left alone", async () => {
    const before = await post("before", { delayMs: 10_000 });
    await watch();
    await setNow(START - 2 * HOUR_MS);
    const since = await post("since", { delayMs: 20 * 60_000 });
    const held = await post("held", { hold: true });
    await setNow(START - 2 * HOUR_MS + 15 * 60_000);
    expect(await watch()).toEqual([105 * 60_000]);
    expect(await due(since)).toBe(START - 2 * HOUR_MS + 20 * 60_000);
    expect(await due(held)).toBe(START - 2 * HOUR_MS + 30_000);
    expect(await due(before)).toBe(START - 105 * 60_000 + 10_000);
  });

  test("may be set back again while what waits is still moved", async () => {
    const ids = await Promise.all(Array.from({ length: 6 }, (_, n) => post(`evt_${n}`, { delayMs: HOUR_MS })));
    await watch();
    await setNow(START - HOUR_MS);
    const last = await watchClock(redis, TAG, NO_READING, 0, 2);
    expect(last).toMatchObject({ setBackMs: HOUR_MS, left: 4 });
    await setNow(START - 3 * HOUR_MS);
    expect(await watch(last, 1_000, 2)).toEqual([0, 0]);
    expect(await watch(last, 1_000, 2)).toEqual([2 * HOUR_MS + 1_000, 0, 0]);
    for (const id of ids) expect(Math.abs((await due(id)) - (START - 2 * HOUR_MS))).toBeLessThanOrEqual(1_000);
  });

  test("goes on where what was written down of it was broken by hand", async () => {
    const id = await post("evt_1", { delayMs: 10_000 });
    await on.server.raw.set(`${TAG}:seen`, "\0\0");
    const last = await watchClock(redis, TAG, NO_READING, 0, 500);
    await on.server.raw.hdel(key.message(TAG, id), "l");
    await setNow(START - HOUR_MS);
    expect(await watch(last, 0)).toEqual([HOUR_MS]);
    expect(await redis.zscore(key.due(TAG), id)).toBe(String(START - HOUR_MS + 10_000));
  });

  test("moves nothing that waits for a person", async () => {
    const held = await post("held", { hold: true });
    await on.server.raw.zadd(key.held(TAG), "inf", held);
    await watch();
    await setNow(START - HOUR_MS);
    expect(await watch()).toEqual([HOUR_MS]);
    expect(await redis.zscore(key.held(TAG), held)).toBe("inf");
  });
});

test("a clock that goes on, forward or by a few seconds back, moves nothing, and is written down every ten seconds", async () => {
  const id = await post("evt_1", { delayMs: HOUR_MS });
  const written: string[] = [];
  for (const now of [0, 3_000, 9_000, 6_000, 10_000, 19_000, 20_500, HOUR_MS / 2, HOUR_MS / 2 - 29_000]) {
    await setNow(START + now);
    expect(await watch()).toEqual([0]);
    written.push((await redis.get(`${TAG}:seen`)) ?? "");
  }
  const seen = [0, 0, 0, 0, 10_000, 10_000, 20_500, HOUR_MS / 2, HOUR_MS / 2];
  expect(written).toEqual(seen.map((ms) => `${START + ms} 0`));
  expect(await due(id)).toBe(START + HOUR_MS);
});
