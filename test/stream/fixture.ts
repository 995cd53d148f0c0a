/* A Redis for a test file, empty for each test, and connections that are closed after it. */
import { afterAll, afterEach, beforeAll, beforeEach } from "bun:test";
import type { Redis } from "ioredis";
import type { Accepted, Ingress, Posted } from "../../src/domain/ingress.ts";
import { PRIORITIES } from "../../src/domain/lifecycle.ts";
import { type ConnectionKind, connect } from "../../src/stream/connect.ts";
import type { IngressOptions } from "../../src/stream/enqueueCall.ts";
import { GROUP, key, tagOf } from "../../src/stream/keys.ts";
import type { RedisAddress } from "../../src/stream/redisUrl.ts";
import type { Owner } from "../../src/stream/settle.ts";
import { type Taken, take } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { openIngress } from "../support/ingress.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { startWire, type Wire } from "../support/wire.ts";

export const DAY_MS = 86_400_000;

export interface Fixture {
  server: TestRedis;
  /** Open while the file runs, for whatever a test wants to look at or do. */
  redis: Redis;
  /** To the same Redis, and may be cut. */
  wire: Wire;
  /** A ready connection for this test. */
  open(kind: ConnectionKind, address?: RedisAddress): Promise<Redis>;
  /** Without a delay, on `redis` if no other is given. */
  ingress(options?: Partial<IngressOptions>, redis?: Redis): Ingress;
}

/** Call it once, at the top of a file. */
export function onRedis(...extra: string[]): Fixture {
  const opened: Redis[] = [];
  const fixture = {
    async open(kind, address = fixture.server.address) {
      const redis = connect(address, kind);
      redis.on("error", () => {}); // some tests take the server away
      opened.push(redis);
      await redis.connect();
      return redis;
    },
    ingress: (options = {}, redis = fixture.redis) => openIngress(redis, { durability: () => "fsynced", ...options }),
  } as Fixture;

  beforeAll(async () => {
    fixture.server = await startRedis(...extra);
    fixture.redis = await fixture.open("worker");
    opened.pop();
    fixture.wire = await startWire(fixture.server.address.path);
  });
  beforeEach(async () => {
    await fixture.server.raw.flushall();
  });
  afterEach(() => {
    for (const redis of opened.splice(0)) redis.disconnect();
  });
  afterAll(async () => {
    fixture.redis.disconnect();
    await fixture.wire.stop();
    await fixture.server.stop();
  });
  failOnLeaks();
  return fixture;
}

/** The dedup window of an event is over, as time would have it; its message is still there. */
export async function endDedupWindow(on: Fixture, messageId: string): Promise<void> {
  const hash = key.message(tagOf(0), messageId);
  const eventKey = await on.server.raw.hget(hash, "c");
  await on.server.raw.hset(hash, { c: `${eventKey?.[0]}${"0".repeat(13)}${eventKey?.slice(14)}` });
}

/** Takes up to ten messages of a partition, all that is there in most tests. */
export function takeAll(redis: Redis, consumer: string, tag = tagOf(0)): Promise<Taken[]> {
  return take(redis, tag, consumer, 10, [0, 0, 0]);
}

/** A worker in a partition. */
export function owner(redis: Redis, tag: string, consumer: string, retentionMs = DAY_MS): Owner {
  return { redis, tag, consumer, retentionMs };
}

/** Posts an event and takes its message: the only one that is queued. */
export async function postAndTake(on: Fixture, eventId: string, consumer: string): Promise<Taken> {
  await on.ingress().post(eventWith(eventId));
  const [taken, ...more] = await takeAll(on.redis, consumer);
  if (taken === undefined || more.length > 0) throw new Error(`${more.length + (taken ? 1 : 0)} messages to take`);
  return taken;
}

/** The messages' ids in a partition's streams, and how many of its entries are pending. */
export async function streams(on: Fixture, tag = tagOf(0)): Promise<{ entries: string[]; pending: number }> {
  const entries: string[] = [];
  let pending = 0;
  for (const rank of PRIORITIES.keys()) {
    const stream = key.queue(tag, rank);
    entries.push(...(await on.server.raw.xrange(stream, "-", "+")).map(([, fields]) => fields[1] ?? ""));
    pending += await on.server.raw.xpending(stream, GROUP).then(
      ([count]) => Number(count),
      () => 0, // no group yet
    );
  }
  return { entries, pending };
}

export function accepted(posted: Posted): Accepted {
  if (posted.kind !== "accepted") throw new Error(`not accepted: ${JSON.stringify(posted)}`);
  return posted;
}

/** Redis's own clock, epoch ms. */
export async function redisNow(redis: Redis): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
}
