/* What nobody needs any more goes, and nothing else. */
import { describe, expect, test } from "bun:test";
import { key, tagOf } from "../../src/stream/keys.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { settle } from "../../src/stream/settle.ts";
import { readHoldings } from "../../src/stream/take.ts";
import { retire, sweep, trimFeed } from "../../src/stream/tidy.ts";
import { eventWith } from "../support/event.ts";
import { accepted, onRedis, owner, postAndTake, streams, takeAll } from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis("--appendonly", "no");

describe("retiring", () => {
  test("forgets consumers that own nothing and were not seen for long, and no other", async () => {
    const idle = await postAndTake(on, "evt_1", "idle");
    await settle(owner(on.redis, TAG, "idle"), "sent", [{ ...idle, reply: "250 ok" }]);
    await postAndTake(on, "evt_2", "busy");
    expect(await retire(on.redis, TAG, 60_000)).toEqual([]);
    expect([...new Set(await retire(on.redis, TAG, 0))]).toEqual(["idle"]);
    expect((await streams(on)).pending).toBe(1);
    expect((await readHoldings(on.redis, TAG, "busy", 10)).length).toBe(1);
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
