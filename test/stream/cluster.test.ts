/* The same on a Redis Cluster: one node is enough for it to refuse keys of two slots in one command. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Redis } from "ioredis";
import { type ConnectionKind, connect } from "../../src/stream/connect.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { writeFault } from "../../src/stream/durability.ts";
import { createFeed } from "../../src/stream/feed.ts";
import { tagsOf } from "../../src/stream/keys.ts";
import { reclaim } from "../../src/stream/lease.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { createQueues } from "../../src/stream/queues.ts";
import type { RedisAddress } from "../../src/stream/redisUrl.ts";
import { settle } from "../../src/stream/settle.ts";
import type { Transition } from "../../src/stream/store.ts";
import { promote, type Taken } from "../../src/stream/take.ts";
import { retire, sweep } from "../../src/stream/tidy.ts";
import { watchDurability } from "../../src/stream/watchDurability.ts";
import { eventWith } from "../support/event.ts";
import { freePort } from "../support/freePort.ts";
import { openIngress } from "../support/ingress.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { keepLines } from "../support/log.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { accepted, DAY_MS, owner, takeAll } from "./fixture.ts";

const PARTITIONS = 4;
const TAGS = tagsOf(PARTITIONS);

let server: TestRedis;
let address: RedisAddress;
const opened: Redis[] = [];

beforeAll(async () => {
  const port = freePort();
  server = await startRedis("--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1", "--port", String(port));
  address = { kind: "cluster", hosts: [{ host: "127.0.0.1", port }] };
  await server.raw.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
  await until("the cluster is up", async () => String(await server.raw.cluster("INFO")).includes("cluster_state:ok"));
});
afterEach(async () => {
  for (const redis of opened.splice(0)) redis.disconnect();
  await server.raw.flushall();
});
afterAll(() => server.stop());
failOnLeaks();

async function open(kind: ConnectionKind): Promise<Redis> {
  const redis = connect(address, kind);
  redis.on("error", () => {});
  opened.push(redis);
  await redis.connect();
  return redis;
}

async function post(redis: Redis, count: number, delayMs = 0): Promise<string[]> {
  const ingress = openIngress(redis, { partitions: PARTITIONS, delayMs });
  const posts = await Promise.all(Array.from({ length: count }, (_, i) => ingress.post(eventWith(`evt_${i}`))));
  return posts.map((posted) => accepted(posted).messageId).sort();
}

describe("a cluster", () => {
  test("takes posts of all partitions, and each of them once", async () => {
    const redis = await open("ingress");
    const ids = await post(redis, 40);
    expect(new Set(ids).size).toBe(40);
    expect(await post(redis, 40)).toEqual(ids);
    const messages = createMessages(redis, PARTITIONS);
    expect((await messages.byEvent("evt_7"))?.eventId).toBe("evt_7");
    const { items } = await messages.list({ recipient: "an@example.com", limit: 200 });
    expect(items.map(({ id }) => id).sort()).toEqual(ids);
  });

  test("lets a worker promote, take, settle, reclaim and tidy up in each partition", async () => {
    const redis = await open("worker");
    const ids = await post(redis, 40, 1);
    const settled: string[] = [];
    for (const tag of TAGS) {
      await until("its messages are due", async () => (await promote(redis, tag, 100)).messages.length === 0);
      for (let claims = await takeAll(redis, "a", tag); claims.length > 0; claims = await takeAll(redis, "a", tag)) {
        const [first, ...rest] = claims as [Taken, ...Taken[]];
        expect(await settle(owner(redis, tag, "a"), "dead", [{ ...first, reason: "550 no" }])).toEqual([true]);
        const written = await settle(
          owner(redis, tag, "a"),
          "sent",
          rest.map((claim) => ({ ...claim, reply: "250 ok" })),
        );
        expect(written).toEqual(rest.map(() => true));
        settled.push(...claims.map(({ messageId }) => messageId));
      }
      expect(await reclaim(redis, tag, { of: "a" }, 0, { maxRetries: 3, onUnknown: "resend" })).toEqual([]);
      expect(await retire(redis, tag, 0)).toContain("a");
      expect((await sweep(redis, tag)).gone).toBe(false);
    }
    expect(settled.sort()).toEqual(ids);

    const dead = createDeadLetters(redis, PARTITIONS, DAY_MS);
    const { items } = await dead.list({ limit: 200 });
    expect(items.length).toBeGreaterThanOrEqual(PARTITIONS);
    expect(await dead.replay(items[0]?.id ?? "", { recipient: "other@example.com" })).toBe("replayed");
    expect(await dead.drop(items[1]?.id ?? "")).toBe("dropped");
    const queues = createQueues(redis, PARTITIONS);
    expect((await queues.depths())[0]).toMatchObject({ queued: 1, sending: 0 });
    expect((await queues.counts()).sent.now).toBe(40 - items.length);
    await queues.pause("critical");
  });

  test("can be followed over all partitions", async () => {
    const ids = await post(await open("ingress"), 40);
    const seen: Transition[] = [];
    const feed = createFeed(() => connect(address, "blocking"), PARTITIONS);
    const unfollow = feed.follow(TAGS.map(() => "0-0").join(), (transition) => seen.push(transition));
    try {
      await until("all are seen", () => seen.length >= 40);
      expect(seen.map(({ messageId }) => messageId).sort()).toEqual(ids);
    } finally {
      unfollow();
    }
  });

  test("says how durable it is, and whether it can take a write", async () => {
    const redis = await open("ingress");
    const watch = watchDurability(redis, 0, keepLines().log);
    const promised = await Promise.all(TAGS.map((tag) => watch.of(tag)));
    expect(promised).toEqual(Array(PARTITIONS).fill("fsynced"));
    expect(await writeFault(redis, PARTITIONS)).toBeUndefined();
    watch.stop();
  });
});
