/* Leases: who owns an entry for how long, and what becomes of it when its worker is gone. */
import { describe, expect, test } from "bun:test";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { GROUP, key, tagOf } from "../../src/stream/keys.ts";
import {
  heartbeat,
  type ReclaimPolicy,
  reclaim,
  reclaimBefore,
  retire,
  sweep,
  trimFeed,
} from "../../src/stream/lease.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { release, sent } from "../../src/stream/settle.ts";
import { readOwned, type Taken, take } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { until } from "../support/until.ts";
import { accepted, DAY_MS, onRedis, postAndTake, streams, takeAll } from "./fixture.ts";

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
    expect(await sent(on.redis, TAG, "a", DAY_MS, [{ ...claim, reply: "250 ok" }])).toEqual([true]);
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
    expect((await readOwned(on.redis, TAG, "b", 10)).map(({ messageId }) => messageId)).toEqual([stale.messageId]);
    expect(await readOwned(on.redis, TAG, "a", 10)).toEqual([]);
  });
});

describe("what a lost reply took", () => {
  test("is seen by its owner, and given back without spending an attempt", async () => {
    const ingress = on.ingress();
    for (const [i, priority] of (["critical", "default", "low"] as const).entries()) {
      await ingress.post(eventWith(`evt_${i}`, { priority }));
    }
    const lost = await takeAll(on.redis, "a"); // and nobody heard of it
    const owned = await readOwned(on.redis, TAG, "a", 10);
    expect(owned).toEqual(
      lost.map(({ tag, rank, entryId, messageId, attempt }) => ({ tag, rank, entryId, messageId, attempt })),
    );
    expect(await readOwned(on.redis, TAG, "b", 10)).toEqual([]);
    const items = owned.map((claim) => ({ ...claim, reason: "the reply was lost" }));
    expect(await release(on.redis, TAG, "a", items)).toEqual([true, true, true]);
    expect(await readOwned(on.redis, TAG, "a", 10)).toEqual([]);
    expect((await takeAll(on.redis, "b")).map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
  });
});

describe("retiring", () => {
  test("forgets consumers that own nothing and were not seen for long, and no other", async () => {
    const idle = await postAndTake(on, "evt_1", "idle");
    await sent(on.redis, TAG, "idle", DAY_MS, [{ ...idle, reply: "250 ok" }]);
    await postAndTake(on, "evt_2", "busy");
    expect(await retire(on.redis, TAG, 60_000)).toEqual([]);
    expect([...new Set(await retire(on.redis, TAG, 0))]).toEqual(["idle"]);
    expect((await streams(on)).pending).toBe(1);
    expect((await readOwned(on.redis, TAG, "busy", 10)).length).toBe(1);
  });

  test("of a consumer that comes back later does it no harm", async () => {
    await takeAll(on.redis, "a");
    await retire(on.redis, TAG, 0);
    await postAndTake(on, "evt_1", "a");
  });

  test("finds nobody where there is no group", async () => {
    expect(await retire(on.redis, TAG, 0)).toEqual([]);
  });
});

test("the feed is trimmed to a size, the oldest first", async () => {
  const line = "msg_1|deferred|1|451 4.3.0 try again later\n".repeat(100);
  for (let n = 0; n < 2_000; n++) await on.server.raw.xadd(key.feed(TAG), "*", "t", line, "n", n);
  const bytes = async () => Number(await on.server.raw.memory("USAGE", key.feed(TAG)));
  const before = await bytes();
  expect(await trimFeed(on.redis, TAG, before + 1_000)).toBe(0);
  expect(await trimFeed(on.redis, TAG, before / 4)).toBeGreaterThan(1_000);
  expect(await bytes()).toBeLessThan(before / 3);
  const [latest] = await on.server.raw.xrevrange(key.feed(TAG), "+", "-", "COUNT", 1);
  expect(latest?.[1]).toContain("1999");
});

test("a group that is gone keeps no lease from being renewed", async () => {
  const claim = await postAndTake(on, "evt_1", "a");
  const low = { ...claim, rank: "2" };
  expect(await heartbeat(on.redis, TAG, "a", [low, claim])).toEqual([true, true]);
  await on.server.raw.xgroup("DESTROY", QUEUE, GROUP);
  expect(await heartbeat(on.redis, TAG, "a", [claim])).toEqual([true]);
});

describe("sweeping", () => {
  async function post(from: number, to: number): Promise<string[]> {
    const events = Array.from({ length: to - from }, (_, i) => eventWith(`evt_${from + i}`, {}, `c${from + i}@x.y`));
    const posts = await Promise.all(events.map((event) => on.ingress().post(event)));
    return posts.map((posted) => accepted(posted).messageId);
  }
  const expire = (ids: readonly string[]) => on.server.raw.del(...ids.map((id) => key.message(TAG, id))); // as time does
  const chunks = () => on.server.raw.lrange(key.posted(TAG), 0, -1);
  const found = async (i: number) => {
    const { items } = await createMessages(on.redis, 1).list({ recipient: `c${i}@x.y`, limit: 5 });
    return items.map(({ id }) => id);
  };

  /** From the oldest chunk to the end: how many calls, and how many chunks they took out. */
  async function sweepAll(): Promise<{ calls: number; gone: number }> {
    const all = { calls: 0, gone: 0 };
    let after: string | undefined;
    do {
      const swept = await sweep(on.redis, TAG, after);
      all.calls += 1;
      if (swept.gone) all.gone += 1;
      after = swept.next;
    } while (after !== undefined);
    return all;
  }

  test("forgets what has expired, chunk by chunk, and nothing else", async () => {
    const ids = await post(0, 2_000);
    const before = await chunks();
    expect(before.length).toBeGreaterThan(5);
    await expire(ids.filter((_, i) => i !== 0 && i !== 1_000 && i !== 1_999));
    // All but the chunks of the first message and of one in the middle, and the last chunk.
    expect(await sweepAll()).toEqual({ calls: before.length - 1, gone: before.length - 3 });
    const [first, middle, last] = (await chunks()) as [string, string, string];
    expect([first, last]).toEqual([before[0] as string, before.at(-1) as string]);
    expect((await on.server.raw.keys(`${key.posted(TAG)}:*`)).length).toBeLessThanOrEqual(3);
    for (const i of [0, 1_000, 1_999]) expect(await found(i)).toEqual([ids[i] as string]);
    expect(await found(5)).toEqual([]);
    await expire([ids[1_000] as string]);
    expect(await sweep(on.redis, TAG, first)).toEqual({ gone: true, next: undefined });
    expect(await chunks()).not.toContain(middle);
  });

  test("keeps a chunk for any of its messages, wherever it stands", async () => {
    const ids = await post(0, 1_200);
    const [first = ""] = await chunks();
    const inFirst = (await on.server.raw.get(key.postedChunk(TAG, first)))?.trim().split("\n") ?? [];
    await expire(ids);
    for (const line of [inFirst[0], inFirst[100], inFirst.at(-1)]) {
      const message = key.message(TAG, line?.split("|")[0] ?? "");
      await on.server.raw.hset(message, "s", "dead");
      expect(await sweep(on.redis, TAG)).toEqual({ gone: false, next: first });
      await on.server.raw.del(message);
    }
    expect((await sweep(on.redis, TAG)).gone).toBe(true);
  });

  test("begins with the oldest where the chunk to go on after is gone", async () => {
    const ids = await post(0, 1_200);
    const [first = "", second = ""] = await chunks();
    expect(await sweep(on.redis, TAG, first)).toEqual({ gone: false, next: second });
    expect(await sweep(on.redis, TAG, "999")).toEqual({ gone: false, next: first });
    await expire(ids);
    await sweepAll();
    expect(await sweep(on.redis, TAG)).toEqual({ gone: false, next: undefined });
    const [later] = await post(1_200, 1_201);
    expect(await found(1_200)).toEqual([later as string]);
  });

  test("takes out a chunk that somebody has emptied", async () => {
    const ids = await post(0, 700);
    const [first = ""] = await chunks();
    await on.server.raw.del(key.postedChunk(TAG, first));
    expect((await sweep(on.redis, TAG)).gone).toBe(true);
    expect(await found(699)).toEqual([ids[699] as string]);
  });
});
