/* The number of partitions on a cluster of three shards, one of which does not answer. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { Redis } from "ioredis";
import { connect } from "../../src/stream/connect.ts";
import { RedisAway } from "../../src/stream/fault.ts";
import { key, partitionOf, tagOf, tagsOf } from "../../src/stream/keys.ts";
import { LayoutWatch } from "../../src/stream/layoutWatch.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { changeLayout, readLayout } from "../../src/stream/relayout.ts";
import { startCluster, type TestCluster } from "../support/cluster.ts";
import { eventWith } from "../support/event.ts";
import { openIngress } from "../support/ingress.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { keepLines } from "../support/log.ts";
import { until } from "../support/until.ts";
import { accepted } from "./fixture.ts";

const IDS = Array.from({ length: 40 }, (_, n) => `evt_${n}`);
let cluster: TestCluster;
let redis: Redis;

beforeAll(async () => {
  cluster = await startCluster(3);
}, 60_000);
afterEach(() => redis.disconnect());
afterAll(() => cluster.stop());
failOnLeaks();

test("a change that a shard would not learn of is not begun; when it is back it is made, and nothing was lost", async () => {
  redis = connect(cluster.address, "ingress");
  redis.on("error", () => {});
  await redis.connect();
  const slots = await Promise.all(tagsOf(8).map((tag) => cluster.nodes[0]?.raw.call("CLUSTER", "KEYSLOT", tag)));
  const shards = slots.map((slot) => Math.floor(Number(slot) / Math.ceil(16_384 / 3)));
  const missing = shards.findIndex((shard) => shard !== shards[0]);
  const watch = new LayoutWatch(redis, {
    wanted: undefined,
    assumed: missing,
    adopts: true,
    onRefused: () => {},
    log: keepLines().log,
  });
  await watch.refresh();
  const options = { partitions: watch.now, refreshLayout: (moved?: string) => watch.refresh(moved), delayMs: 60_000 };
  const ingress = openIngress(redis, options);
  const ids = new Map<string, string>();
  for (const id of IDS) ids.set(id, accepted(await ingress.post(eventWith(id))).messageId);

  const away = cluster.nodes[shards[missing] ?? 0];
  away?.signal("SIGSTOP");
  try {
    expect(await changeLayout(redis, missing + 1).catch((error) => error)).toBeInstanceOf(RedisAway);
    expect(await redis.get(key.layoutNext(tagOf(0)))).toBeNull();
    const here = Array.from({ length: 20 }, (_, n) => `more_${n}`).find((id) => partitionOf(id, missing) === 0) ?? "";
    ids.set(here, accepted(await ingress.post(eventWith(here))).messageId);
  } finally {
    away?.signal("SIGCONT");
  }
  const isMade = () =>
    changeLayout(redis, missing + 1).then(
      (made) => made.partitions === missing + 1,
      () => false,
    );
  await until("it is made", isMade, 30_000);
  for (const [eventId, id] of ids) {
    expect(accepted(await ingress.post(eventWith(eventId)))).toMatchObject({ messageId: id, duplicate: true });
    expect((await createMessages(redis, watch.now).byEvent(eventId))?.id).toBe(id);
  }
  expect((await readLayout(redis))?.partitions).toBe(missing + 1);
}, 60_000);
