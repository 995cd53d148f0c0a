/* Notices of a payment in a real Redis: in whichever order they come, together or apart, they make one mail. */
import { describe, expect, test } from "bun:test";
import type { Learned } from "../../src/domain/ingress.ts";
import type { Notice } from "../../src/domain/notice.ts";
import { key, partitionOf, tagOf } from "../../src/stream/keys.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { createNews } from "../../src/stream/news.ts";
import { parseRedisUrl, type RedisAddress } from "../../src/stream/redisUrl.ts";
import { settle } from "../../src/stream/settle.ts";
import type { Taken } from "../../src/stream/take.ts";
import { amend, Moved } from "../../src/stream/transaction.ts";
import { PASSWORD, rulesOfTheManual, USER } from "../support/acl.ts";
import { eventWith } from "../support/event.ts";
import { captureNotice, sessionNotice } from "../support/notice.ts";
import { DAY_MS, endDedupWindow, onRedis, owner, takeAll } from "./fixture.ts";

const on = onRedis();

const learning = () => on.ingress({ delayMs: 60_000 });

async function learn(notice: Notice, ingress = learning()): Promise<Learned> {
  return ingress.learn(notice);
}

async function messageOf(paymentId: string) {
  return createMessages(on.redis, 1).byEvent(`stripe_${paymentId}`);
}

const noticesKey = (paymentId: string) => key.notices(tagOf(0), messageIdOf(`stripe_${paymentId}`, 0));

describe("a payment that is captured later", () => {
  test("makes a mail with what its session knew", async () => {
    expect(await learn(sessionNotice("pi_1"))).toEqual({ kind: "unpaid" });
    expect(await messageOf("pi_1")).toBeUndefined();
    const learned = await learn(captureNotice("pi_1"));
    expect(learned).toMatchObject({
      kind: "event",
      amended: false,
      accepted: { state: "scheduled", duplicate: false },
    });
    expect((await messageOf("pi_1"))?.event?.data).toMatchObject({
      booking: { id: "BK pi_1", title: "Sleeper bus" },
      payment: { amount: 300_000 },
      customer: { email: "an@example.com", locale: "vi" },
    });
  });

  test("is remembered for 60 days while it is unpaid, and for the retention from then on", async () => {
    await learn(sessionNotice("pi_1"));
    expect(Number(await on.server.raw.pttl(noticesKey("pi_1")))).toBeWithin(59 * DAY_MS, 60 * DAY_MS + 1);
    await on.server.raw.pexpire(noticesKey("pi_1"), 30 * DAY_MS);
    await learn(sessionNotice("pi_1", { titles: [] }));
    expect(Number(await on.server.raw.pttl(noticesKey("pi_1")))).toBeWithin(29 * DAY_MS, 30 * DAY_MS + 1);
    await learn(captureNotice("pi_1"));
    expect(Number(await on.server.raw.pttl(noticesKey("pi_1")))).toBeWithin(6 * DAY_MS, 7 * DAY_MS + 1);
  });

  test("makes one mail also where the session comes after the capture, and it has all that is known", async () => {
    const first = await learn(captureNotice("pi_1"));
    expect(first).toMatchObject({ kind: "event", accepted: { state: "scheduled", duplicate: false } });
    const second = await learn(sessionNotice("pi_1"));
    expect(second).toMatchObject({ kind: "event", amended: true, accepted: { state: "scheduled", duplicate: true } });
    const message = await messageOf("pi_1");
    expect(message?.event?.data.booking.id).toBe("BK pi_1");
    expect(message?.recipient).toBe("an@example.com");
    expect(message?.timeline.map(({ state, reason }) => [state, reason])).toEqual([
      ["scheduled", "posted"],
      ["scheduled", "amended"],
    ]);
    const messages = createMessages(on.redis, 1);
    for (const query of [{ booking: "BK pi_1" }, { recipient: "an@example.com" }])
      expect((await messages.list({ ...query, limit: 10 })).items.map(({ id }) => id)).toEqual([message?.id as string]);
  });

  test("whose address only the session has makes its mail whichever of them comes last", async () => {
    const nowhere = captureNotice("pi_1", { addresses: [] });
    expect(await learn(nowhere)).toMatchObject({ kind: "unmailable", lack: "no_address" });
    expect(await learn(sessionNotice("pi_1"))).toMatchObject({ kind: "event", accepted: { duplicate: false } });
    await learn(sessionNotice("pi_2"));
    const second = await learn(captureNotice("pi_2", { addresses: [] }));
    expect(second).toMatchObject({ kind: "event", accepted: { duplicate: false } });
  });

  test("makes one mail where both come at once", async () => {
    const ingress = learning();
    for (let i = 0; i < 20; i++) {
      const both = [sessionNotice(`pi_${i}`), captureNotice(`pi_${i}`)];
      const [one, other] = i % 2 === 0 ? both : both.toReversed();
      await Promise.all([learn(one as Notice, ingress), learn(other as Notice, learning())]);
      expect((await messageOf(`pi_${i}`))?.event?.data.booking.id).toBe(`BK pi_${i}`);
    }
    expect((await createMessages(on.redis, 1).list({ limit: 100 })).items).toHaveLength(20);
  });

  test("keeps its notices where the number of partitions changes meanwhile", async () => {
    await learn(sessionNotice("pi_1"));
    const layout = () => ({ version: 0, partitions: 8, earlier: [{ partitions: 1, endedAt: 1 }] });
    const eight = on.ingress({ delayMs: 60_000, partitions: layout });
    for (const id of ["pi_1", "pi_2"])
      expect(await learn(captureNotice(id), eight)).toMatchObject({ kind: "event", accepted: { duplicate: false } });
    const messages = createMessages(on.redis, layout);
    expect((await messages.byEvent("stripe_pi_1"))?.event?.data.booking.id).toBe("BK pi_1");
    expect((await messages.byEvent("stripe_pi_1"))?.id).toBe(messageIdOf("stripe_pi_1", 0));
    expect((await messages.byEvent("stripe_pi_2"))?.id).toBe(messageIdOf("stripe_pi_2", partitionOf("stripe_pi_2", 8)));
  });
});

describe("a notice that comes again", () => {
  test("is a duplicate, and changes nothing", async () => {
    await learn(sessionNotice("pi_1"));
    await learn(captureNotice("pi_1"));
    const before = await messageOf("pi_1");
    for (const notice of [captureNotice("pi_1"), sessionNotice("pi_1")])
      expect(await learn(notice)).toMatchObject({ kind: "event", amended: false, accepted: { duplicate: true } });
    expect(await messageOf("pi_1")).toEqual(before as NonNullable<typeof before>);
    expect(await on.server.raw.llen(noticesKey("pi_1"))).toBe(2);
  });

  test("makes no second mail after the dedup window, as long as the first is kept", async () => {
    const ingress = on.ingress();
    const notice = captureNotice("pi_1", { expectsMore: false });
    await learn(notice, ingress);
    const [taken] = (await takeAll(on.redis, "w")) as [Taken];
    await settle(owner(on.redis, tagOf(0), "w", 7 * DAY_MS), "sent", [{ ...taken, reply: "250 2.0.0 ok" }]);
    await endDedupWindow(on, taken.messageId);
    for (const again of [notice, sessionNotice("pi_1")])
      expect(await learn(again, ingress)).toMatchObject({ accepted: { duplicate: true, state: "sent" } });
    expect(await takeAll(on.redis, "w")).toEqual([]);
  });

  test("is posted where the first time was interrupted before that", async () => {
    await on.server.raw.rpush(noticesKey("pi_1"), JSON.stringify(captureNotice("pi_1")));
    expect(await learn(captureNotice("pi_1"))).toMatchObject({ kind: "event", accepted: { duplicate: false } });
  });
});

describe("a message", () => {
  test("is not amended once an attempt has begun", async () => {
    const ingress = on.ingress();
    await learn(captureNotice("pi_1", { expectsMore: false }), ingress);
    const [taken] = await takeAll(on.redis, "w");
    expect(await learn(sessionNotice("pi_1"), ingress)).toMatchObject({
      amended: false,
      accepted: { duplicate: true },
    });
    const message = await messageOf("pi_1");
    expect([message?.id, message?.state]).toEqual([taken?.messageId, "sending"]);
    expect(message?.event?.data.booking).toEqual({ title: "Charge for a bus" });
  });

  test("is not amended when it waits for another attempt, which goes out under the same Message-ID", async () => {
    const ingress = on.ingress();
    await learn(captureNotice("pi_1", { expectsMore: false }), ingress);
    const [taken] = (await takeAll(on.redis, "w")) as [Taken];
    await settle(owner(on.redis, tagOf(0), "w"), "released", [{ ...taken, reason: "a stop" }]);
    expect(await learn(sessionNotice("pi_1"), ingress)).toMatchObject({
      amended: false,
      accepted: { state: "queued" },
    });
  });

  test("is not amended by who goes by an old layout", async () => {
    await learn(captureNotice("pi_1"));
    await on.server.raw.set(key.layout(tagOf(0)), '2 {"partitions":1,"earlier":[]}');
    const stale = amend(on.redis, tagOf(0), messageIdOf("stripe_pi_1", 0), 1, ["{}", "-|-", "amended"]);
    await expect(stale).rejects.toBeInstanceOf(Moved);
    let refreshed = 0;
    const ingress = on.ingress({
      delayMs: 60_000,
      partitions: () => ({ version: refreshed === 0 ? 1 : 2, partitions: 1, earlier: [] }),
      refreshLayout: async () => void refreshed++,
    });
    expect(await learn(sessionNotice("pi_2"), ingress)).toEqual({ kind: "unpaid" });
    expect(refreshed).toBe(1);
    expect(await learn(sessionNotice("pi_1"), ingress)).toMatchObject({ kind: "event", amended: true });
    expect(refreshed).toBe(1);
  });

  test("is taken with what it was amended to, when it was queued already", async () => {
    const ingress = on.ingress();
    await learn(captureNotice("pi_1", { expectsMore: false }), ingress);
    expect(await learn(sessionNotice("pi_1"), ingress)).toMatchObject({ amended: true, accepted: { state: "queued" } });
    const taken = await takeAll(on.redis, "w");
    expect(taken).toHaveLength(1);
    expect(JSON.parse(taken[0]?.json as string).data.booking.id).toBe("BK pi_1");
  });

  test("of a producer's own event with that id is left as it is", async () => {
    await learning().post(eventWith("stripe_pi_1"));
    for (const notice of [captureNotice("pi_1"), sessionNotice("pi_1")])
      expect(await learn(notice)).toMatchObject({ amended: false, accepted: { duplicate: true } });
    expect((await messageOf("pi_1"))?.bookingId).toBe("BK-stripe_pi_1");
  });

  test("is not amended by who knows less", async () => {
    await learn(captureNotice("pi_1"));
    await learn(sessionNotice("pi_1"));
    await learn(captureNotice("pi_1", { paid: { amount: 1, currency: "VND" }, addresses: ["late@example.com"] }));
    expect((await messageOf("pi_1"))?.event?.data).toMatchObject({
      booking: { id: "BK pi_1" },
      payment: { amount: 300_000 },
      customer: { email: "an@example.com" },
    });
  });

  test("that names no booking waits five seconds at least for a notice that does", async () => {
    const due = async (notice: Notice, delayMs: number) => {
      const learned = await learn(notice, on.ingress({ delayMs }));
      if (learned.kind !== "event") throw new Error(learned.kind);
      return learned.accepted.dueAt - (await on.redis.time().then(([s, us]) => Number(s) * 1000 + Number(us) / 1000));
    };
    expect(await due(captureNotice("pi_1"), 0)).toBeWithin(4_000, 5_001);
    expect(await due(captureNotice("pi_2"), 20_000)).toBeWithin(19_000, 20_001);
    expect(await due(captureNotice("pi_3", { expectsMore: false }), 0)).toBeLessThanOrEqual(0);
    await learn(sessionNotice("pi_4"));
    expect(await due(captureNotice("pi_4"), 0)).toBeLessThanOrEqual(0);
  });

  test("that was rolled back before it was posted stays cancelled", async () => {
    const ingress = learning();
    await ingress.rollback("stripe_pi_1");
    expect(await learn(captureNotice("pi_1"), ingress)).toMatchObject({ accepted: { state: "cancelled" } });
    expect(await learn(sessionNotice("pi_1"), ingress)).toMatchObject({
      amended: false,
      accepted: { state: "cancelled", duplicate: true },
    });
  });
});

test("the permissions of the manual are enough", async () => {
  await on.server.raw.acl("SETUSER", USER, ...rulesOfTheManual());
  const address = parseRedisUrl(`unix://${USER}:${PASSWORD}@${on.server.address.path}`) as RedisAddress;
  const redis = await on.open("ingress", address);
  const ingress = on.ingress({ delayMs: 60_000 }, redis);
  await learn(captureNotice("pi_1"), ingress);
  expect(await learn(sessionNotice("pi_1"), ingress)).toMatchObject({ amended: true });
  expect(await createNews(redis)("no_address")).toBe(true);
  expect(await createNews(redis)("no_address")).toBe(false);
});

test("a Redis with too few replicas has a notice and its message, and the answer says that it may lose them", async () => {
  const ingress = on.ingress({ minReplicas: 1, delayMs: 60_000 });
  for (const notice of [sessionNotice("pi_1"), captureNotice("pi_1")])
    expect(await ingress.learn(notice)).toMatchObject({
      kind: "unavailable",
      writtenOver: expect.any(Number) as never,
    });
  expect((await messageOf("pi_1"))?.event?.data.booking.id).toBe("BK pi_1");
});

test("a Redis that is away or full keeps none, and says so", async () => {
  const redis = await on.open("ingress");
  const ingress = on.ingress({}, redis);
  redis.disconnect();
  expect(await ingress.learn(sessionNotice("pi_1"))).toMatchObject({ kind: "unavailable" });
  expect(await on.ingress({ maxBacklog: 0 } as never).learn(captureNotice("pi_2"))).toMatchObject({ kind: "full" });
  // It is known, and posted when it comes again.
  expect(await learn(captureNotice("pi_2"))).toMatchObject({ kind: "event", accepted: { duplicate: false } });
});
