import { describe, expect, test } from "bun:test";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { key, tagOf, tagsOf } from "../../src/stream/keys.ts";
import { reclaim } from "../../src/stream/lease.ts";
import { type NewKind, tellNewKinds } from "../../src/stream/newKinds.ts";
import { settle } from "../../src/stream/settle.ts";
import { eventWith } from "../support/event.ts";
import { accepted, DAY_MS, onRedis, owner, postAndTake, takeAll } from "./fixture.ts";

const TAG = tagOf(0);

const on = onRedis();

async function told(partitions = 1, redis = on.redis): Promise<NewKind[]> {
  const kinds: NewKind[] = [];
  await tellNewKinds(redis, partitions, (kind) => kinds.push(kind));
  return kinds;
}

async function die(eventId: string, reason: string): Promise<string> {
  const claim = await postAndTake(on, eventId, "a");
  await settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason }]);
  return claim.messageId;
}

describe("a kind of dead letters", () => {
  test("is told of once, with one that died of it", async () => {
    expect(await told()).toEqual([]);
    const messageId = await die("evt_1", "550 5.1.1 <an@x.y> unknown");
    expect(await told()).toEqual([
      { messageId, eventId: "evt_1", fingerprint: expect.any(String), reason: "550 5.1.1 <an@x.y> unknown" },
    ]);
    await die("evt_2", "550 5.1.1 <binh@x.y> unknown");
    expect(await told()).toEqual([]);
    await die("evt_3", "552 5.2.2 full");
    expect((await told()).map(({ eventId }) => eventId)).toEqual(["evt_3"]);
  });

  test("is told of once over all partitions, by whichever worker looks first", async () => {
    const ingress = on.ingress({ partitions: 4 });
    for (let i = 0; i < 40; i++) accepted(await ingress.post(eventWith(`evt_${i}`)));
    for (const tag of tagsOf(4)) {
      const claims = await takeAll(on.redis, "a", tag);
      await settle(
        owner(on.redis, tag, "a"),
        "dead",
        claims.map((claim) => ({ ...claim, reason: "550 5.1.1 no such user" })),
      );
    }
    const workers = await Promise.all([1, 2, 3].map(() => on.open("worker")));
    const each = await Promise.all(workers.map((redis) => told(4, redis)));
    expect(each.flat()).toHaveLength(1);
    expect(await told(4)).toEqual([]);
  });

  test("is new again when all of it is gone, and it comes back", async () => {
    const dead = createDeadLetters(on.redis, 1, DAY_MS);
    const ids = [await die("evt_1", "550 no"), await die("evt_2", "550 no")];
    expect(await told()).toHaveLength(1);
    await dead.drop(ids[0] ?? "");
    expect(await told()).toEqual([]);
    await dead.replay(ids[1] ?? "", {});
    expect(await told()).toEqual([]);
    const [claim] = await takeAll(on.redis, "a");
    if (claim === undefined) throw new Error("nothing to take");
    await settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason: "550 no" }]);
    expect((await told()).map(({ messageId }) => messageId)).toEqual([ids[1] ?? ""]);
  });

  test("is told of however it came to be: an entry without a message, a lost worker, an outcome that nobody knows", async () => {
    await on.redis.xadd(key.queue(TAG, 0), "*", "nothing", "here");
    expect(await takeAll(on.redis, "a")).toEqual([]);
    await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 0, onUnknown: "resend" });
    const claim = await postAndTake(on, "evt_2", "a");
    await settle(owner(on.redis, TAG, "a"), "unknown", [
      { ...claim, resendDelayMs: undefined, reason: "no answer at the final dot" },
    ]);
    const kinds = await told();
    expect(kinds.map(({ eventId }) => eventId).sort()).toEqual(["", "evt_1", "evt_2"]);
    expect(kinds.map(({ reason }) => reason)).toContain("no answer at the final dot");
  });

  test("is told of by a Redis without memory too", async () => {
    await die("evt_1", "550 no");
    await on.server.raw.config("SET", "maxmemory", "1");
    try {
      expect(await told()).toHaveLength(1);
      expect(await told()).toEqual([]);
    } finally {
      await on.server.raw.config("SET", "maxmemory", "0");
    }
  });
});
