/* The taker on a real Redis: what fills its slots, and what does not make it ask. */
import { afterEach, describe, expect, test } from "bun:test";
import { PRIORITIES } from "../../src/domain/lifecycle.ts";
import { GROUP, key, partitionOf, tagOf, tagsOf } from "../../src/stream/keys.ts";
import { settle } from "../../src/stream/settle.ts";
import type { Taken } from "../../src/stream/take.ts";
import { createDealer } from "../../src/worker/priorities.ts";
import { Taker } from "../../src/worker/taker.ts";
import { accepted, DAY_MS, onRedis, owner } from "../stream/fixture.ts";
import { eventWith } from "../support/event.ts";
import { keepLines } from "../support/log.ts";
import { until } from "../support/until.ts";

const on = onRedis("--appendonly", "no");
const takers: Taker[] = [];
const held: (() => void)[] = [];
afterEach(async () => {
  const stopped = Promise.all(takers.splice(0).map((taker) => taker.stop().then(() => taker.idle())));
  for (const goOn of held.splice(0)) goOn();
  await stopped;
});

/** Settles what it takes when `attempt` has ended, and keeps count of the attempts that are open. */
function start(
  partitions: number,
  concurrency: number,
  attempt: (taken: Taken) => Promise<unknown>,
  createDealer: () => (slots: number) => number[] = () => (slots) => [slots, 0, 0],
) {
  const open = { now: 0, most: 0 };
  const taker = new Taker({
    redis: on.redis,
    tags: tagsOf(partitions),
    consumer: "a",
    retentionMs: DAY_MS,
    concurrency,
    allowance: (free) => free,
    createDealer,
    async begin(taken, slot) {
      open.now += 1;
      open.most = Math.max(open.most, open.now);
      await attempt(taken);
      open.now -= 1;
      const written = settle(owner(on.redis, taken.tag, "a"), "sent", [{ ...taken, reply: "250 ok" }]);
      slot.ended();
      await written;
      slot.settled();
    },
    log: keepLines().log,
  });
  takers.push(taker);
  return { taker, open };
}

/** One after the other in the partition, as many as are asked for. */
async function post(counts: readonly number[], prefix: string): Promise<void> {
  const ingress = on.ingress({ partitions: counts.length });
  const left = [...counts];
  for (let i = 0; left.some((count) => count > 0); i++) {
    const partition = partitionOf(`${prefix}_${i}`, counts.length);
    if ((left[partition] ?? 0) === 0) continue;
    left[partition] = (left[partition] ?? 0) - 1;
    accepted(await ingress.post(eventWith(`${prefix}_${i}`)));
  }
}

async function takes(): Promise<number> {
  // Each take asks once which queues are paused.
  return Number(/cmdstat_smembers:calls=(\d+)/.exec(await on.server.raw.info("commandstats"))?.[1] ?? 0);
}

describe("slots", () => {
  // The slow ones never end by themselves, so nothing but the taker itself can fill what is left.
  test("are filled without waiting for the poll, in whatever partition the messages wait", async () => {
    for (let round = 0; round < 20; round++) {
      let begun = 0;
      await on.server.raw.flushall();
      await post([5 + (round % 8), 40], `evt_${round}`);
      const attempt = () => (++begun <= 8 ? Bun.sleep(20) : new Promise<void>((resolve) => held.push(resolve)));
      const { taker, open } = start(2, 8, attempt);
      await until("all slots are taken", () => begun >= 16 && open.now === 8, 800);
      const idle = taker.stop().then(() => taker.idle());
      for (const goOn of held.splice(0)) goOn();
      await idle;
    }
  });

  test.each([
    [1, 1],
    [1, 3],
    [2, 8],
    [3, 5],
  ])("in %p partitions, %p of them, are never more than that, and all is sent", async (partitions, concurrency) => {
    let ended = 0;
    const counts = Array.from({ length: partitions }, () => 60);
    await post(counts, "evt");
    const attempt = async () => {
      await Bun.sleep(Math.random() * 3);
      ended += 1;
    };
    const { open } = start(partitions, concurrency, attempt);
    await until("all is sent", () => ended === 60 * partitions);
    expect(open.most).toBe(concurrency);
  });
});

test("each partition has its turns, and its priorities their shares, also where the turns come one slot at a time", async () => {
  const partitions = 2;
  const ingress = on.ingress({ partitions });
  for (const priority of PRIORITIES) {
    const ids = Array.from({ length: 120 }, (_, i) => `${priority}_${i}`);
    await Promise.all(ids.map((id) => ingress.post(eventWith(id, { delayMs: 0, priority }))));
  }
  const begun: Taken[] = [];
  start(
    partitions,
    1,
    async (taken) => begun.push(taken),
    () => createDealer("weighted"),
  );
  await until("a hundred are begun", () => begun.length >= 100);
  for (const tag of tagsOf(partitions)) {
    const ranks = begun.slice(0, 100).flatMap((taken) => (taken.tag === tag ? [Number(taken.rank)] : []));
    expect(ranks.length).toBe(50);
    const dealt = createDealer("weighted")(ranks.length);
    expect([0, 1, 2].map((rank) => ranks.filter((one) => one === rank).length)).toEqual(dealt);
  }
});

test("an empty queue is not asked for each slot that comes free", async () => {
  const { taker, open } = start(1, 50, () => new Promise<void>((resolve) => held.push(resolve)));
  await post([20], "evt");
  taker.wake();
  await until("all are begun", () => open.now === 20);
  await on.server.raw.config("RESETSTAT");
  for (const [i, goOn] of held.splice(0).entries()) {
    goOn();
    await until("it has ended", () => taker.inFlight.size === 19 - i);
  }
  // The poll, once a second.
  expect(await takes()).toBeLessThanOrEqual(2);
});

describe("a partition that fails", () => {
  test("is left out for a while, the others go on, and it has its turn when it works again", async () => {
    await post([0, 300], "evt");
    const broken = key.queue(tagOf(0), 0);
    await on.server.raw.set(broken, "no stream");
    let begun = 0;
    const { taker } = start(2, 10, async () => {
      begun += 1;
    });
    await until("the other one's are begun", () => begun === 300);
    await until("they are settled", () => taker.inFlight.size === 0);
    await on.server.raw.del(broken);
    await post([20, 0], "later");
    await until("its own are begun", () => begun === 320);
  });
});

test("an entry that a failover hands out again is not begun twice while its attempt is under way", async () => {
  const begun: string[] = [];
  const { taker } = start(1, 4, (taken) => {
    begun.push(taken.messageId);
    return new Promise<void>((resolve) => held.push(resolve));
  });
  await post([1], "evt");
  taker.wake();
  await until("it is begun", () => begun.length === 1);
  // The new master has not heard of the take.
  const [id = ""] = begun;
  const [tag, queue] = [tagOf(0), key.queue(tagOf(0), 0)];
  const [entry] = await on.server.raw.xrange(queue, "-", "+");
  await on.server.raw.hset(key.message(tag, id), { s: "queued" });
  await on.server.raw.hdel(key.message(tag, id), "o");
  await on.server.raw.xack(queue, GROUP, entry?.[0] ?? "");
  await on.server.raw.xgroup("SETID", queue, GROUP, "0");
  const before = await takes();
  taker.wake();
  await until("it was taken again", async () => {
    const pending = (await on.server.raw.xpending(queue, GROUP)) as [number];
    return pending[0] === 1 && (await takes()) > before;
  });
  await post([1], "later");
  taker.wake();
  await until("a later one is begun", () => begun.length >= 2);
  expect(new Set(begun).size).toBe(begun.length);
});
