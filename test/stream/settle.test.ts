/* The ways out of SENDING: what each writes, where it leaves the message, and who may take it. */
import { describe, expect, test } from "bun:test";
import type { State } from "../../src/domain/lifecycle.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { RedisAway } from "../../src/stream/fault.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { heartbeat, reclaim } from "../../src/stream/lease.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { createQueues } from "../../src/stream/queues.ts";
import { haveEndedIn, type Item, settle, settleOrConfirm, WAYS_OUT, type Way } from "../../src/stream/settle.ts";
import { type Claim, promote } from "../../src/stream/take.ts";
import { wasRolledBack } from "../../src/stream/transaction.ts";
import { eventWith } from "../support/event.ts";
import { until } from "../support/until.ts";
import { accepted, DAY_MS, onRedis, owner, postAndTake, redisNow, streams, takeAll } from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis("--appendonly", "no");
const reason = "451 4.3.0 busy";

type TestedWay = "sent" | "deferred" | "dead" | "resend" | "hold" | "released" | "heartbeat";

/** True when it was written. */
async function settleBy(way: TestedWay, consumer: string, claim: Claim): Promise<boolean> {
  const { redis } = on;
  const ways: Record<TestedWay, () => Promise<(boolean | number)[]>> = {
    sent: () => settle(owner(redis, TAG, consumer), "sent", [{ ...claim, reply: "250 2.0.0 ok" }]),
    deferred: () => settle(owner(redis, TAG, consumer), "deferred", [{ ...claim, delayMs: 60_000, reason }]),
    dead: () => settle(owner(redis, TAG, consumer), "dead", [{ ...claim, reason }]),
    resend: () => settle(owner(redis, TAG, consumer), "unknown", [{ ...claim, resendDelayMs: 60_000, reason }]),
    hold: () => settle(owner(redis, TAG, consumer), "unknown", [{ ...claim, resendDelayMs: undefined, reason }]),
    released: () => settle(owner(redis, TAG, consumer), "released", [{ ...claim, reason }]),
    heartbeat: () => heartbeat(redis, TAG, consumer, [claim]),
  };
  return Boolean((await ways[way]())[0]);
}

async function stateOf(messageId: string): Promise<State | undefined> {
  return (await createMessages(on.redis, 1).byId(messageId))?.state;
}

/** Every place where a message can wait. */
async function placesOf(messageId: string): Promise<string[]> {
  const { raw } = on.server;
  const places: string[] = [];
  if ((await streams(on)).entries.includes(messageId)) places.push("stream");
  if ((await raw.zscore(key.due(TAG), messageId)) !== null) places.push("due");
  if ((await raw.xrange(key.dead(TAG), "-", "+")).some(([, fields]) => fields[1] === messageId)) places.push("dead");
  return places;
}

describe("each way out", () => {
  const ways: [Exclude<TestedWay, "heartbeat">, State, string[]][] = [
    ["sent", "sent", []],
    ["deferred", "deferred", ["due"]],
    ["dead", "dead", ["dead"]],
    ["resend", "unknown", ["due"]],
    ["hold", "unknown", ["dead"]],
    ["released", "queued", ["stream"]],
  ];
  test.each(ways)("by %s leads to %s, to one place, and leaves no entry pending", async (way, state, places) => {
    const claim = await postAndTake(on, "evt_1", "a");
    expect(await settleBy(way, "a", claim)).toBeTrue();
    expect(await stateOf(claim.messageId)).toBe(state);
    expect(await placesOf(claim.messageId)).toEqual(places);
    expect((await streams(on)).pending).toBe(0);
    const counts = await createQueues(on.redis, 1).counts();
    expect(counts.sending.now).toBe(0);
    expect(counts[state].now).toBe(1);
  });

  test.each(ways)("by %s is taken once: the same call again changes nothing", async (way) => {
    const claim = await postAndTake(on, "evt_1", "a");
    expect(await settleBy(way, "a", claim)).toBeTrue();
    const message = await createMessages(on.redis, 1).byId(claim.messageId);
    const places = await placesOf(claim.messageId);
    for (const again of ["sent", "deferred", "dead", "resend", "hold", "released", "heartbeat"] as const) {
      expect(await settleBy(again, "a", claim), again).toBeFalse();
    }
    expect(await createMessages(on.redis, 1).byId(claim.messageId)).toEqual(message as never);
    expect(await placesOf(claim.messageId)).toEqual(places);
  });

  test("is taken by many at once, and each is told for itself whether it was", async () => {
    for (let i = 0; i < 4; i++) await on.ingress().post(eventWith(`evt_${i}`));
    const claims = await takeAll(on.redis, "a");
    await settleBy("sent", "a", claims[1] as Claim);
    const items = claims.map((claim) => ({ ...claim, reply: "250 ok" }));
    expect(await settle(owner(on.redis, TAG, "a"), "sent", items)).toEqual([true, false, true, true]);
    expect(await streams(on)).toEqual({ entries: [], pending: 0 });
  });
});

describe("a worker that is not the owner", () => {
  const ways: TestedWay[] = ["sent", "deferred", "dead", "resend", "hold", "released", "heartbeat"];

  test.each(ways)("is refused %s, and nothing is written", async (way) => {
    const claim = await postAndTake(on, "evt_1", "a");
    const before = await createMessages(on.redis, 1).byId(claim.messageId);
    expect(await settleBy(way, "b", claim)).toBeFalse();
    expect(await settleBy(way, "", claim)).toBeFalse();
    expect(await createMessages(on.redis, 1).byId(claim.messageId)).toEqual(before as never);
    expect((await streams(on)).pending).toBe(1);
    expect(await settleBy(way, "a", claim)).toBeTrue();
  });

  test.each(ways)("because its message was reclaimed and is another's now is refused %s", async (way) => {
    const stale = await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "resend" });
    const [current] = await takeAll(on.redis, "b");
    if (current === undefined) throw new Error("nothing to take");
    expect(await settleBy(way, "a", stale)).toBeFalse();
    expect(await settleBy(way, "b", stale)).toBeFalse(); // b has another attempt of it
    expect(await settleBy("sent", "b", current)).toBeTrue();
    expect(await streams(on)).toEqual({ entries: [], pending: 0 });
  });

  test.each(ways)(
    "any more, since it was reclaimed from and took it again, is refused %s for the first attempt",
    async (way) => {
      const stale = await postAndTake(on, "evt_1", "a");
      await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "resend" });
      const [current] = await takeAll(on.redis, "a");
      if (current === undefined) throw new Error("nothing to take");
      expect(await settleBy(way, "a", stale)).toBeFalse();
      expect(await settleBy("sent", "a", current)).toBeTrue();
    },
  );

  // A release whose reply was lost is called again. The attempt was not spent, so the next one has its number.
  test.each(ways)(
    "any more, since it gave it back and took it again, is refused %s for the first time",
    async (way) => {
      const stale = await postAndTake(on, "evt_1", "a");
      expect(await settleBy("released", "a", stale)).toBeTrue();
      const [current] = await takeAll(on.redis, "a");
      if (current === undefined) throw new Error("nothing to take");
      expect(current.attempt).toBe(stale.attempt);
      expect(await settleBy(way, "a", stale)).toBeFalse();
      expect(await settleBy("sent", "a", current)).toBeTrue();
      expect(await streams(on)).toEqual({ entries: [], pending: 0 });
    },
  );

  test("but of a message that does not exist is refused", async () => {
    const claim = { tag: TAG, rank: "0", entryId: "1-1", messageId: "msg_nobody", attempt: 1 };
    for (const way of ways) expect(await settleBy(way, "a", claim)).toBeFalse();
    expect(await on.server.raw.keys("*")).toEqual([]);
  });
});

describe("sent", () => {
  test("keeps the message for the retention", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await settle(owner(on.redis, TAG, "a", 123_000), "sent", [{ ...claim, reply: "250 ok" }]);
    const ttl = await on.server.raw.pttl(key.message(TAG, claim.messageId));
    expect(ttl).toBeGreaterThan(120_000);
    expect(ttl).toBeLessThanOrEqual(123_000);
  });

  test.each(["deferred", "dead", "resend", "hold", "released"] as const)(
    "is the only end: %s keeps the message for ever",
    async (way) => {
      const claim = await postAndTake(on, "evt_1", "a");
      await settleBy(way, "a", claim);
      expect(await on.server.raw.pttl(key.message(TAG, claim.messageId))).toBe(-1);
    },
  );
});

describe("deferred", () => {
  test("is due after its delay, by Redis's clock, and its attempt is spent", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    const now = await redisNow(on.redis);
    await settle(owner(on.redis, TAG, "a"), "deferred", [{ ...claim, delayMs: 30_000, reason }]);
    const message = await createMessages(on.redis, 1).byId(claim.messageId);
    expect(message).toMatchObject({ state: "deferred", attempt: 1 });
    expect((message?.dueAt ?? 0) - now).toBeGreaterThanOrEqual(30_000);
    expect((message?.dueAt ?? 0) - now).toBeLessThan(35_000);
  });

  test("comes back as the next attempt", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await settle(owner(on.redis, TAG, "a"), "deferred", [{ ...claim, delayMs: 0, reason }]);
    await promote(on.redis, TAG, 10);
    expect(await takeAll(on.redis, "b")).toEqual([expect.objectContaining({ attempt: 2, attemptsBefore: 0 })]);
  });
});

describe("buried", () => {
  test("is counted with those of its kind", async () => {
    const reasons = ["550 5.1.1 <an@x.y> unknown", "550 5.1.1 <binh@x.y> unknown", "552 5.2.2 full"];
    for (const [i, why] of reasons.entries()) {
      const claim = await postAndTake(on, `evt_${i}`, "a");
      expect(await settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason: why }])).toEqual([true]);
    }
    const groups = await createDeadLetters(on.redis, 1, DAY_MS).groups();
    expect(groups.map(({ count }) => count)).toEqual([2, 1]);
  });

  test("keeps its reason and the time of its death", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    const now = await redisNow(on.redis);
    await settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason: "550 5.1.1 no such user" }]);
    const { death } = (await createMessages(on.redis, 1).byId(claim.messageId)) ?? {};
    expect(death).toEqual({
      reason: "550 5.1.1 no such user",
      fingerprint: expect.any(String),
      deadAt: expect.any(Number),
    });
    expect(Math.abs((death?.deadAt ?? 0) - now)).toBeLessThan(5_000);
  });
});

describe("lost", () => {
  test("and to be sent again waits for its delay, with its attempt spent", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await settle(owner(on.redis, TAG, "a"), "unknown", [{ ...claim, resendDelayMs: 0, reason }]);
    expect(await createMessages(on.redis, 1).byId(claim.messageId)).toMatchObject({ state: "unknown", attempt: 1 });
    await promote(on.redis, TAG, 10);
    expect(await takeAll(on.redis, "a")).toEqual([expect.objectContaining({ attempt: 2 })]);
  });

  test("and held is never promoted: it waits for a person", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await settleBy("hold", "a", claim);
    expect((await promote(on.redis, TAG, 10)).messages).toEqual([]);
    expect((await createMessages(on.redis, 1).byId(claim.messageId))?.death?.reason).toBe(reason);
  });
});

describe("released", () => {
  test("is queued again with its attempt not spent", async () => {
    const first = await postAndTake(on, "evt_1", "a");
    await settleBy("released", "a", first);
    expect(await createMessages(on.redis, 1).byId(first.messageId)).toMatchObject({ state: "queued", attempt: 0 });
    expect(await takeAll(on.redis, "b")).toEqual([expect.objectContaining({ attempt: 1 })]);
  });

  test("goes behind those that wait", async () => {
    const first = await postAndTake(on, "evt_1", "a");
    await on.ingress().post(eventWith("evt_2"));
    await settleBy("released", "a", first);
    expect((await takeAll(on.redis, "a")).map(({ json }) => JSON.parse(json).id)).toEqual(["evt_2", "evt_1"]);
  });
});

describe("a settlement whose reply was lost", () => {
  const items: { [W in Way]: (claim: Claim) => Item<W> } = {
    sent: (claim) => ({ ...claim, reply: "250 ok" }),
    deferred: (claim) => ({ ...claim, delayMs: 60_000, reason }),
    dead: (claim) => ({ ...claim, reason }),
    unknown: (claim) => ({ ...claim, resendDelayMs: undefined, reason }),
    released: (claim) => ({ ...claim, reason }),
    postponed: (claim) => ({ ...claim, delayMs: 60_000, counts: true, reason }),
    cancelled: (claim) => ({ ...claim, reason }),
  };

  async function settleTwice<W extends Way>(way: W): Promise<boolean[]> {
    const item = items[way](await postAndTake(on, "evt_1", "a"));
    expect(await settle(owner(on.redis, TAG, "a"), way, [item])).toEqual([true]);
    expect(await stateOf(item.messageId)).toBe(WAYS_OUT[way].state);
    return settleOrConfirm(owner(on.redis, TAG, "a"), way, [item]);
  }

  test.each(["sent", "deferred", "dead", "unknown"] as const)("as %s shows that it was written", async (way) => {
    expect(await settleTwice(way)).toEqual([true]);
  });

  test.each(["released", "postponed", "cancelled"] as const)(
    "as %s does not: the attempt that it has not spent may be another's",
    async (way) => {
      expect(await settleTwice(way)).toEqual([false]);
    },
  );

  test.each(["dead", "deferred"] as const)("as %s is not shown by an attempt that ended otherwise", async (way) => {
    const claim = await postAndTake(on, "evt_1", "a");
    await settle(owner(on.redis, TAG, "a"), "unknown", [items.unknown(claim)]);
    expect(await settleOrConfirm(owner(on.redis, TAG, "a"), way, [items[way](claim)])).toEqual([false]);
  });
});

test("a lost connection is a Redis that is away, also to who looks whether an attempt has ended or was rolled back", async () => {
  const claim = await postAndTake(on, "evt_1", "a");
  const redis = await on.open("worker");
  redis.disconnect();
  await expect(haveEndedIn({ redis, tag: TAG }, "sent", [claim])).rejects.toBeInstanceOf(RedisAway);
  await expect(wasRolledBack(redis, claim)).rejects.toBeInstanceOf(RedisAway);
});

test("an attempt has ended as its claim says only where the message has had no other one since", async () => {
  const first = await postAndTake(on, "evt_1", "a");
  await settle(owner(on.redis, TAG, "a"), "sent", [{ ...first, reply: "250 ok" }]);
  const later = { ...first, attempt: 2 };
  expect(await haveEndedIn(owner(on.redis, TAG, "a"), "sent", [first, later])).toEqual([true, false]);
  expect(await haveEndedIn(owner(on.redis, TAG, "a"), "dead", [first])).toEqual([false]);
});

describe("a timeline", () => {
  test("tells a message's whole story, attempt by attempt, in one line each", async () => {
    const posted = accepted(await on.ingress().post(eventWith("evt_1", { delayMs: 1 })));
    const dead = createDeadLetters(on.redis, 1, DAY_MS);
    const takeOne = async (): Promise<Claim> => {
      await until("it is queued", async () => {
        await promote(on.redis, TAG, 10);
        return (await stateOf(posted.messageId)) === "queued";
      });
      return (await takeAll(on.redis, "a"))[0] as Claim;
    };
    await settleBy("released", "a", await takeOne());
    await settle(owner(on.redis, TAG, "a"), "deferred", [
      { ...(await takeOne()), delayMs: 0, reason: "451 4.7.1 greylisted\r\n451 really" },
    ]);
    await settle(owner(on.redis, TAG, "a"), "unknown", [
      { ...(await takeOne()), resendDelayMs: 0, reason: "connection closed | after the dot" },
    ]);
    await settle(owner(on.redis, TAG, "a"), "dead", [{ ...(await takeOne()), reason: "550 5.1.1 ééé\t漢字" }]);
    await dead.replay(posted.messageId, { recipient: "binh@example.com" });
    await takeOne();
    await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "resend" });
    await settle(owner(on.redis, TAG, "a"), "sent", [{ ...(await takeOne()), reply: "250 2.0.0 queued as 4F2" }]);

    const message = await createMessages(on.redis, 1).byId(posted.messageId);
    const story = message?.timeline.map(({ state, attempt, reason: why }) => [state, attempt, why]);
    expect(story).toEqual([
      ["scheduled", undefined, "posted"],
      ["queued", undefined, undefined],
      ["sending", 1, undefined],
      ["queued", undefined, reason],
      ["sending", 1, undefined],
      ["deferred", 1, "451 4.7.1 greylisted 451 really"],
      ["queued", undefined, undefined],
      ["sending", 2, undefined],
      ["unknown", 2, "connection closed | after the dot"],
      ["queued", undefined, "resend"],
      ["sending", 3, undefined],
      ["dead", 3, "550 5.1.1 ééé 漢字"],
      ["queued", undefined, "replayed, edited"],
      ["sending", 4, undefined],
      ["unknown", 4, "worker a was lost during the attempt; the relay may have the mail"],
      ["queued", undefined, "resend"],
      ["sending", 5, undefined],
      ["sent", 5, "250 2.0.0 queued as 4F2"],
    ]);
    const times = message?.timeline.map(({ at }) => at) ?? [];
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(message).toMatchObject({ state: "sent", attempt: 5, recipient: "binh@example.com" });
    expect(message?.death).toBeUndefined();
  });

  test("keeps a reason to one line and to a length that can be read", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason: `550 ${"words \r\n\u2028".repeat(2_000)}` }]);
    const message = await createMessages(on.redis, 1).byId(claim.messageId);
    expect(message?.timeline.length).toBe(3);
    expect(message?.death?.reason.length).toBeLessThanOrEqual(500);
    expect(message?.death?.reason).not.toMatch(/[\r\n\u2028]/);
  });
});
