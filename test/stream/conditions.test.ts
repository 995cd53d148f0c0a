/* A Redis that is there and cannot take a write now: posts are refused whole, and work that is there drains. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Redis } from "ioredis";
import type { Ingress } from "../../src/domain/ingress.ts";
import { connect } from "../../src/stream/connect.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { RedisAway } from "../../src/stream/fault.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { heartbeat, reclaim } from "../../src/stream/lease.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { settle } from "../../src/stream/settle.ts";
import { promote, readHoldings, type Taken, take } from "../../src/stream/take.ts";
import { retire, sweep } from "../../src/stream/tidy.ts";
import { eventWith } from "../support/event.ts";
import { freePort } from "../support/freePort.ts";
import { startRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { accepted, DAY_MS, onRedis, owner } from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis();
const POLICY = { maxRetries: 3, onUnknown: "resend" } as const;

afterEach(async () => {
  await on.server.raw.replicaof("NO", "ONE");
  await on.server.raw.config("SET", "maxmemory", "0", "min-replicas-to-write", "0", "busy-reply-threshold", "5000");
});

/** What a producer does: until it is accepted. */
async function postUntilAccepted(ingress: Ingress, id: string) {
  return until(`${id} is accepted`, async () => {
    const posted = await ingress.post(eventWith(id));
    return posted.kind === "accepted" ? posted : undefined;
  });
}

async function takeAll(free: number): Promise<Taken[]> {
  return take(on.redis, TAG, "a", free, [0, 0, 0]);
}

/** Everything that is in Redis, as text. */
async function contents(raw: Redis): Promise<string[]> {
  const keys = (await raw.keys("*")).sort();
  return Promise.all(keys.map(async (name) => `${name} ${(await raw.dumpBuffer(name))?.toString("hex")}`));
}

test("a database that Redis does not have is Redis away: nothing is written into another one", async () => {
  const port = freePort();
  const server = await startRedis("--port", String(port), "--databases", "2");
  const databases = [1, 2].map((db) => connect({ kind: "single", host: "127.0.0.1", port, db }, "ingress"));
  const [there, missing] = databases as [Redis, Redis];
  try {
    const refused: string[] = [];
    missing.on("error", (error) => refused.push(error.message));
    missing.connect().catch(() => {});
    await until("it has tried more than once", () => refused.length > 2);
    expect(refused).toContain("ERR DB index is out of range");
    for (let n = 0; n < 20; n++) {
      expect((await on.ingress({}, missing).post(eventWith(`evt_${n}`))).kind).toBe("unavailable");
      await new Promise(setImmediate);
    }
    expect(await server.raw.dbsize()).toBe(0);
    await there.connect();
    await postUntilAccepted(on.ingress({}, there), "evt_1");
    expect([await server.raw.dbsize(), await there.exists(key.queue(TAG, 0))]).toEqual([0, 1]);
  } finally {
    for (const redis of databases) redis.disconnect();
    await server.stop();
  }
});

describe("a key of another type in the way", () => {
  test.each([
    ["the stream", key.queue(TAG, 0)],
    ["another priority's stream", key.queue(TAG, 2)],
    ["the due set", key.due(TAG)],
  ])(
    "at %s makes the post fail with nothing written, and the same post succeed after the repair",
    async (_what, name) => {
      const { raw } = on.server;
      await raw.set(name, "not what it should be");
      const before = await contents(raw);
      expect(on.ingress().post(eventWith("evt_1"))).rejects.toThrow("WRONGTYPE");
      expect(on.ingress({ delayMs: 1 }).post(eventWith("evt_2"))).rejects.toThrow("WRONGTYPE");
      await on
        .ingress()
        .post(eventWith("evt_1"))
        .catch(() => {});
      expect(await contents(raw)).toEqual(before);
      await raw.del(name);
      expect(accepted(await on.ingress().post(eventWith("evt_1"))).duplicate).toBeFalse();
      expect((await takeAll(5)).length).toBe(1);
    },
  );

  test.each([
    ["the feed", key.feed(TAG)],
    ["the list of chunks", key.posted(TAG)],
    ["a chunk", key.postedChunk(TAG, "1")],
    ["the counters", key.counts(TAG)],
  ])("at %s stops no event: it is accepted, sent, and not mailed twice", async (_what, name) => {
    const { raw } = on.server;
    await raw.set(name, "not what it should be");
    const { messageId } = accepted(await on.ingress().post(eventWith("evt_1")));
    const taken = await takeAll(5);
    expect(taken.map((one) => one.messageId)).toEqual([messageId]);
    expect(
      await settle(
        owner(on.redis, TAG, "a", 60_000),
        "sent",
        taken.map((one) => ({ ...one, reply: "250 ok" })),
      ),
    ).toEqual([true]);
    await raw.del(name);
    expect(accepted(await on.ingress().post(eventWith("evt_1"))).duplicate).toBeTrue();
    expect(await takeAll(5)).toEqual([]);
  });

  test("fails its own post alone: others of the same turn are accepted, or are when they are posted again", async () => {
    const { raw } = on.server;
    const bad = key.message(TAG, messageIdOf("evt_2", 0));
    await raw.set(bad, "not what it should be");
    const ingress = on.ingress();
    await Promise.allSettled(["evt_1", "evt_2", "evt_3"].map((id) => ingress.post(eventWith(id))));
    for (const id of ["evt_1", "evt_3"]) accepted(await ingress.post(eventWith(id)));
    expect((await takeAll(9)).map(({ json }) => JSON.parse(json).id).sort()).toEqual(["evt_1", "evt_3"]);
  });
});

describe("a Redis without memory", () => {
  async function fill(): Promise<void> {
    await on.server.raw.config("SET", "maxmemory", "1");
  }

  test("refuses posts, and keeps nothing of them", async () => {
    const ingress = on.ingress();
    await ingress.post(eventWith("evt_0"));
    const before = await contents(on.server.raw);
    await fill();
    for (const delayMs of [0, 1_000]) {
      const posted = await ingress.post(eventWith("evt_1", { delayMs }));
      const reason = expect.stringContaining("OOM");
      expect(posted).toEqual({ kind: "unavailable", reason, takesDecisions: true });
    }
    expect(await contents(on.server.raw)).toEqual(before);
    await on.server.raw.config("SET", "maxmemory", "0");
    expect(accepted(await ingress.post(eventWith("evt_1"))).duplicate).toBeFalse();
  });

  test("lets all that is there go on: promote, take, every settlement, heartbeat, reclaim", async () => {
    const ingress = on.ingress();
    for (let i = 0; i < 7; i++) await ingress.post(eventWith(`evt_${i}`));
    const due = accepted(await ingress.post(eventWith("evt_due", { delayMs: 1 })));
    await fill();
    await until("it is due", async () => (await promote(on.redis, TAG, 10)).messages.length === 1);
    const taken = await takeAll(10);
    expect(taken.map(({ messageId }) => messageId)).toContain(due.messageId);
    const [a, b, c, d, e, f, g] = taken as [Taken, Taken, Taken, Taken, Taken, Taken, Taken];
    const reason = "451 busy";
    expect(await heartbeat(on.redis, TAG, "a", taken)).toEqual(taken.map(() => true));
    expect(await settle(owner(on.redis, TAG, "a"), "sent", [{ ...a, reply: "250 ok" }])).toEqual([true]);
    expect(await settle(owner(on.redis, TAG, "a"), "deferred", [{ ...b, delayMs: 1, reason }])).toEqual([true]);
    expect(await settle(owner(on.redis, TAG, "a"), "dead", [{ ...c, reason }])).toEqual([true]);
    expect(await settle(owner(on.redis, TAG, "a"), "unknown", [{ ...d, resendDelayMs: 1, reason }])).toEqual([true]);
    expect(await settle(owner(on.redis, TAG, "a"), "unknown", [{ ...e, resendDelayMs: undefined, reason }])).toEqual([
      true,
    ]);
    expect(await settle(owner(on.redis, TAG, "a"), "released", [{ ...f, reason }])).toEqual([true]);
    expect((await readHoldings(on.redis, TAG, "a", 10)).map(({ messageId }) => messageId)).toContain(g.messageId);
    expect((await reclaim(on.redis, TAG, { of: "a" }, 0, POLICY)).length).toBe(2);
    expect(await retire(on.redis, TAG, 0)).toContain("a");
    expect((await sweep(on.redis, TAG)).gone).toBe(false);
    expect(await createDeadLetters(on.redis, 1, DAY_MS).drop(c.messageId)).toBe("dropped");
  });

  test("says that it is away where a person wants to add work", async () => {
    await on.ingress().post(eventWith("evt_1"));
    const [claim] = (await takeAll(1)) as [Taken];
    await settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason: "550 no" }]);
    await fill();
    const dead = createDeadLetters(on.redis, 1, DAY_MS);
    expect(dead.replay(claim.messageId, {})).rejects.toBeInstanceOf(RedisAway);
    expect((await dead.list({ limit: 5 })).items.length).toBe(1);
  });
});

describe("a Redis that must not take writes", () => {
  const conditions: [string, string, () => Promise<unknown>, () => Promise<unknown>][] = [
    [
      "without its replicas",
      "NOREPLICAS",
      () => on.server.raw.config("SET", "min-replicas-to-write", "1"),
      () => on.server.raw.config("SET", "min-replicas-to-write", "0"),
    ],
    [
      "that is a replica itself, after a failover",
      "READONLY",
      () => on.server.raw.replicaof("127.0.0.1", 1),
      () => on.server.raw.replicaof("NO", "ONE"),
    ],
  ];
  for (const [what, word, begin, end] of conditions) {
    test(`${what} (${word}) refuses posts, says why, and takes the same ones when it may again`, async () => {
      const redis = await on.open("ingress");
      const ingress = on.ingress({}, redis);
      await ingress.post(eventWith("evt_0"));
      const before = await contents(on.server.raw);
      await begin();
      const posted = await ingress.post(eventWith("evt_1"));
      expect(posted).toEqual({ kind: "unavailable", reason: expect.stringContaining(word) });
      for (let i = 0; i < 20; i++) expect((await ingress.post(eventWith(`evt_${i + 1}`))).kind).toBe("unavailable");
      expect(await contents(on.server.raw)).toEqual(before);
      await end();
      expect((await postUntilAccepted(ingress, "evt_1")).duplicate).toBeFalse();
    });

    test(`${what} (${word}) tells the worker that it is away, and can be read all the same`, async () => {
      await on.ingress().post(eventWith("evt_1"));
      const worker = await on.open("worker");
      await take(worker, TAG, "a", 0, [0, 0, 0]); // Redis has the script now
      await begin();
      expect(take(worker, TAG, "a", 1, [0, 0, 0])).rejects.toBeInstanceOf(RedisAway);
      await take(worker, TAG, "a", 1, [0, 0, 0]).catch(() => {});
      expect((await createMessages(on.redis, 1).byEvent("evt_1"))?.state).toBe("queued");
      await end();
      await until("the worker takes it", async () => {
        const taken = await take(worker, TAG, "a", 1, [0, 0, 0]).catch(() => []);
        return taken.length === 1;
      });
    });
  }

  test("because a script of somebody else's runs and runs (BUSY), refuses posts for that time", async () => {
    const ingress = on.ingress({}, await on.open("ingress"));
    await ingress.post(eventWith("evt_0"));
    await on.server.raw.config("SET", "busy-reply-threshold", "20");
    const other = await on.open("worker");
    const endless = other.eval("while true do end", 0).catch((error: Error) => error.message);
    // The connection that would say so is one of those that wait.
    const posted = await until("it is said to be busy", async () => {
      const one = await ingress.post(eventWith("evt_1"));
      return one.kind === "unavailable" && one.reason.includes("BUSY") ? one : undefined;
    });
    expect(posted.kind).toBe("unavailable");
    await on.server.raw.script("KILL");
    expect(await endless).toContain("killed");
    await postUntilAccepted(ingress, "evt_1");
  });
});

describe("scripts that Redis has forgotten", () => {
  test("are sent again, whichever it is", async () => {
    const { raw } = on.server;
    const ingress = on.ingress();
    for (const id of ["evt_1", "evt_2"]) {
      await raw.script("FLUSH");
      accepted(await ingress.post(eventWith(id)));
    }
    await raw.script("FLUSH");
    const [claim, other] = (await takeAll(2)) as [Taken, Taken];
    await raw.script("FLUSH");
    expect(await heartbeat(on.redis, TAG, "a", [claim])).toEqual([true]);
    await raw.script("FLUSH");
    expect(await settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }])).toEqual([true]);
    await raw.script("FLUSH");
    expect(await settle(owner(on.redis, TAG, "a"), "dead", [{ ...other, reason: "550 no" }])).toEqual([true]);
    await raw.script("FLUSH");
    expect(await createDeadLetters(on.redis, 1, DAY_MS).replay(other.messageId, {})).toBe("replayed");
  });

  test("are sent again for posts that are on their way at that moment", async () => {
    const ingress = on.ingress();
    const posts = Array.from({ length: 300 }, (_, i) => ingress.post(eventWith(`evt_${i}`)));
    await on.server.raw.script("FLUSH");
    for (const posted of await Promise.all(posts)) accepted(posted);
    expect(await on.server.raw.xlen(key.queue(TAG, 0))).toBe(300);
  });
});
