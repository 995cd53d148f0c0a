/* A worker on a Redis Cluster of two shards, one of which fails. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { openOutbox } from "../../src/journal/outbox.ts";
import { createRenderer } from "../../src/mail/render.ts";
import { type ConnectionKind, connect } from "../../src/stream/connect.ts";
import { partitionOf, tagsOf } from "../../src/stream/keys.ts";
import type { RedisAddress } from "../../src/stream/redisUrl.ts";
import { startWorker, type Worker } from "../../src/worker/worker.ts";
import { eventWith } from "../support/event.ts";
import { freePort } from "../support/freePort.ts";
import { openIngress } from "../support/ingress.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { keepLines } from "../support/log.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { mailerThat } from "./fixture.ts";

const PARTITIONS = 8;
const DAY_MS = 86_400_000;

let [one, two]: TestRedis[] = [];
let address: RedisAddress;
/** Partitions by the shard that has them. */
let [ofOne, ofTwo]: Set<number>[] = [];
let opened: Redis[] = [];
let workers: Worker[] = [];
let directory: string;
let kept: ReturnType<typeof keepLines>;
/** Recipients. */
let mailed: string[] = [];

beforeAll(async () => {
  const ports = [freePort(), freePort()];
  [one, two] = await Promise.all(
    ports.map((port) =>
      startRedis(
        ...["--port", String(port), "--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"],
        ...["--cluster-require-full-coverage", "no", "--cluster-node-timeout", "60000"],
      ),
    ),
  );
  if (one === undefined || two === undefined) throw new Error("two servers were started");
  await one.raw.call("CLUSTER", "ADDSLOTSRANGE", "0", "8191");
  await two.raw.call("CLUSTER", "ADDSLOTSRANGE", "8192", "16383");
  await two.raw.call("CLUSTER", "SET-CONFIG-EPOCH", "2");
  await one.raw.call("CLUSTER", "MEET", "127.0.0.1", String(ports[1]));
  for (const { raw } of [one, two]) {
    await until("the shards know each other", async () =>
      /cluster_state:ok[\s\S]*cluster_size:2/.test(String(await raw.cluster("INFO"))),
    );
  }
  address = { kind: "cluster", hosts: ports.map((port) => ({ host: "127.0.0.1", port })) };
  const slots = await Promise.all(tagsOf(PARTITIONS).map((tag) => one?.raw.call("CLUSTER", "KEYSLOT", tag)));
  ofOne = new Set(slots.flatMap((slot, partition) => (Number(slot) < 8_192 ? [partition] : [])));
  ofTwo = new Set(slots.flatMap((slot, partition) => (Number(slot) < 8_192 ? [] : [partition])));
});
afterAll(() => Promise.all([one?.stop(), two?.stop()]));
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pp-"));
  kept = keepLines();
  mailed = [];
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.stop(0)));
  for (const redis of opened) redis.disconnect();
  [workers, opened] = [[], []];
  for (const shard of [one, two]) if (shard?.raw.status === "ready") await shard.raw.flushall();
  rmSync(directory, { recursive: true });
});
failOnLeaks();

async function open(kind: ConnectionKind): Promise<Redis> {
  const redis = connect(address, kind);
  redis.on("error", () => {});
  opened.push(redis);
  redis.connect().catch(() => {}); // with a shard away it tries again, and this promise may never know
  await until("the cluster is there", () => redis.status === "ready");
  return redis;
}

/** So many events of the partitions of one shard. */
async function post(redis: Redis, prefix: string, count: number, partitions: ReadonlySet<number>): Promise<string[]> {
  const ingress = openIngress(redis, { partitions: PARTITIONS });
  const recipients: string[] = [];
  for (let n = 0; recipients.length < count; n++) {
    const id = `${prefix}_${n}`;
    if (!partitions.has(partitionOf(id, PARTITIONS))) continue;
    expect((await ingress.post(eventWith(id, {}, `${id}@example.com`))).kind).toBe("accepted");
    recipients.push(`${id}@example.com`);
  }
  return recipients;
}

async function start(redis: Redis): Promise<void> {
  const worker = await startWorker({
    redis,
    openBlocking() {
      const blocking = connect(address, "blocking");
      blocking.on("error", () => {});
      return blocking;
    },
    readsPartitionsTogether: false,
    partitions: PARTITIONS,
    consumer: "a",
    concurrency: 4,
    leaseMs: 30_000,
    retentionMs: DAY_MS,
    booking: { store: undefined, delaysMs: [100], maxAsks: 3 },
    outbox: openOutbox(directory, kept.log),
    rollbacks: { isRolledBack: () => false, hasChangedSince: () => false },
    priorityOrder: "weighted",
    policy: { maxRetries: 3, retryDelaysMs: [1], onUnknown: "resend" },
    render: createRenderer({ from: "shop@example.org" }),
    mailer: mailerThat(async ({ to }) => {
      mailed.push(to.address);
      return { kind: "sent", reply: "250 ok" };
    }),
    log: kept.log,
    random: () => 0,
  });
  workers.push(worker);
}

const all = (recipients: readonly string[]) => recipients.every((recipient) => mailed.includes(recipient));

test("while one shard hangs, what is on the other is sent as before", async () => {
  const [redis, producer] = [await open("worker"), await open("worker")];
  await start(redis);
  const before = [
    ...(await post(producer, "x", 5, ofOne ?? new Set())),
    ...(await post(producer, "y", 5, ofTwo ?? new Set())),
  ];
  await until("both are served", () => all(before));
  two?.signal("SIGSTOP");
  try {
    await kept.waitFor(({ msg }) => msg === "nothing can be taken from a partition, the others go on");
    const live = await post(producer, "live", 300, ofOne ?? new Set());
    await until("what is on the other is sent", () => all(live), 5_000);
  } finally {
    two?.signal("SIGCONT");
  }
  const after = await (async () => {
    const fresh = await open("worker");
    return post(fresh, "after", 5, ofTwo ?? new Set());
  })();
  await until("it is served again", () => all(after));
  expect(new Set(mailed).size).toBe(mailed.length);
});

test("a worker that starts while one shard is away serves the other, and that one when it is back", async () => {
  const producer = await open("worker");
  const live = await post(producer, "x", 20, ofOne ?? new Set());
  const later = await post(producer, "y", 20, ofTwo ?? new Set());
  await two?.kill();
  await start(await open("worker"));
  await until("what is on the other is sent", () => all(live));
  expect(mailed.filter((recipient) => later.includes(recipient))).toEqual([]);
  await two?.start();
  await until("the rest is sent, too", () => all(later), 30_000);
  expect(new Set(mailed).size).toBe(mailed.length);
});
