/* Dead letters in the hands of people. */
import { describe, expect, test } from "bun:test";
import type { Logger } from "pino";
import { PRIORITIES } from "../../src/domain/lifecycle.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { RedisAway } from "../../src/stream/fault.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { createQueues } from "../../src/stream/queues.ts";
import { settle } from "../../src/stream/settle.ts";
import { BadCursor, type DeadLetters, type DeadQuery } from "../../src/stream/store.ts";
import { eventWith } from "../support/event.ts";
import { keepLines } from "../support/log.ts";
import { DAY_MS, onRedis, owner, postAndTake, streams, takeAll } from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis("--appendonly", "no");
const dead = (log?: Logger) => createDeadLetters(on.redis, 1, DAY_MS, log);

async function die(eventId: string, reason = "550 5.1.1 no such user"): Promise<string> {
  const claim = await postAndTake(on, eventId, "a");
  await settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason }]);
  return claim.messageId;
}

async function hold(eventId: string): Promise<string> {
  const claim = await postAndTake(on, eventId, "a");
  await settle(owner(on.redis, TAG, "a"), "unknown", [
    { ...claim, resendDelayMs: undefined, reason: "connection closed after the dot" },
  ]);
  return claim.messageId;
}

async function pages(letters: DeadLetters, query: DeadQuery): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | undefined;
  let count = 0;
  do {
    const page = await letters.list({ ...query, ...(cursor === undefined ? {} : { cursor }) });
    expect(page.items.length).toBeLessThanOrEqual(query.limit);
    ids.push(...page.items.map(({ id }) => id));
    cursor = page.cursor;
    if (++count > 2_000) throw new Error("the pages have no end");
  } while (cursor !== undefined);
  return ids;
}

/** Buries 30 messages over four partitions, with two kinds of reasons. */
async function inFourPartitions(): Promise<string[]> {
  const ingress = on.ingress({ partitions: 4 });
  await Promise.all(Array.from({ length: 30 }, (_, i) => ingress.post(eventWith(`evt_${i}`))));
  const ids: string[] = [];
  for (const tag of [0, 1, 2, 3].map(tagOf)) {
    for (
      let claims = await takeAll(on.redis, "a", tag);
      claims.length > 0;
      claims = await takeAll(on.redis, "a", tag)
    ) {
      ids.push(...claims.map(({ messageId }) => messageId));
      await settle(
        owner(on.redis, tag, "a"),
        "dead",
        claims.map((claim, i) => ({ ...claim, reason: i % 3 === 0 ? "552 full" : "550 unknown" })),
      );
    }
  }
  return ids;
}

test("a replay and a drop write a line each, in the past tense", async () => {
  const { log, lines } = keepLines();
  const [a, b] = [await die("evt_1"), await die("evt_2")];
  await dead(log).replay(a, {});
  await dead(log).drop(b);
  await dead(log).drop(b);
  expect(lines.map(({ msg, eventId, messageId }) => [msg, eventId, messageId])).toEqual([
    ["message replayed", "evt_1", a],
    ["message dropped", "evt_2", b],
  ]);
});

describe("the list", () => {
  test("has dead and held messages with their reason, the newest first", async () => {
    const ids = [await die("evt_1"), await hold("evt_2"), await die("evt_3", "552 5.2.2 full")];
    const { items } = await dead().list({ limit: 10 });
    expect(items.map(({ id }) => id)).toEqual(ids.toReversed());
    expect(items.map(({ state }) => state)).toEqual(["dead", "unknown", "dead"]);
    expect(items.map(({ death }) => death?.reason)).toEqual([
      "552 5.2.2 full",
      "connection closed after the dot",
      "550 5.1.1 no such user",
    ]);
  });

  test("comes in pages of any size, each letter once, over all partitions", async () => {
    const ids = (await inFourPartitions()).sort();
    expect(ids.length).toBe(30);
    const letters = createDeadLetters(on.redis, 4, DAY_MS);
    for (const limit of [1, 4, 7, 30, 200]) expect((await pages(letters, { limit })).sort()).toEqual(ids);
  });

  test("may be of one fingerprint, also when it is rare", async () => {
    await inFourPartitions();
    const letters = createDeadLetters(on.redis, 4, DAY_MS);
    const groups = await letters.groups();
    expect(groups.reduce((sum, { count }) => sum + count, 0)).toBe(30);
    for (const { fingerprint, count } of groups) {
      for (const limit of [1, 7, 200]) {
        const ids = await pages(letters, { fingerprint, limit });
        expect([ids.length, new Set(ids).size]).toEqual([count, count]);
      }
    }
    expect(await pages(letters, { fingerprint: "000000000000", limit: 5 })).toEqual([]);
  });

  test("has a page with less and a cursor when what is wanted is behind thousands of others", async () => {
    const wanted = await die("evt_1", "552 5.2.2 full");
    const pipeline = on.server.raw.pipeline();
    const other = await die("evt_2");
    for (let i = 0; i < 3_000; i++) pipeline.xadd(key.dead(TAG), "*", "m", other, "f", "ffffffffffff");
    await pipeline.exec();
    const { fingerprint } = (await createMessages(on.redis, 1).byId(wanted))?.death ?? {};
    const first = await dead().list({ fingerprint: fingerprint ?? "", limit: 10 });
    expect(first.items).toEqual([]);
    expect(first.cursor).toBeDefined();
    expect(await pages(dead(), { fingerprint: fingerprint ?? "", limit: 10 })).toEqual([wanted]);
  });

  test("gives no letter twice when others die between its pages", async () => {
    for (let i = 0; i < 4; i++) await die(`evt_${i}`);
    const first = await dead().list({ limit: 2 });
    await die("evt_new");
    const second = await dead().list({ limit: 2, cursor: first.cursor ?? "" });
    const ids = [...first.items, ...second.items].map(({ eventId }) => eventId);
    expect(ids).toEqual(["evt_3", "evt_2", "evt_1", "evt_0"]);
  });

  test.each([
    "",
    "x",
    ":",
    "0",
    "1:",
    "-1:",
    "0:abc",
    "0:1",
    "0:1-",
    "0:1-1-1",
    "0:(1-1",
    "1000:1-1",
    "0:99999999999999999-1",
  ])("refuses a cursor that was not made here: %j", async (cursor) => {
    expect(
      await dead()
        .list({ limit: 5, cursor })
        .catch((error) => error),
    ).toBeInstanceOf(BadCursor);
  });

  test("is empty where nobody died, without a cursor", async () => {
    expect(await dead().list({ limit: 5 })).toEqual({ items: [] });
    expect(await dead().groups()).toEqual([]);
  });
});

describe("a replay", () => {
  test("queues the message with a full set of retries, in its priority, and takes it off the list", async () => {
    const id = await die("evt_1");
    expect(await dead().replay(id, {})).toBe("replayed");
    expect((await dead().list({ limit: 5 })).items).toEqual([]);
    expect(await dead().groups()).toEqual([]);
    const message = await createMessages(on.redis, 1).byId(id);
    expect(message).toMatchObject({ state: "queued", attempt: 1 });
    expect(message?.death).toBeUndefined();
    expect(await takeAll(on.redis, "a")).toEqual([
      expect.objectContaining({ attempt: 2, attemptsBefore: 1, rank: "0" }),
    ]);
    expect(PRIORITIES[0]).toBe("critical");
  });

  test("of a held message sends it again", async () => {
    const id = await hold("evt_1");
    expect(await dead().replay(id, {})).toBe("replayed");
    expect((await takeAll(on.redis, "a")).map(({ messageId }) => messageId)).toEqual([id]);
  });

  test("may correct the recipient, and changes nothing else of the event", async () => {
    const id = await die("evt_1");
    expect(await dead().replay(id, { recipient: "right@example.com" })).toBe("replayed");
    const [taken] = await takeAll(on.redis, "a");
    const event = eventWith("evt_1", {}, "right@example.com");
    expect(JSON.parse(taken?.json ?? "")).toEqual({ ...event, options: undefined });
    expect((await createMessages(on.redis, 1).byId(id))?.timeline.at(-2)?.reason).toBe("replayed, edited");
  });

  test("may replace the event's data, which is checked as a post is, and found by what it says now", async () => {
    const id = await die("evt_1");
    const { data } = eventWith("evt_1", {}, "right@example.com");
    const wrong = { ...data, payment: { ...data.payment, amount: 4.5 } };
    expect(await dead().replay(id, { data: wrong })).toEqual({
      problems: [{ pointer: "/data/payment/amount", detail: expect.stringContaining("4.5") }],
    });
    const mended = { ...data, booking: { ...data.booking, id: "BK-mended", title: "Mended" } };
    expect(await dead().replay(id, { data: mended, recipient: "other@example.com" })).toBe("replayed");
    const [taken] = await takeAll(on.redis, "a");
    const customer = { ...data.customer, email: "other@example.com" };
    expect(JSON.parse(taken?.json ?? "")).toMatchObject({ id: "evt_1", data: { ...mended, customer } });
    const messages = createMessages(on.redis, 1);
    for (const query of [{ booking: "BK-mended" }, { recipient: "other@example.com" }]) {
      expect((await messages.list({ ...query, limit: 5 })).items.map((item) => item.id)).toEqual([id]);
    }
    expect((await messages.list({ booking: "BK-evt_1", limit: 5 })).items).toEqual([]);
  });

  test("has the notes of what it says now", async () => {
    const id = await die("evt_1");
    const event = { ...eventWith("evt_1"), notes: [{ pointer: "/occurredAt", detail: "left out: it was" }] };
    await on.server.raw.hset(key.message(TAG, id), "e", JSON.stringify(event));
    const data = { ...event.data, customer: { ...event.data.customer, locale: "vi_VN" } };
    expect(await dead().replay(id, { data })).toBe("replayed");
    const [taken] = await takeAll(on.redis, "a");
    expect(JSON.parse(taken?.json ?? "").notes).toEqual([
      { pointer: "/data/customer/locale", detail: "read as vi-VN" },
    ]);
  });

  test("of an event that cannot be read may be as it is, and with no correction", async () => {
    const id = await die("evt_1");
    await on.server.raw.hset(key.message(TAG, id), "e", "{not json");
    const problems = [{ pointer: "", detail: "the stored event cannot be read, nor edited" }];
    expect(await dead().replay(id, { recipient: "right@example.com" })).toEqual({ problems });
    expect(await dead().replay(id, {})).toBe("replayed");
  });

  test("happens once, however many people press the button", async () => {
    const id = await die("evt_1");
    const results = await Promise.all(Array.from({ length: 5 }, () => dead().replay(id, {})));
    expect(results.sort()).toEqual(["not_dead", "not_dead", "not_dead", "not_dead", "replayed"]);
    expect((await streams(on)).entries.length).toBe(1);
  });

  test("is refused for what is not dead or is not there", async () => {
    expect(await dead().replay("msg_nobody", {})).toBe("not_found");
    expect(await dead().replay("", {})).toBe("not_found");
    const claim = await postAndTake(on, "evt_1", "a");
    expect(await dead().replay(claim.messageId, {})).toBe("not_dead");
    expect(await dead().replay(claim.messageId, { recipient: "x@example.com" })).toBe("not_dead");
    await settle(owner(on.redis, TAG, "a"), "unknown", [{ ...claim, resendDelayMs: 60_000, reason: "lost" }]); // it will be sent again by itself
    expect(await dead().replay(claim.messageId, {})).toBe("not_dead");
  });

  test("in another partition finds its message there", async () => {
    const [id] = (await inFourPartitions()).slice(-1) as [string];
    const letters = createDeadLetters(on.redis, 4, DAY_MS);
    expect(await letters.replay(id, {})).toBe("replayed");
    expect(await letters.replay(id, {})).toBe("not_dead");
  });
});

describe("dropping", () => {
  test("cancels the message, takes it off the list, and keeps it for the retention", async () => {
    const id = await die("evt_1");
    expect(await dead().drop(id)).toBe("dropped");
    expect(await dead().list({ limit: 5 })).toEqual({ items: [] });
    expect(await dead().groups()).toEqual([]);
    const message = await createMessages(on.redis, 1).byId(id);
    expect(message).toMatchObject({ state: "cancelled" });
    expect(message?.timeline.at(-1)?.reason).toBe("dropped by a person");
    const ttl = await on.server.raw.pttl(key.message(TAG, id));
    expect(ttl).toBeGreaterThan(DAY_MS - 60_000);
    expect(ttl).toBeLessThanOrEqual(DAY_MS);
  });

  test("is final: it is not dropped again, not replayed, and never sent", async () => {
    const id = await die("evt_1");
    await dead().drop(id);
    expect(await dead().drop(id)).toBe("not_dead");
    expect(await dead().replay(id, {})).toBe("not_dead");
    expect(await takeAll(on.redis, "a")).toEqual([]);
  });

  test("is refused for what is not dead or is not there", async () => {
    expect(await dead().drop("msg_nobody")).toBe("not_found");
    const claim = await postAndTake(on, "evt_1", "a");
    expect(await dead().drop(claim.messageId)).toBe("not_dead");
  });

  test("and replaying at the same time: one of them wins", async () => {
    const id = await die("evt_1");
    const [dropped, replayed] = await Promise.all([dead().drop(id), dead().replay(id, {})]);
    expect([dropped === "dropped", replayed === "replayed"].filter(Boolean).length).toBe(1);
    const counts = await createQueues(on.redis, 1).counts();
    expect(counts.dead.now).toBe(0);
    expect((await dead().groups()).length).toBe(0);
  });
});

test("while Redis is away everything says so", async () => {
  const redis = await on.open("ingress");
  redis.disconnect();
  const letters = createDeadLetters(redis, 1, DAY_MS);
  for (const action of [
    letters.list({ limit: 1 }),
    letters.groups(),
    letters.replay("msg_x", {}),
    letters.replay("msg_x", { recipient: "a@b" }),
    letters.drop("msg_x"),
  ]) {
    expect(await action.catch((error) => error)).toBeInstanceOf(RedisAway);
  }
});
