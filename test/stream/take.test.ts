/* QUEUED -> SENDING, and what leads to it: promotion, and entries that are not what they should be. */
import { describe, expect, test } from "bun:test";
import { PRIORITIES } from "../../src/domain/lifecycle.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { GROUP, key, tagOf } from "../../src/stream/keys.ts";
import { reclaim } from "../../src/stream/lease.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { createQueues } from "../../src/stream/queues.ts";
import { settle } from "../../src/stream/settle.ts";
import { promote, readHoldings, take } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { until } from "../support/until.ts";
import { accepted, DAY_MS, onRedis, owner, postAndTake, streams, takeAll } from "./fixture.ts";

const TAG = tagOf(0);
const QUEUE = key.queue(TAG, 0);
const on = onRedis("--appendonly", "no");

/** As time would have it. */
async function scheduleAndMakeDue(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { messageId } = accepted(await on.ingress().post(eventWith(`evt_${i}`, { delayMs: 60_000 })));
    await on.server.raw.zadd(key.due(TAG), 1, messageId);
  }
}

/** As many messages of each priority. */
async function fill(...counts: number[]): Promise<void> {
  const ingress = on.ingress();
  for (const [rank, count] of counts.entries()) {
    const priority = PRIORITIES[rank] ?? "low";
    for (let i = 0; i < count; i++) accepted(await ingress.post(eventWith(`${priority}_${i}`, { priority })));
  }
}

async function ranksTaken(free: number, quotas: number[]): Promise<string> {
  return (await take(on.redis, TAG, "a", free, quotas)).map(({ rank }) => rank).join("");
}

describe("taking", () => {
  test("hands out the message with all that an attempt needs, and records the attempt first", async () => {
    const event = eventWith("evt_1", { priority: "low" });
    const { messageId } = accepted(await on.ingress().post(event));
    const [taken] = await takeAll(on.redis, "a");
    expect(taken).toEqual({
      tag: TAG,
      rank: "2",
      entryId: expect.stringMatching(/^\d+-\d+$/),
      messageId,
      attempt: 1,
      attemptsBefore: 0,
      askedInVain: 0,
      json: JSON.stringify(event),
    });
    const message = await createMessages(on.redis, 1).byId(messageId);
    expect(message).toMatchObject({ state: "sending", attempt: 1 });
    expect(message?.timeline.at(-1)).toMatchObject({ state: "sending", attempt: 1 });
  });

  test("tells messages apart also where somebody wrote an event over several lines", async () => {
    await fill(3);
    const raw = on.server.raw;
    const ids = (await raw.xrange(QUEUE, "-", "+")).map(([, fields]) => fields[1] as string);
    const hash = key.message(TAG, ids[1] as string);
    await raw.hset(hash, { e: JSON.stringify(JSON.parse((await raw.hget(hash, "e")) as string), null, 2) });
    const taken = await takeAll(on.redis, "a");
    expect(taken.map(({ messageId, json }) => [messageId, JSON.parse(json).id])).toEqual(
      ids.map((id, i) => [id, `critical_${i}`]),
    );
  });

  test("finds nothing where nothing is, also before there was ever a stream", async () => {
    expect(await takeAll(on.redis, "a")).toEqual([]);
    expect(await takeAll(on.redis, "a")).toEqual([]);
  });

  test("hands each message to one worker, oldest first", async () => {
    await fill(9);
    const [a, b] = await Promise.all([
      take(on.redis, TAG, "a", 5, [0, 0, 0]),
      take(await on.open("worker"), TAG, "b", 5, [0, 0, 0]),
    ]);
    const ids = [...a, ...b].map(({ json }) => JSON.parse(json).id as string).sort();
    expect(ids).toEqual(Array.from({ length: 9 }, (_, i) => `critical_${i}`));
    expect(a.map(({ entryId }) => entryId)).toEqual(a.map(({ entryId }) => entryId).sort());
  });

  test("never hands out more than is free, and none when nothing is", async () => {
    await fill(5, 5, 5);
    expect(await take(on.redis, TAG, "a", 0, [6, 3, 1])).toEqual([]);
    expect((await take(on.redis, TAG, "a", 1, [6, 3, 1])).length).toBe(1);
    expect((await take(on.redis, TAG, "a", 4, [9, 9, 9])).length).toBe(4);
    expect((await streams(on)).pending).toBe(5);
  });

  test("deals by the quotas, then fills up from the highest priority on", async () => {
    await fill(10, 10, 10);
    expect(await ranksTaken(10, [6, 3, 1])).toBe("0000001112");
    expect(await ranksTaken(4, [1, 1, 1])).toBe("0120");
    expect(await ranksTaken(3, [0, 0, 0])).toBe("001");
    expect(await ranksTaken(20, [0, 0, 0])).toBe("1111122222222");
  });

  test("fills up a quota that its priority cannot use", async () => {
    await fill(0, 2, 9);
    expect(await ranksTaken(8, [6, 3, 1])).toBe("11222222");
  });

  test("passes over a paused priority, and goes on when it is resumed", async () => {
    const queues = createQueues(on.redis, 1);
    await fill(2, 2, 2);
    await queues.pause("critical");
    await queues.pause("low");
    expect(await ranksTaken(9, [6, 3, 1])).toBe("11");
    await queues.resume("critical");
    expect(await ranksTaken(9, [6, 3, 1])).toBe("00");
    await queues.resume("low");
    expect(await ranksTaken(9, [6, 3, 1])).toBe("22");
  });
});

describe("promoting", () => {
  test("queues what is due and nothing else, soonest first, and says when the next is due", async () => {
    const ingress = on.ingress();
    expect(await promote(on.redis, TAG, 10)).toEqual({ messages: [], nextMs: undefined });
    accepted(await ingress.post(eventWith("evt_late", { delayMs: 60_000 })));
    const soon = accepted(await ingress.post(eventWith("evt_soon", { delayMs: 2 })));
    const promotion = await until("one is due", async () => {
      const one = await promote(on.redis, TAG, 10);
      return one.messages.length > 0 ? one : undefined;
    });
    expect(promotion.messages).toEqual([{ messageId: soon.messageId, eventId: "evt_soon" }]);
    expect(promotion.nextMs).toBeGreaterThan(50_000);
    expect(promotion.nextMs).toBeLessThanOrEqual(60_000);
    expect((await streams(on)).entries).toEqual([soon.messageId]);
  });

  test("queues no more than it was asked for at a time", async () => {
    await scheduleAndMakeDue(5);
    expect((await promote(on.redis, TAG, 2)).messages.length).toBe(2);
    expect((await promote(on.redis, TAG, 2)).nextMs).toBe(0);
    expect((await promote(on.redis, TAG, 9)).messages.length).toBe(1);
  });

  test("by two workers at the same time queues each message once", async () => {
    await scheduleAndMakeDue(20);
    const other = await on.open("worker");
    await Promise.all([promote(on.redis, TAG, 20), promote(other, TAG, 20), promote(on.redis, TAG, 20)]);
    const { entries } = await streams(on);
    expect([entries.length, new Set(entries).size]).toEqual([20, 20]);
  });

  test("drops ids from the due set whose message is gone, and never stumbles over them", async () => {
    await on.server.raw.zadd(key.due(TAG), 1, "msg_gone", 2, "");
    expect(await promote(on.redis, TAG, 10)).toEqual({ messages: [], nextMs: undefined });
    expect(await on.server.raw.zcard(key.due(TAG))).toBe(0);
  });
});

describe("an entry that names no message", () => {
  const odd: [string, (string | Buffer)[]][] = [
    ["other fields", ["foo", "bar", "baz", "qux"]],
    ["a message that does not exist", ["m", "msg_nobody"]],
    ["an empty name", ["m", ""]],
    ["the name in the second place", ["x", "1", "m", "msg_nobody"]],
    ["bytes that are no text", [Buffer.from([0xff, 0x00, 0x0a]), Buffer.from([0xfe, 0x0d, 0x0a, 0x80])]],
    ["what would break the timeline", ["m", "a\nb|c\r\n"]],
    ["what would break a pattern", ["m", "%d%1%%", "%s", "[[]]"]],
  ];
  test.each(odd)("but %s becomes a dead letter, and never comes again", async (_what, fields) => {
    const entry = await on.server.raw.xadd(QUEUE, "*", ...fields);
    await on.ingress().post(eventWith("evt_1"));
    const taken = await takeAll(on.redis, "a");
    expect(taken.map(({ json }) => JSON.parse(json).id)).toEqual(["evt_1"]);

    const { items } = await createDeadLetters(on.redis, 1, DAY_MS).list({ limit: 10 });
    expect(items.length).toBe(1);
    expect(items[0]?.state).toBe("dead");
    expect(items[0]?.death?.reason).toStartWith("the entry names no message: ");
    expect(items[0]?.timeline.length).toBe(1);
    expect(items[0]?.id).toContain(String(entry));
    expect(await streams(on)).toEqual({ entries: taken.map(({ messageId }) => messageId), pending: 1 });

    expect(await takeAll(on.redis, "b")).toEqual([]);
    expect(await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "resend" })).toHaveLength(1);
    expect((await createDeadLetters(on.redis, 1, DAY_MS).list({ limit: 10 })).items.length).toBe(1);
  });

  test("stops nobody: a thousand of them, and the message behind them is taken soon after", async () => {
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => on.server.raw.xadd(QUEUE, "*", "foo", i)));
    const { messageId } = accepted(await on.ingress().post(eventWith("evt_1")));
    const taken = await until("it is taken", async () => {
      const some = await takeAll(on.redis, "a");
      return some.length > 0 ? some : undefined;
    });
    expect(taken.map((one) => one.messageId)).toEqual([messageId]);
    const groups = await createDeadLetters(on.redis, 1, DAY_MS).groups();
    expect(groups).toEqual([{ fingerprint: "entry-without-message", count: 1_000 }]);
  });

  test("may be dropped by a person; there is nothing to replay", async () => {
    await on.server.raw.xadd(QUEUE, "*", "foo", "bar");
    await takeAll(on.redis, "a");
    const dead = createDeadLetters(on.redis, 1, DAY_MS);
    const id = (await dead.list({ limit: 1 })).items[0]?.id ?? "";
    expect(await dead.replay(id, {})).toBe("not_dead");
    expect(await dead.replay(id, { recipient: "an@example.com" })).toBe("not_dead");
    expect(await dead.drop(id)).toBe("dropped");
    expect((await dead.list({ limit: 1 })).items).toEqual([]);
    expect(await dead.groups()).toEqual([]);
  });

  test("is kept no larger than a person can read", async () => {
    await on.server.raw.xadd(QUEUE, "*", "foo", "x".repeat(1_000_000));
    await takeAll(on.redis, "a");
    const { items } = await createDeadLetters(on.redis, 1, DAY_MS).list({ limit: 1 });
    expect(items[0]?.death?.reason.length).toBeLessThan(2_000);
  });
});

describe("an entry whose message is not queued", () => {
  test.each(["cancelled", "sent", "dead", "deferred"])(
    "but %s leaves the stream, and is not handed out",
    async (state) => {
      const { messageId } = accepted(await on.ingress().post(eventWith("evt_1")));
      await on.server.raw.hset(key.message(TAG, messageId), "s", state);
      expect(await takeAll(on.redis, "a")).toEqual([]);
      expect(await streams(on)).toEqual({ entries: [], pending: 0 });
    },
  );

  test("is no reason to stop: what is behind hundreds of them is handed out in the same call", async () => {
    const ingress = on.ingress();
    const ids = Array.from({ length: 300 }, (_, i) => `evt_${i}`);
    await Promise.all(ids.map((id) => ingress.post(eventWith(id))));
    await Promise.all(ids.map((id) => ingress.rollback(id)));
    await Promise.all(
      ["low", "critical"].map((id) => ingress.post(eventWith(id, { priority: id as "low" | "critical" }))),
    );
    // A worker that gets less than it has room for takes it that nothing waits, and sleeps.
    const taken = await take(on.redis, TAG, "a", 4, [2, 1, 1]);
    expect(taken.map(({ json }) => JSON.parse(json).id).sort()).toEqual(["critical", "low"]);
    expect((await streams(on)).pending).toBe(2);
  });

  test("that stands twice in the stream is sent once", async () => {
    const { messageId } = accepted(await on.ingress().post(eventWith("evt_1")));
    await on.server.raw.xadd(QUEUE, "*", "m", messageId);
    const taken = await takeAll(on.redis, "a");
    expect(taken.length).toBe(1);
    const [claim] = taken as [(typeof taken)[0]];
    // What looks like a reply that was lost is given back: the attempt under way must not be.
    const strays = (await readHoldings(on.redis, TAG, "a", 10)).filter(({ entryId }) => entryId !== claim.entryId);
    await settle(
      owner(on.redis, TAG, "a"),
      "released",
      strays.map((stray) => ({ ...stray, reason: "not known here" })),
    );
    expect(await takeAll(on.redis, "a")).toEqual([]);
    expect(await settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }])).toEqual([true]);
    expect(await takeAll(on.redis, "b")).toEqual([]);
  });
});

describe("a group that is gone", () => {
  test("is made again from the start of the stream, never from its end", async () => {
    await on.ingress().post(eventWith("evt_1"));
    await takeAll(on.redis, "a");
    await on.ingress().post(eventWith("evt_2"));
    await on.server.raw.xgroup("DESTROY", QUEUE, GROUP);
    await on.ingress().post(eventWith("evt_3"));
    const taken = await takeAll(on.redis, "b");
    expect(taken.map(({ json }) => JSON.parse(json).id)).toEqual(["evt_2", "evt_3"]);
  });

  test("leaves what is being sent with its owner, who can settle it before and after", async () => {
    const [one, other] = [await postAndTake(on, "evt_1", "a"), await postAndTake(on, "evt_2", "a")];
    await on.server.raw.xgroup("DESTROY", QUEUE, GROUP);
    expect(await settle(owner(on.redis, TAG, "a"), "sent", [{ ...one, reply: "250 ok" }])).toEqual([true]);
    expect(await takeAll(on.redis, "b")).toEqual([]);
    expect((await readHoldings(on.redis, TAG, "a", 10)).map(({ messageId }) => messageId)).toEqual([other.messageId]);
    expect(await readHoldings(on.redis, TAG, "b", 10)).toEqual([]);
    expect(await settle(owner(on.redis, TAG, "a"), "deferred", [{ ...other, delayMs: 1, reason: "451 busy" }])).toEqual(
      [true],
    );
    expect(await streams(on)).toEqual({ entries: [], pending: 0 });
  });

  test("with its stream takes nothing from what is posted afterwards", async () => {
    await postAndTake(on, "evt_1", "a");
    await on.server.raw.del(QUEUE);
    expect(await takeAll(on.redis, "a")).toEqual([]);
    await postAndTake(on, "evt_2", "a");
  });

  test("is no failure for those who look: depths, strays, reclaiming", async () => {
    await on.ingress().post(eventWith("evt_1"));
    expect(await readHoldings(on.redis, TAG, "a", 10)).toEqual([]);
    expect(await reclaim(on.redis, TAG, { except: "a" }, 0, { maxRetries: 3, onUnknown: "resend" })).toEqual([]);
    expect((await createQueues(on.redis, 1).depths())[0]).toMatchObject({ queued: 1, sending: 0 });
  });
});

test("a stream's key of another type fails the take, and hands out nothing", async () => {
  await on.ingress().post(eventWith("evt_1"));
  await on.server.raw.rename(QUEUE, `${QUEUE}:aside`);
  await on.server.raw.set(QUEUE, "not what it should be");
  expect(takeAll(on.redis, "a")).rejects.toThrow("WRONGTYPE");
  await takeAll(on.redis, "a").catch(() => {});
  await on.server.raw.rename(`${QUEUE}:aside`, QUEUE);
  expect((await takeAll(on.redis, "a")).length).toBe(1);
});
