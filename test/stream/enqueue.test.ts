/* Posting, on a Redis that is well. What happens on one that is not: conditions.test.ts, outages.test.ts. */
import { describe, expect, setSystemTime, test } from "bun:test";
import type { Event } from "../../src/domain/event.ts";
import { key, partitionOf, tagOf } from "../../src/stream/keys.ts";
import { placesOf } from "../../src/stream/messageId.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { settle } from "../../src/stream/settle.ts";
import { promote, take } from "../../src/stream/take.ts";
import { eventWith, eventWithOwn } from "../support/event.ts";
import { keepLines } from "../support/log.ts";
import { until } from "../support/until.ts";
import { accepted, DAY_MS, endDedupWindow, onRedis, owner, redisNow } from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis();

async function scriptCalls(): Promise<number> {
  const stats = await on.server.raw.info("commandstats");
  return [...stats.matchAll(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm)].reduce((sum, [, calls]) => sum + Number(calls), 0);
}

describe("a post", () => {
  test("is scheduled by its delay, and waits in the due set", async () => {
    const before = await redisNow(on.redis);
    const posted = accepted(await on.ingress({ delayMs: 10_000 }).post(eventWith("evt_1")));
    const after = await redisNow(on.redis);
    expect(posted).toMatchObject({ state: "scheduled", duplicate: false, durability: "fsynced" });
    expect(posted.messageId).toMatch(/^msg_[0-9a-hjkmnp-tv-z]{28}$/);
    expect(posted.dueAt).toBeGreaterThanOrEqual(before + 10_000);
    expect(posted.dueAt).toBeLessThanOrEqual(after + 10_000);
    expect(await on.server.raw.zrange(key.due(TAG), "0", "-1", "WITHSCORES")).toEqual([
      posted.messageId,
      String(posted.dueAt),
    ]);
  });

  test("is queued at once without a delay, in the stream of its priority", async () => {
    for (const [rank, priority] of (["critical", "default", "low"] as const).entries()) {
      const posted = accepted(await on.ingress().post(eventWith(`evt_${priority}`, { priority })));
      expect(posted.state).toBe("queued");
      const [entry] = await on.server.raw.xrange(key.queue(TAG, rank), "-", "+");
      expect(entry?.[1]).toEqual(["m", posted.messageId]);
    }
  });

  test("takes its delay from the event before the default, and its priority from the type", async () => {
    const now = await redisNow(on.redis);
    const own = accepted(await on.ingress({ delayMs: 0 }).post(eventWith("evt_1", { delayMs: 60_000 })));
    expect(own.dueAt - now).toBeGreaterThanOrEqual(60_000);
    const none = accepted(await on.ingress({ delayMs: 60_000 }).post(eventWith("evt_2", { delayMs: 0 })));
    expect(none.state).toBe("queued");
    const refund = { ...eventWith("evt_3"), type: "payment.refunded" } as Event;
    const { messageId } = accepted(await on.ingress().post(refund));
    expect((await createMessages(on.redis, 1).byId(messageId))?.priority).toBe("default");
  });

  test("keeps the event as it was, and tells its story from the first line on", async () => {
    const event = eventWith("evt_1");
    const { messageId } = accepted(await on.ingress().post(event));
    expect(JSON.parse((await on.server.raw.hget(key.message(TAG, messageId), "e")) ?? "")).toEqual(event);
    expect(await createMessages(on.redis, 1).byId(messageId)).toMatchObject({
      id: messageId,
      eventId: "evt_1",
      type: "payment.completed",
      bookingId: "BK-evt_1",
      recipient: "an@example.com",
      attempt: 0,
      timeline: [{ state: "queued", reason: "posted" }],
    });
  });

  test("is logged once, with its ids and no address", async () => {
    const kept = keepLines();
    const ingress = on.ingress({ log: kept.log, delayMs: 5_000 });
    const { messageId } = accepted(await ingress.post(eventWith("evt_1")));
    await ingress.post(eventWith("evt_1"));
    expect(kept.lines).toEqual([expect.objectContaining({ msg: "message scheduled", eventId: "evt_1", messageId })]);
    expect(JSON.stringify(kept.lines)).not.toContain("@");
  });

  test("puts no address into the name of a key", async () => {
    await on.ingress().post(eventWith("evt_1", {}, "very.private@example.com"));
    expect((await on.server.raw.keys("*")).join()).not.toContain("private");
  });
});

describe("the same event again", () => {
  test("gets the same answer and makes no second message", async () => {
    const first = accepted(await on.ingress({ delayMs: 5_000 }).post(eventWith("evt_1")));
    const size = await on.server.raw.dbsize();
    const again = accepted(await on.ingress({ delayMs: 5_000 }).post(eventWith("evt_1")));
    expect(again).toEqual({ ...first, duplicate: true });
    expect(await on.server.raw.zcard(key.due(TAG))).toBe(1);
    expect(await on.server.raw.dbsize()).toBe(size);
  });

  test("is told the state that the message has come to since", async () => {
    const ingress = on.ingress();
    const first = accepted(await ingress.post(eventWith("evt_1")));
    const [claim] = await take(on.redis, TAG, "a", 1, [0, 0, 0]);
    if (claim === undefined) throw new Error("nothing to take");
    expect(accepted(await ingress.post(eventWith("evt_1")))).toEqual({ ...first, state: "sending", duplicate: true });
    await settle(owner(on.redis, TAG, "a"), "deferred", [{ ...claim, delayMs: 60_000, reason: "451 busy" }]);
    const deferred = accepted(await ingress.post(eventWith("evt_1")));
    expect(deferred).toMatchObject({ state: "deferred", duplicate: true, messageId: first.messageId });
    expect(deferred.dueAt).toBeGreaterThan(first.dueAt + 50_000);
  });

  test("after the mail was sent is a duplicate too", async () => {
    const ingress = on.ingress();
    await ingress.post(eventWith("evt_1"));
    const [claim] = await take(on.redis, TAG, "a", 1, [0, 0, 0]);
    if (claim === undefined) throw new Error("nothing to take");
    await settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }]);
    expect(await ingress.post(eventWith("evt_1"))).toMatchObject({ state: "sent", duplicate: true });
    expect(await take(on.redis, TAG, "a", 1, [0, 0, 0])).toEqual([]);
  });

  test("in the same turn, too, makes one message", async () => {
    const ingress = on.ingress();
    const posts = await Promise.all(Array.from({ length: 5 }, () => ingress.post(eventWith("evt_1"))));
    expect(posts.map((posted) => accepted(posted).duplicate)).toEqual([false, true, true, true, true]);
    expect(new Set(posts.map((posted) => accepted(posted).messageId)).size).toBe(1);
  });

  test("with fields that we do not know in another order is a duplicate", async () => {
    const ingress = on.ingress();
    const withSeats = (...seats: object[]) => eventWithOwn("evt_1", { seats });
    const { messageId, dueAt, state } = accepted(await ingress.post(withSeats({ row: 4, letter: "A" }, { row: 5 })));
    const again = await ingress.post(withSeats({ letter: "A", row: 4 }, { row: 5 }));
    expect(accepted(again)).toMatchObject({ messageId, dueAt, state, duplicate: true });
    const other = await ingress.post(withSeats({ row: 5 }, { row: 4, letter: "A" }));
    expect(other).toEqual({ kind: "conflict", messageId });
    expect(await on.server.raw.xlen(key.queue(TAG, 0))).toBe(1);
  });

  test("with another body is a conflict that names the first message, and changes nothing", async () => {
    const ingress = on.ingress();
    const { messageId } = accepted(await ingress.post(eventWith("evt_1")));
    expect(await ingress.post(eventWith("evt_1", {}, "other@example.com"))).toEqual({ kind: "conflict", messageId });
    expect(await ingress.post(eventWith("evt_1", { delayMs: 1 }))).toEqual({ kind: "conflict", messageId });
    expect((await createMessages(on.redis, 1).byId(messageId))?.recipient).toBe("an@example.com");
    expect(await on.server.raw.xlen(key.queue(TAG, 0))).toBe(1);
  });

  async function mailOut(): Promise<void> {
    const [claim] = await take(on.redis, TAG, "a", 1, [0, 0, 0]);
    if (claim === undefined) throw new Error("nothing to take");
    await settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }]);
  }

  test("after the dedup window is a new one, and until then its window does not move", async () => {
    const ingress = on.ingress({ dedupTtlMs: 60_000 });
    const first = accepted(await ingress.post(eventWith("evt_1")));
    const hash = key.message(TAG, first.messageId);
    const claim = await on.server.raw.hget(hash, "c");
    expect(accepted(await ingress.post(eventWith("evt_1"))).duplicate).toBeTrue();
    expect(await on.server.raw.hget(hash, "c")).toBe(claim);
    await mailOut();
    await endDedupWindow(on, first.messageId);
    const again = eventWith("evt_1", { priority: "low" });
    const next = accepted(await ingress.post(again));
    expect(next.duplicate).toBeFalse();
    expect(next.messageId).not.toBe(first.messageId);
    expect(accepted(await ingress.post(again))).toEqual({ ...next, duplicate: true });
    const messages = createMessages(on.redis, 1);
    const [old, latest] = [await messages.byId(first.messageId), await messages.byId(next.messageId)];
    expect([old?.priority, latest?.priority]).toEqual(["critical", "low"]);
    const another = await ingress.post(eventWith("evt_1", {}, "other@example.com"));
    expect(another).toEqual({ kind: "conflict", messageId: next.messageId });
  });

  test("counts at the time that it was accepted, however late it comes from the journal", async () => {
    const ingress = on.ingress({ dedupTtlMs: 50 });
    const acceptedAt = Date.now();
    const first = accepted(await ingress.post(eventWith("evt_1")));
    await mailOut();
    await until("the window is over", () => Date.now() > acceptedAt + 200);
    const late = await ingress.post(eventWith("evt_1"), acceptedAt);
    expect(late).toEqual({ ...first, state: "sent", duplicate: true });
    expect(accepted(await ingress.post(eventWith("evt_1"))).duplicate).toBeFalse();
  });

  test("after the dedup window makes no second mail while the first is owed", async () => {
    const ingress = on.ingress();
    const first = accepted(await ingress.post(eventWith("evt_1", { delayMs: 60_000 })));
    await endDedupWindow(on, first.messageId);
    expect(await ingress.post(eventWith("evt_1", { delayMs: 60_000 }))).toEqual({ ...first, duplicate: true });
  });

  test("is found for as long as the latest message of the event is kept, however old the first one is", async () => {
    const ingress = on.ingress({ dedupTtlMs: 60_000 });
    const first = accepted(await ingress.post(eventWith("evt_1")));
    const hash = key.message(TAG, first.messageId);
    await mailOut();
    await endDedupWindow(on, first.messageId);
    await on.server.raw.pexpire(hash, 1_000); // its retention nears its end
    const next = accepted(await ingress.post(eventWith("evt_1")));
    expect(await on.server.raw.pttl(hash)).toBe(-1);
    expect(await on.ingress().rollback("evt_1")).toMatchObject({ kind: "cancelled", messageId: next.messageId });
    expect(await on.server.raw.pttl(hash)).toBeGreaterThan(DAY_MS / 2);
    expect(await take(on.redis, TAG, "a", 1, [0, 0, 0])).toEqual([]);
  });

  test("10,000 of them twice at the same time, from two connections, make 10,000 messages", async () => {
    const events = Array.from({ length: 10_000 }, (_, i) => eventWith(`evt_${i}`));
    const ingresses = [on.ingress({}, await on.open("ingress")), on.ingress({}, await on.open("ingress"))];
    const untilAccepted = async (post: () => ReturnType<(typeof ingresses)[0]["post"]>) => {
      // On a slow machine the last ones of such a burst time out: the same post again is what a producer does.
      for (;;) {
        const posted = await post();
        if (posted.kind !== "unavailable") return accepted(posted);
      }
    };
    const [one, other] = await Promise.all(
      ingresses.map((ingress) => Promise.all(events.map((event) => untilAccepted(() => ingress.post(event))))),
    );
    expect(one?.map(({ messageId }) => messageId)).toEqual(other?.map(({ messageId }) => messageId) as string[]);
    expect(new Set(one?.map(({ messageId }) => messageId)).size).toBe(10_000);
    expect(await on.server.raw.xlen(key.queue(TAG, 0))).toBe(10_000);
  });
});

describe("a full backlog", () => {
  test("refuses what is new, and still knows what it has", async () => {
    const ingress = on.ingress({ maxBacklog: 3 });
    for (const id of ["evt_1", "evt_2"]) accepted(await ingress.post(eventWith(id)));
    accepted(await ingress.post(eventWith("evt_3", { delayMs: 60_000 })));
    const keys = (await on.server.raw.keys("*")).sort();
    expect(await ingress.post(eventWith("evt_4"))).toEqual({ kind: "full", limit: 3 });
    expect((await on.server.raw.keys("*")).sort()).toEqual(keys);
    expect(await ingress.post(eventWith("evt_1"))).toMatchObject({ kind: "accepted", duplicate: true });
    expect(await ingress.post(eventWith("evt_1", {}, "o@example.com"))).toMatchObject({ kind: "conflict" });
  });

  test("is counted through within one turn: as many are accepted as there is room for", async () => {
    const ingress = on.ingress({ maxBacklog: 3 });
    const ids = ["evt_1", "evt_1", "evt_2", "evt_3", "evt_4", "evt_1"];
    const posts = await Promise.all(ids.map((id) => ingress.post(eventWith(id))));
    expect(posts.map(({ kind }) => kind)).toEqual(["accepted", "accepted", "accepted", "accepted", "full", "accepted"]);
  });

  test("has room again when a message was sent", async () => {
    const ingress = on.ingress({ maxBacklog: 1 });
    accepted(await ingress.post(eventWith("evt_1")));
    const [claim] = await take(on.redis, TAG, "a", 1, [0, 0, 0]);
    if (claim === undefined) throw new Error("nothing to take");
    expect((await ingress.post(eventWith("evt_2"))).kind).toBe("full");
    await settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }]);
    expect((await ingress.post(eventWith("evt_2"))).kind).toBe("accepted");
  });
});

describe("posts of one turn of the event loop", () => {
  test("travel together, in two commands of the same size, of at most sixty-four", async () => {
    const ingress = on.ingress();
    await ingress.post(eventWith("first")); // Redis has the script now
    await on.server.raw.config("RESETSTAT");
    await Promise.all(Array.from({ length: 32 }, (_, i) => ingress.post(eventWith(`evt_${i}`))));
    expect(await scriptCalls()).toBe(2);
    await Promise.all(Array.from({ length: 200 }, (_, i) => ingress.post(eventWith(`more_${i}`))));
    expect(await scriptCalls()).toBeWithin(2 + 4, 2 + 7);
  });

  test("get each its own answer, in their order", async () => {
    const ingress = on.ingress();
    const ids = Array.from({ length: 250 }, (_, i) => `evt_${i}`);
    const posts = await Promise.all(ids.map((id) => ingress.post(eventWith(id))));
    const messages = createMessages(on.redis, 1);
    for (const i of [0, 99, 100, 249]) {
      expect((await messages.byId(accepted(posts[i] as never).messageId))?.eventId).toBe(ids[i] as string);
    }
  });
});

describe("the clock", () => {
  test("is Redis's: a jump of the host's changes no due time", async () => {
    const now = await redisNow(on.redis);
    for (const jumpMs of [DAY_MS, -365 * DAY_MS]) {
      setSystemTime(new Date(now + jumpMs));
      try {
        const posted = accepted(await on.ingress().post(eventWith(`evt_${jumpMs}`, { delayMs: 60_000 })));
        expect(Math.abs(posted.dueAt - now - 60_000)).toBeLessThan(5_000);
        expect((await promote(on.redis, TAG, 10)).messages).toEqual([]);
      } finally {
        setSystemTime();
      }
    }
  });
});

describe("four partitions", () => {
  const events = Array.from({ length: 200 }, (_, i) => eventWith(`evt_${i}`));

  test("share the events, each with its own tag on every key", async () => {
    const ingress = on.ingress({ partitions: 4 });
    const posts = await Promise.all(events.map((event) => ingress.post(event)));
    for (const [i, posted] of posts.entries()) {
      const partition = partitionOf(events[i]?.id ?? "", 4);
      const id = accepted(posted).messageId;
      expect(placesOf(id, 4)[0]).toEqual({ tag: tagOf(partition), id });
      expect(await on.server.raw.exists(key.message(tagOf(partition), accepted(posted).messageId))).toBe(1);
    }
    const keys = await on.server.raw.keys("*");
    expect(keys.filter((name) => !/^\{pp:[0-3]\}:/.test(name))).toEqual([]);
    expect(new Set(keys.map((name) => name.slice(0, 6))).size).toBe(4);
  });

  test("are looked into by message and by event, and by nobody else's id", async () => {
    const ingress = on.ingress({ partitions: 4 });
    const messages = createMessages(on.redis, 4);
    for (const event of events.slice(0, 20)) {
      const { messageId } = accepted(await ingress.post(event));
      expect((await messages.byId(messageId))?.eventId).toBe(event.id);
      expect((await messages.byEvent(event.id))?.id).toBe(messageId);
    }
    expect(await messages.byEvent("evt_unknown")).toBeUndefined();
    for (const id of [
      "",
      "msg_",
      "nothing",
      `msg_${"0".repeat(28)}`,
      `msg_${"0".repeat(26)}ff`,
      "msg_entry-1-1",
      "*",
    ]) {
      expect(await messages.byId(id)).toBeUndefined();
    }
  });

  test("travel together in each partition", async () => {
    const ingress = on.ingress({ partitions: 4 });
    await ingress.post(eventWith("first"));
    await on.server.raw.config("RESETSTAT");
    await Promise.all(events.slice(0, 100).map((event) => ingress.post(event)));
    const shares = [0, 1, 2, 3].map((p) => events.slice(0, 100).filter(({ id }) => partitionOf(id, 4) === p).length);
    expect(Math.max(...shares)).toBeLessThanOrEqual(64);
    expect(await scriptCalls()).toBe(2 * shares.length);
  });
});
