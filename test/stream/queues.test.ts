/* The queues as a whole. */
import { describe, expect, test } from "bun:test";
import { PRIORITIES, STATES } from "../../src/domain/lifecycle.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { RedisAway } from "../../src/stream/fault.ts";
import { FEED_LENGTH, key, tagOf } from "../../src/stream/keys.ts";
import { createQueues } from "../../src/stream/queues.ts";
import { settle } from "../../src/stream/settle.ts";
import type { Taken } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { accepted, DAY_MS, onRedis, owner, takeAll } from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis("--appendonly", "no");

describe("the depths", () => {
  test("are none for each priority where nothing ever was", async () => {
    expect(await createQueues(on.redis, 1).depths()).toEqual(
      PRIORITIES.map((name) => ({ name, paused: false, queued: 0, sending: 0 })),
    );
  });

  test("tell what waits from what a worker has, over all partitions", async () => {
    const ingress = on.ingress({ partitions: 4 });
    await Promise.all(Array.from({ length: 40 }, (_, i) => ingress.post(eventWith(`evt_${i}`))));
    await Promise.all(Array.from({ length: 5 }, (_, i) => ingress.post(eventWith(`low_${i}`, { priority: "low" }))));
    const taken = await takeAll(on.redis, "a", tagOf(2));
    expect(taken.length).toBeGreaterThan(0);
    const depths = await createQueues(on.redis, 4).depths();
    expect(depths.reduce((sum, { sending }) => sum + sending, 0)).toBe(taken.length);
    expect(depths.reduce((sum, { queued }) => sum + queued, 0)).toBe(45 - taken.length);
    expect(depths.map(({ name }) => name)).toEqual([...PRIORITIES]);
    expect(depths[1]).toEqual({ name: "default", paused: false, queued: 0, sending: 0 });
  });

  test("say which are paused, in all partitions, until they are resumed", async () => {
    const queues = createQueues(on.redis, 4);
    await queues.pause("default");
    await queues.pause("default");
    expect((await queues.depths()).map(({ paused }) => paused)).toEqual([false, true, false]);
    for (const tag of [0, 1, 2, 3].map(tagOf)) {
      expect(await on.server.raw.smembers(key.paused(tag))).toEqual(["1"]);
    }
    await queues.resume("default");
    await queues.resume("low");
    expect((await queues.depths()).map(({ paused }) => paused)).toEqual([false, false, false]);
  });
});

describe("the counts", () => {
  test("are of every state, and none where nothing ever was", async () => {
    const counts = await createQueues(on.redis, 1).counts();
    expect(Object.keys(counts).sort()).toEqual([...STATES].sort());
    expect(Object.values(counts).every(({ now, total }) => now === 0 && total === 0)).toBeTrue();
  });

  test("follow the messages from state to state", async () => {
    const ingress = on.ingress();
    for (const id of ["evt_1", "evt_2", "evt_3"]) await ingress.post(eventWith(id));
    await ingress.post(eventWith("evt_1")); // a duplicate is nobody
    await ingress.post(eventWith("evt_4", { delayMs: 60_000 }));
    const [a, b] = (await takeAll(on.redis, "a")) as [Taken, Taken, Taken];
    await settle(owner(on.redis, TAG, "a"), "sent", [{ ...a, reply: "250 ok" }]);
    await settle(owner(on.redis, TAG, "a"), "dead", [{ ...b, reason: "550 no" }]);
    await createDeadLetters(on.redis, 1, DAY_MS).replay(b.messageId, {});
    const counts = await createQueues(on.redis, 1).counts();
    expect(counts.scheduled).toEqual({ now: 1, total: 1 });
    expect(counts.queued).toEqual({ now: 1, total: 4 });
    expect(counts.sending).toEqual({ now: 1, total: 3 });
    expect(counts.sent).toEqual({ now: 1, total: 1 });
    expect(counts.dead).toEqual({ now: 0, total: 1 });
  });
});

test("while Redis is away everything says so", async () => {
  const redis = await on.open("ingress");
  redis.disconnect();
  const queues = createQueues(redis, 1);
  for (const action of [queues.depths(), queues.counts(), queues.pause("low"), queues.resume("low")]) {
    expect(await action.catch((error) => error)).toBeInstanceOf(RedisAway);
  }
});

test("the feed keeps about its length, and forgets the oldest", async () => {
  const fill = `for i = 1, ${FEED_LENGTH + 5_000} do
    redis.call('XADD', KEYS[1], '*', 't', 'msg_old|queued||posted\\n')
  end`;
  await on.server.raw.eval(fill, 1, key.feed(TAG));
  const { messageId } = accepted(await on.ingress().post(eventWith("evt_1")));
  const length = await on.server.raw.xlen(key.feed(TAG));
  expect(length).toBeGreaterThanOrEqual(FEED_LENGTH);
  expect(length).toBeLessThan(FEED_LENGTH + 500);
  const [last] = await on.server.raw.xrevrange(key.feed(TAG), "+", "-", "COUNT", 1);
  expect(last?.[1].join()).toContain(messageId);
});
