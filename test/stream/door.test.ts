/* What the door lets in, kept in Redis and found again: any id, no booking, notes. */
import { describe, expect, test } from "bun:test";
import type { Event } from "../../src/domain/event.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { check, commit, rollback } from "../../src/stream/transaction.ts";
import { parseEvent } from "../../src/types/parse.ts";
import { eventWith } from "../support/event.ts";
import { accepted, onRedis, takeAll } from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis();

function admitted(input: unknown): Event {
  const parsed = parseEvent(input);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.event;
}

const IDS = ["đơn n°110", "a|b c %0a\\n", "注文 42", "-", "posted; x", "0 0 0", "😀".repeat(196)];

describe("an event's id", () => {
  test.each(IDS)("is kept as it is, and found, held, committed and taken: %s", async (id) => {
    const post = on.ingress();
    const { messageId } = accepted(await post.post(admitted(eventWith(id, { hold: true }))));
    expect(accepted(await post.post(admitted(eventWith(id, { hold: true }))))).toMatchObject({
      messageId,
      duplicate: true,
    });
    const found = await createMessages(on.redis, 1).byEvent(id);
    expect(found).toMatchObject({ id: messageId, eventId: id, state: "held" });
    await on.server.raw.zadd(key.held(TAG), "0", messageId);
    const { undecided } = await check(on.redis, TAG, 10, [1_000]);
    expect(undecided).toEqual([expect.objectContaining({ messageId, eventId: id })]);
    await commit(on.redis, TAG, messageId);
    const [taken] = await takeAll(on.redis, "a");
    expect(JSON.parse(taken?.json ?? "")).toMatchObject({ id });
  });

  test("is the same in a batch with notes of others, and in one with its own", async () => {
    const post = on.ingress();
    const events = IDS.map((id, i) => {
      const event = eventWith(id);
      return admitted(i % 2 === 0 ? event : { ...event, occurredAt: `yesterday ${i}` });
    });
    const posted = await Promise.all(events.map((event) => post.post(event)));
    for (const [i, event] of events.entries()) {
      const { messageId } = accepted(posted[i] as (typeof posted)[number]);
      const eventKey = await on.server.raw.hget(key.message(TAG, messageId), "c");
      expect(eventKey?.slice(36)).toBe(event.id);
      const message = await createMessages(on.redis, 1).byEvent(event.id);
      expect(message?.timeline[0]?.reason).toBe(i % 2 === 0 ? "posted" : "posted; /occurredAt left out");
      expect(message?.event).toEqual(event);
    }
    expect((await Promise.all(events.map((event) => post.post(event)))).map((one) => accepted(one).duplicate)).toEqual(
      IDS.map(() => true),
    );
  });
});

describe("an event with notes", () => {
  const spelled = (locale: string, hold = false) => {
    const event = eventWith("evt_1", { hold });
    return { ...event, data: { ...event.data, customer: { ...event.data.customer, locale } } };
  };

  test("is a duplicate of the same in another spelling, and of no other", async () => {
    const post = on.ingress();
    const { messageId } = accepted(await post.post(admitted(spelled("vi_VN"))));
    expect(accepted(await post.post(admitted(spelled("vi-VN"))))).toMatchObject({ messageId, duplicate: true });
    expect(await post.post(admitted(spelled("en_GB")))).toEqual({ kind: "conflict", messageId });
    const kept = await createMessages(on.redis, 1).byId(messageId);
    expect(kept?.event?.notes).toEqual([{ pointer: "/data/customer/locale", detail: "read as vi-VN" }]);
  });

  test.each([
    ["held", { hold: true }],
    ["scheduled", { delayMs: 60_000 }],
    ["queued", { delayMs: 0 }],
  ])("says so in the first line of its timeline when it is %s", async (state, options) => {
    const { messageId } = accepted(await on.ingress().post(admitted({ ...spelled("vi_VN"), options })));
    const message = await createMessages(on.redis, 1).byId(messageId);
    expect(message?.timeline[0]).toMatchObject({ state, reason: "posted; /data/customer/locale read as vi-VN" });
  });

  test("says so when it was rolled back before, too", async () => {
    const event = admitted(spelled("vi_VN"));
    const first = accepted(await on.ingress().post(event)).messageId;
    await on.server.raw.flushall();
    await rollback(on.redis, TAG, first, 60_000);
    expect(accepted(await on.ingress().post(event)).state).toBe("cancelled");
    const message = await createMessages(on.redis, 1).byId(first);
    expect(message?.timeline[0]?.reason).toBe("posted; /data/customer/locale read as vi-VN");
  });
});

describe("an event without a booking", () => {
  test("is listed, has no booking's id, and is found by its recipient alone", async () => {
    const { data, ...event } = eventWith("evt_1");
    const bare = { payment: { amount: 1 }, customer: data.customer };
    const { messageId } = accepted(await on.ingress().post(admitted({ ...event, data: bare })));
    const messages = createMessages(on.redis, 1);
    for (const query of [{}, { recipient: "an@example.com" }, { recipient: ["x@example.com", "An@example.com"] }]) {
      const { items } = await messages.list({ ...query, limit: 5 });
      expect(items).toMatchObject([{ id: messageId, bookingId: "" }]);
    }
    for (const booking of ["--------", "", "undefined"]) {
      expect((await messages.list({ booking, limit: 5 })).items).toEqual([]);
    }
  });
});

describe("a list by booking", () => {
  test("finds one of several ids, and a page of each", async () => {
    for (const [i, id] of ["BK 1", "BK+1", "BK-1"].entries()) {
      const event = eventWith(`evt_${i}`);
      event.data.booking.id = id;
      await on.ingress().post(event);
    }
    const messages = createMessages(on.redis, 1);
    const ids: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await messages.list({
        booking: ["BK 1", "BK+1"],
        limit: 1,
        ...(cursor !== undefined && { cursor }),
      });
      ids.push(...page.items.map(({ bookingId }) => bookingId));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(ids).toEqual(["BK+1", "BK 1"]);
  });
});
