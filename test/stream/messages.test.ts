/* Finding messages: by id, by event, and in lists. */
import { describe, expect, test } from "bun:test";
import type { State } from "../../src/domain/lifecycle.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { RedisAway } from "../../src/stream/fault.ts";
import { digestOf, key, partitionOf, tagOf } from "../../src/stream/keys.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { settle } from "../../src/stream/settle.ts";
import { BadCursor, type MessageQuery, type Messages } from "../../src/stream/store.ts";
import { promote, type Taken } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { accepted, DAY_MS, onRedis, owner, postAndTake, takeAll } from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis("--appendonly", "no");
const reason = "451 4.3.0 busy";

/** All pages of a list, and how many there were. */
async function pages(messages: Messages, query: MessageQuery): Promise<{ ids: string[]; pages: number }> {
  const ids: string[] = [];
  let cursor: string | undefined;
  let count = 0;
  do {
    const page = await messages.list({ ...query, ...(cursor === undefined ? {} : { cursor }) });
    expect(page.items.length).toBeLessThanOrEqual(query.limit);
    ids.push(...page.items.map(({ id }) => id));
    cursor = page.cursor;
    count += 1;
    if (count > 100) throw new Error("the pages have no end");
  } while (cursor !== undefined);
  return { ids, pages: count };
}

/** Brings a message, the only one that is queued, to a state. */
const bring: Partial<Record<State, (id: string) => Promise<string>>> = {
  scheduled: async (id) => accepted(await on.ingress().post(eventWith(id, { delayMs: 60_000 }))).messageId,
  deferred: async (id) =>
    settled(id, (claim) => settle(owner(on.redis, TAG, "a"), "deferred", [{ ...claim, delayMs: 60_000, reason }])),
  sent: async (id) =>
    settled(id, (claim) => settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }])),
  dead: async (id) => settled(id, (claim) => settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason }])),
  unknown: async (id) =>
    settled(id, (claim) => settle(owner(on.redis, TAG, "a"), "unknown", [{ ...claim, resendDelayMs: 60_000, reason }])),
  cancelled: async (id) => {
    const messageId = (await bring.dead?.(id)) ?? "";
    await createDeadLetters(on.redis, 1, DAY_MS).drop(messageId);
    return messageId;
  },
  sending: async (id) => settled(id, async () => {}),
  queued: async (id) => accepted(await on.ingress().post(eventWith(id))).messageId,
};

async function settled(id: string, settle: (claim: Taken) => Promise<unknown>): Promise<string> {
  const claim = await postAndTake(on, id, "a");
  await settle(claim);
  return claim.messageId;
}

/** Two messages in each state; the queued ones last, since the others are taken on their way. */
async function twoOfEach(): Promise<Map<State, string[]>> {
  const all = new Map<State, string[]>();
  for (const [state, to] of Object.entries(bring) as [State, (id: string) => Promise<string>][]) {
    const ids: string[] = [];
    for (const n of [1, 2]) ids.push(await to(`${state}_${n}`));
    all.set(state, ids);
  }
  return all;
}

describe("a list by state", () => {
  test("has the messages that are in it now, whatever else there is, in pages of any size", async () => {
    const all = await twoOfEach();
    const messages = createMessages(on.redis, 1);
    for (const [state, ids] of all) {
      for (const limit of [1, 2, 3, 200]) {
        expect((await pages(messages, { state, limit })).ids.sort(), `${state}, ${limit} a page`).toEqual(ids.sort());
      }
    }
    expect((await pages(messages, { limit: 3 })).ids.sort()).toEqual([...all.values()].flat().sort());
  });

  test("has a held message with those that will be sent again: both are unknown", async () => {
    const resent = await bring.unknown?.("evt_1");
    const held = await settled("evt_2", (claim) =>
      settle(owner(on.redis, TAG, "a"), "unknown", [{ ...claim, resendDelayMs: undefined, reason }]),
    );
    expect((await pages(createMessages(on.redis, 1), { state: "unknown", limit: 1 })).ids.sort()).toEqual(
      [resent as string, held].sort(),
    );
    expect((await pages(createMessages(on.redis, 1), { state: "dead", limit: 1 })).ids).toEqual([]);
  });

  test("has each message once, also one that came to the state more than once", async () => {
    const first = await postAndTake(on, "evt_1", "a");
    await settle(owner(on.redis, TAG, "a"), "unknown", [{ ...first, resendDelayMs: 0, reason }]);
    await bring.unknown?.("evt_2");
    await promote(on.redis, TAG, 10);
    const [again] = (await takeAll(on.redis, "a")) as [Taken];
    await settle(owner(on.redis, TAG, "a"), "unknown", [{ ...again, resendDelayMs: 60_000, reason }]);
    const messages = createMessages(on.redis, 1);
    for (const limit of [1, 2, 10]) {
      expect((await pages(messages, { state: "unknown", limit })).ids.length, `${limit} a page`).toBe(2);
    }
  });

  test("is the newest first where it is by time, the soonest first where it is by what is due", async () => {
    const messages = createMessages(on.redis, 1);
    const ids = [await bring.sent?.("evt_1"), await bring.sent?.("evt_2"), await bring.sent?.("evt_3")] as string[];
    expect((await pages(messages, { state: "sent", limit: 2 })).ids).toEqual(ids.toReversed());
    const late = accepted(await on.ingress().post(eventWith("late", { delayMs: 90_000 }))).messageId;
    const soon = accepted(await on.ingress().post(eventWith("soon", { delayMs: 30_000 }))).messageId;
    expect((await pages(messages, { state: "scheduled", limit: 1 })).ids).toEqual([soon, late]);
  });

  test("that is by what is due hides none when those of the page before are dealt with meanwhile", async () => {
    const messages = createMessages(on.redis, 1);
    const dueAt = Date.now() + 60_000;
    for (const inOneMs of [false, true]) {
      for (const limit of [1, 2, 3, 7]) {
        await on.server.raw.flushall();
        const ids: string[] = [];
        for (let n = 0; n < 9; n++) ids.push((await bring.scheduled?.(`evt_${n}`)) as string);
        for (const [n, id] of ids.entries()) await on.server.raw.zadd(key.due(TAG), dueAt + (inOneMs ? 0 : n), id);
        const listed: string[] = [];
        let cursor: string | undefined;
        do {
          const page = await messages.list({ state: "scheduled", limit, ...(cursor === undefined ? {} : { cursor }) });
          for (const { id, eventId } of page.items) {
            listed.push(id);
            if (listed.length % 3 > 0) await on.ingress().rollback(eventId);
          }
          cursor = page.cursor;
        } while (cursor !== undefined);
        expect(listed, `${limit} a page`).toEqual(inOneMs ? ids.toSorted() : ids);
      }
    }
  });

  test("that is by what is due repeats none when others of the same time come before them", async () => {
    const messages = createMessages(on.redis, 1);
    const post = async (eventId: string) => {
      const { messageId } = accepted(await on.ingress().post(eventWith(eventId, { delayMs: 60_000 })));
      await on.server.raw.zadd(key.due(TAG), 9_000_000_000_000, messageId);
      return messageId;
    };
    const ids: string[] = [];
    for (let n = 0; n < 40; n++) ids.push(await post(`evt_${n}`));
    const first = await messages.list({ state: "scheduled", limit: 30 });
    for (let n = 40; n < 80; n++) await post(`evt_${n}`);
    const query = { state: "scheduled", limit: 2 } as const;
    const listed = first.items.map(({ id }) => id);
    let cursor = first.cursor;
    while (cursor !== undefined) {
      const page = await messages.list({ ...query, cursor });
      listed.push(...page.items.map(({ id }) => id));
      cursor = page.cursor;
    }
    expect(new Set(listed).size).toBe(listed.length);
    expect(ids.filter((id) => !listed.includes(id))).toEqual([]);
  });

  test("is whole also where the feed no longer is: what moved before it begins comes last, once", async () => {
    const messages = createMessages(on.redis, 1);
    const ids: string[] = [];
    for (let n = 0; n < 12; n++) {
      ids.push((await bring.sent?.(`evt_${n}`)) as string);
      await bring.cancelled?.(`other_${n}`);
    }
    // Down to where the oldest one is that of a message that was sent, and beyond.
    for (let left = 20; left > 0; left--) {
      await on.server.raw.xtrim(key.feed(TAG), "MAXLEN", left);
      const { ids: listed } = await pages(messages, { state: "sent", limit: (left % 4) + 1 });
      expect(listed, `${left} transitions left`).toEqual(ids.toReversed());
    }
    await on.server.raw.del(key.feed(TAG));
    expect((await pages(messages, { state: "sent", limit: 5 })).ids).toEqual(ids.toReversed());
  });

  test("of queued ones goes through the priorities from the highest on", async () => {
    const ids: string[] = [];
    for (const priority of ["low", "critical", "default"] as const) {
      for (const n of [1, 2])
        ids.push(accepted(await on.ingress().post(eventWith(`${priority}_${n}`, { priority }))).messageId);
    }
    const [l1, l2, c1, c2, d1, d2] = ids as [string, string, string, string, string, string];
    for (const limit of [1, 2, 3, 200]) {
      const { ids: listed } = await pages(createMessages(on.redis, 1), { state: "queued", limit });
      expect(listed).toEqual([c1, c2, d1, d2, l1, l2]);
    }
  });

  test("is empty where nothing is, without a cursor", async () => {
    for (const state of ["held", "queued", "sent", "dead", "bounced"] as const) {
      expect(await createMessages(on.redis, 1).list({ state, limit: 5 })).toEqual({ items: [] });
    }
  });
});

describe("a list by booking or recipient", () => {
  test("has the messages of that booking, newest first, and no others", async () => {
    const messages = createMessages(on.redis, 1);
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      const event = eventWith(`evt_${i}`);
      event.data.booking.id = i === 2 ? "BK-other" : "BK-7";
      ids.push(accepted(await on.ingress().post(event)).messageId);
    }
    const wanted = [ids[4], ids[3], ids[1], ids[0]] as string[];
    for (const limit of [1, 2, 4, 200]) {
      expect((await pages(messages, { booking: "BK-7", limit })).ids).toEqual(wanted);
    }
    expect((await pages(messages, { booking: "BK", limit: 5 })).ids).toEqual([]);
  });

  test("finds a recipient in whatever capitals", async () => {
    const messages = createMessages(on.redis, 1);
    const { messageId } = accepted(await on.ingress().post(eventWith("evt_1", {}, "An.Binh@Example.com")));
    await on.ingress().post(eventWith("evt_2", {}, "other@example.com"));
    for (const recipient of ["An.Binh@Example.com", "an.binh@example.com", "AN.BINH@EXAMPLE.COM"]) {
      expect((await pages(messages, { recipient, limit: 5 })).ids).toEqual([messageId]);
    }
    expect((await pages(messages, { recipient: "binh@example.com", limit: 5 })).ids).toEqual([]);
  });

  test("finds what was corrected under the new recipient, and no longer under the old one", async () => {
    const messageId = (await bring.dead?.("evt_1")) as string;
    await createDeadLetters(on.redis, 1, DAY_MS).replay(messageId, { recipient: "right@example.com" });
    const messages = createMessages(on.redis, 1);
    expect((await pages(messages, { recipient: "right@example.com", limit: 5 })).ids).toEqual([messageId]);
    expect((await pages(messages, { recipient: "an@example.com", limit: 5 })).ids).toEqual([]);
  });

  test("finds what was corrected, and what was posted after it", async () => {
    const corrected = (await bring.dead?.("evt_1")) as string;
    await createDeadLetters(on.redis, 1, DAY_MS).replay(corrected, { recipient: "right@example.com" });
    const { messageId } = accepted(await on.ingress().post(eventWith("evt_2", {}, "next@example.com")));
    const messages = createMessages(on.redis, 1);
    const found = async (query: object) => (await pages(messages, { ...query, limit: 5 })).ids.sort();
    expect(await found({ recipient: "right@example.com" })).toEqual([corrected]);
    expect(await found({ recipient: "next@example.com" })).toEqual([messageId]);
    expect(await found({ booking: "BK-evt_2" })).toEqual([messageId]);
    expect(await found({})).toEqual([corrected, messageId].sort());
  });

  test("may be narrowed down by state, and by both", async () => {
    const messages = createMessages(on.redis, 1);
    const sentId = (await bring.sent?.("evt_1")) as string;
    const queuedId = (await bring.queued?.("evt_2")) as string;
    const recipient = "an@example.com";
    expect((await pages(messages, { recipient, state: "sent", limit: 1 })).ids).toEqual([sentId]);
    expect((await pages(messages, { recipient, state: "queued", limit: 1 })).ids).toEqual([queuedId]);
    expect((await pages(messages, { recipient, booking: "BK-evt_2", limit: 1 })).ids).toEqual([queuedId]);
    expect((await pages(messages, { recipient, booking: "BK-evt_2", state: "sent", limit: 1 })).ids).toEqual([]);
  });

  test("has no message of another booking with the same digest", async () => {
    const digests = new Map<string, string>();
    let twins: string[] | undefined;
    for (let i = 0; twins === undefined; i++) {
      const twin = digests.get(digestOf(`BK-${i}`));
      if (twin !== undefined) twins = [twin, `BK-${i}`];
      digests.set(digestOf(`BK-${i}`), `BK-${i}`);
    }
    const ids = await Promise.all(
      twins.map(async (booking, i) => {
        const event = eventWith(`evt_${i}`);
        event.data.booking.id = booking;
        return accepted(await on.ingress().post(event)).messageId;
      }),
    );
    for (const [i, booking] of twins.entries())
      expect((await pages(createMessages(on.redis, 1), { booking, limit: 5 })).ids).toEqual([ids[i] as string]);
  });

  test("finds one of a customer among many others, with one page", async () => {
    const ingress = on.ingress();
    await ingress.post(eventWith("evt_wanted", {}, "Wanted@example.com"));
    await Promise.all(
      Array.from({ length: 30_000 }, (_, i) => ingress.post(eventWith(`evt_${i}`, {}, `c${i}@example.com`))),
    );
    for (const query of [{ recipient: "wanted@EXAMPLE.com" }, { booking: "BK-evt_wanted" }]) {
      const { items, cursor } = await createMessages(on.redis, 1).list({ ...query, limit: 5 });
      expect(items.map(({ eventId }) => eventId)).toEqual(["evt_wanted"]);
      expect(cursor).toBeUndefined();
    }
  });

  test("is newest first", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.unshift(accepted(await on.ingress().post(eventWith(`evt_${i}`))).messageId);
    const messages = createMessages(on.redis, 1);
    for (const query of [{ recipient: "an@example.com" }, {}])
      for (const limit of [2, 5]) expect((await pages(messages, { ...query, limit })).ids).toEqual(ids);
  });

  test("leaves out what has expired, and still has an end", async () => {
    const ids = [(await bring.sent?.("evt_1")) as string, (await bring.sent?.("evt_2")) as string];
    await on.server.raw.del(key.message(TAG, ids[0] as string));
    expect((await pages(createMessages(on.redis, 1), { recipient: "an@example.com", limit: 1 })).ids).toEqual([
      ids[1] as string,
    ]);
  });

  test("gives no message twice when others are posted between its pages", async () => {
    const messages = createMessages(on.redis, 1);
    const recipient = "an@example.com";
    for (let i = 0; i < 4; i++) await on.ingress().post(eventWith(`evt_${i}`));
    const first = await messages.list({ recipient, limit: 2 });
    await on.ingress().post(eventWith("evt_new"));
    const second = await messages.list({ recipient, limit: 2, cursor: first.cursor ?? "" });
    const ids = [...first.items, ...second.items].map(({ eventId }) => eventId);
    expect(ids).toEqual(["evt_3", "evt_2", "evt_1", "evt_0"]);
  });
});

describe("many messages", () => {
  test("come in pages, each once, in every kind of list", async () => {
    const ingress = on.ingress();
    const posts = await Promise.all(
      Array.from({ length: 1_200 }, (_, i) =>
        ingress.post(eventWith(`evt_${i}`, { delayMs: i % 2 === 0 ? 0 : 60_000 })),
      ),
    );
    const all = posts.map((posted) => accepted(posted).messageId).sort();
    const messages = createMessages(on.redis, 1);
    for (const query of [{}, { recipient: "an@example.com" }]) {
      expect((await pages(messages, { ...query, limit: 170 })).ids.sort()).toEqual(all);
    }
    for (const state of ["queued", "scheduled"] as const) {
      expect((await pages(messages, { state, limit: 170 })).ids.length).toBe(600);
    }
  });

  test("that do not match do not make one page read for ever: it has less, and a cursor", async () => {
    const ingress = on.ingress();
    const { messageId } = accepted(await ingress.post(eventWith("evt_first")));
    await Promise.all(Array.from({ length: 500 }, (_, i) => ingress.post(eventWith(`evt_${i}`))));
    await on.server.raw.hset(key.message(TAG, messageId), "s", "sent");
    const query: MessageQuery = { recipient: "an@example.com", state: "sent", limit: 10 };
    expect((await pages(createMessages(on.redis, 1), query)).pages).toBe(1);
    const found = await pages(createMessages(on.redis, 1, 0), query);
    expect(found.ids).toEqual([messageId]);
    expect(found.pages).toBeGreaterThan(1);
  });

  test("in four partitions are one list", async () => {
    const ingress = on.ingress({ partitions: 4 });
    const posts = await Promise.all(
      Array.from({ length: 100 }, (_, i) => ingress.post(eventWith(`evt_${i}`, { delayMs: i % 2 === 0 ? 0 : 60_000 }))),
    );
    const all = posts.map((posted) => accepted(posted).messageId).sort();
    expect(new Set(Array.from({ length: 100 }, (_, i) => partitionOf(`evt_${i}`, 4))).size).toBe(4);
    const messages = createMessages(on.redis, 4);
    for (const query of [{}, { recipient: "an@example.com" }]) {
      expect((await pages(messages, { ...query, limit: 7 })).ids.sort()).toEqual(all);
    }
    for (const state of ["queued", "scheduled"] as const) {
      expect((await pages(messages, { state, limit: 7 })).ids.length).toBe(50);
    }
  });
});

describe("a cursor", () => {
  const made = (text: string) => Buffer.from(text).toString("base64url");
  const queries: Omit<MessageQuery, "limit">[] = [
    {},
    { state: "sent" },
    { state: "dead" },
    { state: "scheduled" },
    { state: "queued" },
    { state: "unknown" },
    { booking: "BK-evt_1" },
    { recipient: "an@example.com" },
  ];

  test.each([
    "",
    "x",
    made(""),
    made("0"),
    made("1:"),
    made("999:"),
    made("-1:"),
    made("0:abc"),
    made("0:1-2-3"),
    made("0:3 1-1"),
    made("0:99999999999999999999-1"),
    made("0:+"),
    made("0:1; FLUSHALL"),
  ])("that was not made here is refused: %j", async (cursor) => {
    for (const query of queries) {
      const listing = createMessages(on.redis, 1).list({ ...query, cursor, limit: 5 });
      expect(
        await listing.then(
          () => "listed",
          (error) => error,
        ),
        JSON.stringify(query),
      ).toBeInstanceOf(BadCursor);
    }
  });

  test("of another kind of list is refused, or goes somewhere: it never fails otherwise", async () => {
    await twoOfEach();
    const messages = createMessages(on.redis, 1);
    for (const position of [
      "",
      "1",
      "1-1",
      "0 ",
      "0 1-1",
      "2 1-1",
      "1 5",
      "9999999999999999",
      "9999999999999999-9999999999999999",
    ]) {
      for (const query of queries) {
        const outcome = await messages.list({ ...query, cursor: made(`0:${position}`), limit: 5 }).then(
          () => "listed",
          (error: Error) => (error instanceof BadCursor ? "refused" : error.message),
        );
        expect(["listed", "refused"], `${JSON.stringify(query)} at ${JSON.stringify(position)}`).toContain(outcome);
      }
    }
  });
});

describe("a message", () => {
  test("is found by its event for as long as the event is known", async () => {
    const { messageId } = accepted(await on.ingress().post(eventWith("evt_1")));
    const messages = createMessages(on.redis, 1);
    expect((await messages.byEvent("evt_1"))?.id).toBe(messageId);
    expect(await messages.byEvent("evt_2")).toBeUndefined();
    await on.server.raw.del(key.message(TAG, messageId));
    expect(await messages.byEvent("evt_1")).toBeUndefined();
  });

  test("whose stored event cannot be read is shown all the same", async () => {
    const { messageId } = accepted(await on.ingress().post(eventWith("evt_1")));
    for (const json of ["", "{", "null", "[]", "{}", '{"data":{}}', '{"data":{"booking":{"id":1}}}']) {
      await on.server.raw.hset(key.message(TAG, messageId), "e", json);
      expect(await createMessages(on.redis, 1).byId(messageId)).toMatchObject({ id: messageId, state: "queued" });
    }
  });

  test("cannot be read while Redis is away, and it is said so", async () => {
    const redis = await on.open("ingress");
    redis.disconnect();
    const messages = createMessages(redis, 1);
    for (const read of [messages.byId("msg_x"), messages.byEvent("evt_1"), messages.list({ limit: 5 })]) {
      expect(await read.catch((error) => error)).toBeInstanceOf(RedisAway);
    }
  });
});
