/* Leases: who owns an entry for how long, and what becomes of it when its worker is gone. */
import { describe, expect, test } from "bun:test";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { GROUP, key, tagOf } from "../../src/stream/keys.ts";
import { heartbeat, type ReclaimPolicy, reclaim, reclaimBefore } from "../../src/stream/lease.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { settle } from "../../src/stream/settle.ts";
import { readHoldings, type Taken, take } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { until } from "../support/until.ts";
import { accepted, DAY_MS, onRedis, owner, postAndTake, streams, takeAll } from "./fixture.ts";

const TAG = tagOf(0);
const QUEUE = key.queue(TAG, 0);
const on = onRedis("--appendonly", "no");
const RESEND: ReclaimPolicy = { maxRetries: 3, onUnknown: "resend" };

/** ms since the entry was last claimed or heard of. */
async function idleOf(entryId: string): Promise<number> {
  const [entry] = (await on.server.raw.xpending(QUEUE, GROUP, entryId, entryId, 1)) as [
    string,
    string,
    number,
    number,
  ][];
  if (entry === undefined) throw new Error(`${entryId} is not pending`);
  return entry[2];
}

describe("reclaiming", () => {
  test("of one's own name takes everything at once: it is from a life that ended", async () => {
    const mine = await postAndTake(on, "evt_1", "a");
    await postAndTake(on, "evt_2", "b");
    expect(await reclaim(on.redis, TAG, { of: "a" }, 0, RESEND)).toEqual([
      {
        messageId: mine.messageId,
        eventId: "evt_1",
        attempt: 1,
        owner: "a",
        entryId: mine.entryId,
        fate: "resend",
      },
    ]);
    expect((await streams(on)).pending).toBe(1);
    expect((await takeAll(on.redis, "a")).map(({ attempt }) => attempt)).toEqual([2]);
  });

  test("of others goes on past any number of one's own, and comes to an end", async () => {
    const events = Array.from({ length: 250 }, (_, n) => on.ingress().post(eventWith(`evt_${n}`)));
    await Promise.all(events);
    const mine = await take(on.redis, TAG, "a", 240, [240, 0, 0]);
    const lost = await takeAll(on.redis, "b");
    expect([mine.length, lost.length]).toEqual([240, 10]);
    const reclaimed = await reclaim(on.redis, TAG, { except: "a" }, 0, RESEND);
    expect(reclaimed.map(({ entryId }) => entryId)).toEqual(lost.map(({ entryId }) => entryId));
    expect((await streams(on)).pending).toBe(240);
  });

  test("says which entry somebody deleted while it was being sent, and goes round it once", async () => {
    const { entryId } = await postAndTake(on, "evt_1", "a");
    const { messageId } = await postAndTake(on, "evt_2", "a");
    await on.server.raw.xdel(key.queue(TAG, 0), entryId);
    const reclaimed = await reclaim(on.redis, TAG, { of: "a" }, 0, RESEND);
    expect(reclaimed.map((one) => [one.fate, one.entryId === entryId, one.messageId])).toEqual([
      ["deleted", true, ""],
      ["resend", false, messageId],
    ]);
    expect(await reclaim(on.redis, TAG, { of: "a" }, 0, RESEND)).toEqual([]);
  });

  test("of an entry whose message was not taken, as another program's read leaves it, queues it again", async () => {
    await settle(owner(on.redis, TAG, "a"), "sent", [{ ...(await postAndTake(on, "evt_0", "a")), reply: "250 ok" }]);
    const posted = accepted(await on.ingress().post(eventWith("evt_1")));
    await on.server.raw.call("XREADGROUP", "GROUP", GROUP, "stranger", "STREAMS", QUEUE, ">");
    expect(await takeAll(on.redis, "a")).toEqual([]);
    expect(await reclaim(on.redis, TAG, { except: "a" }, 0, RESEND)).toEqual([]);
    expect((await streams(on)).pending).toBe(0);
    const taken = await takeAll(on.redis, "a");
    expect(taken.map(({ messageId, attempt }) => [messageId, attempt])).toEqual([[posted.messageId, 1]]);
    expect(await settle(owner(on.redis, TAG, "a"), "sent", [{ ...(taken[0] as Taken), reply: "250 ok" }])).toEqual([
      true,
    ]);
  });

  test("from another waits for the lease to run out", async () => {
    const { entryId, messageId } = await postAndTake(on, "evt_1", "a");
    expect(await reclaim(on.redis, TAG, { except: "b" }, 60_000, RESEND)).toEqual([]);
    await until("it has been idle for a while", async () => (await idleOf(entryId)) >= 20);
    expect(await reclaim(on.redis, TAG, { except: "b" }, 60_000, RESEND)).toEqual([]);
    const reclaimed = await reclaim(on.redis, TAG, { except: "b" }, 20, RESEND);
    expect(reclaimed.map((one) => [one.messageId, one.owner])).toEqual([[messageId, "a"]]);
  });

  test("from another does not happen while heartbeats come, for many times the lease", async () => {
    const leaseMs = 150;
    const claim = await postAndTake(on, "evt_1", "a");
    const endAt = performance.now() + 4 * leaseMs;
    while (performance.now() < endAt) {
      expect(await heartbeat(on.redis, TAG, "a", [claim])).toEqual([true]);
      expect(await reclaim(on.redis, TAG, { except: "b" }, leaseMs, RESEND)).toEqual([]);
      await Bun.sleep(leaseMs / 10);
    }
    await until("it is reclaimed when they stop", async () => {
      return (await reclaim(on.redis, TAG, { except: "b" }, leaseMs, RESEND)).length === 1;
    });
    expect(await heartbeat(on.redis, TAG, "a", [claim])).toEqual([false]);
  });

  test("past its deadline, by Redis's clock, does nothing: the call may have waited in Redis with the heartbeats", async () => {
    const { messageId } = await postAndTake(on, "evt_1", "a");
    const before = (deadlineAt: number) => reclaimBefore(on.redis, TAG, deadlineAt, { except: "b" }, 0, RESEND);
    const first = await before(0);
    expect(first).toEqual({ at: expect.any(Number), late: true, reclaimed: [] });
    await until("its clock has gone on", async () => (await before(first.at)).at > first.at);
    expect(await before(first.at)).toMatchObject({ late: true, reclaimed: [] });
    expect((await streams(on)).pending).toBe(1);
    expect(await before(first.at + 60_000)).toMatchObject({ late: false, reclaimed: [{ messageId, fate: "resend" }] });
  });

  test("leaves alone what the reclaimer itself has in flight, however long it was not heard of", async () => {
    await postAndTake(on, "evt_1", "a");
    expect(await reclaim(on.redis, TAG, { except: "a" }, 0, RESEND)).toEqual([]);
    expect((await streams(on)).pending).toBe(1);
  });

  test("spends the attempt, and buries a message that costs its worker its life each time", async () => {
    await on.ingress().post(eventWith("evt_killer"));
    const fates: string[] = [];
    for (let i = 0; i < 4; i++) {
      expect((await takeAll(on.redis, "a")).map(({ attempt }) => attempt)).toEqual([i + 1]);
      fates.push(...(await reclaim(on.redis, TAG, { of: "a" }, 0, RESEND)).map(({ fate }) => fate));
    }
    expect(fates).toEqual(["resend", "resend", "resend", "dead"]);
    expect(await takeAll(on.redis, "a")).toEqual([]);
    expect((await createDeadLetters(on.redis, 1, DAY_MS).list({ limit: 5 })).items.length).toBe(1);
  });

  test("counts the retries from the last replay on", async () => {
    const dead = createDeadLetters(on.redis, 1, DAY_MS);
    const { messageId } = await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, { ...RESEND, maxRetries: 0 });
    expect(await dead.replay(messageId, {})).toBe("replayed");
    await takeAll(on.redis, "a");
    expect(await reclaim(on.redis, TAG, { of: "a" }, 0, { ...RESEND, maxRetries: 1 })).toEqual([
      expect.objectContaining({ attempt: 2, fate: "resend" }),
    ]);
  });

  test("holds the message for a person where that is asked for", async () => {
    const { messageId } = await postAndTake(on, "evt_1", "a");
    const [reclaimed] = await reclaim(on.redis, TAG, { of: "a" }, 0, { ...RESEND, onUnknown: "hold" });
    expect(reclaimed?.fate).toBe("hold");
    expect(await takeAll(on.redis, "a")).toEqual([]);
    const message = await createMessages(on.redis, 1).byId(messageId);
    expect(message).toMatchObject({
      state: "unknown",
      death: { reason: expect.stringContaining("worker a was lost") },
    });
    expect(await createDeadLetters(on.redis, 1, DAY_MS).replay(messageId, {})).toBe("replayed");
  });

  test("gets through any number of them, of all priorities", async () => {
    const ingress = on.ingress();
    const priorities = ["critical", "default", "low"] as const;
    const events = Array.from({ length: 360 }, (_, i) => {
      const priority = priorities[i % 3] ?? "low";
      return eventWith(`evt_${i}`, { priority });
    });
    await Promise.all(events.map((event) => ingress.post(event)));
    while ((await takeAll(on.redis, "a")).length > 0);
    expect((await reclaim(on.redis, TAG, { of: "a" }, 0, RESEND)).length).toBe(360);
    const { entries, pending } = await streams(on);
    expect([entries.length, new Set(entries).size, pending]).toEqual([360, 360, 0]);
  });

  test("by two workers at the same time happens once", async () => {
    const ingress = on.ingress();
    await Promise.all(Array.from({ length: 10 }, (_, i) => ingress.post(eventWith(`evt_${i}`))));
    await takeAll(on.redis, "gone");
    const other = await on.open("worker");
    const both = await Promise.all([
      reclaim(on.redis, TAG, { except: "a" }, 0, RESEND),
      reclaim(other, TAG, { except: "b" }, 0, RESEND),
    ]);
    expect(both.flat().length).toBe(10);
    expect((await streams(on)).entries.length).toBe(10);
  });

  test("takes an entry out of the way whose message was settled or is gone", async () => {
    const [settled, gone] = [await postAndTake(on, "evt_1", "a"), await postAndTake(on, "evt_2", "a")];
    await on.server.raw.hset(key.message(TAG, settled.messageId), "s", "sent");
    await on.server.raw.del(key.message(TAG, gone.messageId));
    expect(await reclaim(on.redis, TAG, { of: "a" }, 0, RESEND)).toEqual([]);
    expect(await streams(on)).toEqual({ entries: [], pending: 0 });
  });

  test("does not send a second mail because an entry stands twice in the stream", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await on.server.raw.xadd(QUEUE, "*", "m", claim.messageId);
    await takeAll(on.redis, "b"); // sees it, and leaves it with its owner
    await until("the double was not heard of", async () => {
      await heartbeat(on.redis, TAG, "a", [claim]);
      const pending = (await on.server.raw.xpending(QUEUE, GROUP, "-", "+", 10)) as [string, string, number, number][];
      return pending.filter(([entry]) => entry !== claim.entryId).every(([, , idle]) => idle >= 30);
    });
    await heartbeat(on.redis, TAG, "a", [claim]);
    await reclaim(on.redis, TAG, { except: "b" }, 30, RESEND);
    expect(await takeAll(on.redis, "b")).toEqual([]);
    expect(await settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }])).toEqual([true]);
  });
});

describe("heartbeats", () => {
  test("set the idle time back, and say for each claim whether it is still ours", async () => {
    const mine = await postAndTake(on, "evt_1", "a");
    const other = await postAndTake(on, "evt_2", "b");
    await until("it was idle", async () => (await idleOf(mine.entryId)) >= 20);
    const idle = await idleOf(other.entryId);
    expect(await heartbeat(on.redis, TAG, "a", [mine, other])).toEqual([true, false]);
    expect(await idleOf(mine.entryId)).toBeLessThan(20);
    expect(await idleOf(other.entryId)).toBeGreaterThanOrEqual(idle);
  });

  test("of nothing are answered", async () => {
    expect(await heartbeat(on.redis, TAG, "a", [])).toEqual([]);
  });

  test("take nothing back from whom it went to", async () => {
    const stale = await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, RESEND);
    const [current] = (await takeAll(on.redis, "b")) as [Taken];
    await heartbeat(on.redis, TAG, "a", [stale]);
    await heartbeat(on.redis, TAG, "a", [{ ...current }]);
    expect((await readHoldings(on.redis, TAG, "b", 10)).map(({ messageId }) => messageId)).toEqual([stale.messageId]);
    expect(await readHoldings(on.redis, TAG, "a", 10)).toEqual([]);
  });
});

describe("what a lost reply took", () => {
  test("is seen by its owner, and given back without spending an attempt", async () => {
    const ingress = on.ingress();
    for (const [i, priority] of (["critical", "default", "low"] as const).entries()) {
      await ingress.post(eventWith(`evt_${i}`, { priority }));
    }
    const lost = await takeAll(on.redis, "a"); // and nobody heard of it
    const owned = await readHoldings(on.redis, TAG, "a", 10);
    expect(owned).toEqual(
      lost.map(({ tag, rank, entryId, messageId, attempt }) => ({ tag, rank, entryId, messageId, attempt })),
    );
    expect(await readHoldings(on.redis, TAG, "b", 10)).toEqual([]);
    const items = owned.map((claim) => ({ ...claim, reason: "the reply was lost" }));
    expect(await settle(owner(on.redis, TAG, "a"), "released", items)).toEqual([true, true, true]);
    expect(await readHoldings(on.redis, TAG, "a", 10)).toEqual([]);
    expect((await takeAll(on.redis, "b")).map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
  });
});

test("a group that is gone keeps no lease from being renewed", async () => {
  const claim = await postAndTake(on, "evt_1", "a");
  const low = { ...claim, rank: "2" };
  expect(await heartbeat(on.redis, TAG, "a", [low, claim])).toEqual([true, true]);
  await on.server.raw.xgroup("DESTROY", QUEUE, GROUP);
  expect(await heartbeat(on.redis, TAG, "a", [claim])).toEqual([true]);
});
