/* A worker on a Redis Cluster that moves the slot of one of its partitions to another node. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { openOutbox } from "../../src/journal/outbox.ts";
import { createRenderer } from "../../src/mail/render.ts";
import { connect } from "../../src/stream/connect.ts";
import { createFeed } from "../../src/stream/feed.ts";
import { partitionOf, slotOf, tagOf } from "../../src/stream/keys.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { startWorker, type Worker } from "../../src/worker/worker.ts";
import { accepted } from "../stream/fixture.ts";
import { beginMove, startCluster, type TestCluster } from "../support/cluster.ts";
import { eventWith } from "../support/event.ts";
import { openIngress } from "../support/ingress.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { keepLines } from "../support/log.ts";
import { until } from "../support/until.ts";
import { mailerThat } from "./fixture.ts";

const PARTITIONS = 4;
const MOVING = 1;
const LEASE_MS = 300;

let cluster: TestCluster;
let opened: Redis[] = [];
let workers: Worker[] = [];
let directory: string;
let kept: ReturnType<typeof keepLines>;
/** Message ids, as they were handed to the relay. */
let mailed: string[] = [];
/** What a mail waits for in the hands of the relay. */
let relayed: Promise<void>;

beforeAll(async () => {
  cluster = await startCluster(2);
});
afterAll(() => cluster.stop());
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pp-"));
  kept = keepLines();
  mailed = [];
  relayed = Promise.resolve();
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.stop(0)));
  for (const redis of opened) redis.disconnect();
  [workers, opened] = [[], []];
  for (const { raw } of cluster.nodes) await raw.flushall();
  rmSync(directory, { recursive: true });
});
failOnLeaks();

function open(kind: "worker" | "blocking"): Redis {
  const redis = connect(cluster.address, kind);
  redis.on("error", () => {});
  opened.push(redis);
  return redis;
}

async function start(consumer = "a"): Promise<Worker> {
  const redis = open("worker");
  await redis.connect();
  const folder = join(directory, consumer);
  mkdirSync(folder, { recursive: true });
  const worker = await startWorker({
    redis,
    openBlocking: () => open("blocking"),
    readsPartitionsTogether: false,
    partitions: PARTITIONS,
    consumer,
    concurrency: 4,
    leaseMs: LEASE_MS,
    retentionMs: 86_400_000,
    booking: { store: undefined, delaysMs: [100], maxAsks: 3 },
    outbox: openOutbox(folder, kept.log),
    rollbacks: { isRolledBack: () => false, hasChangedSince: () => false },
    priorityOrder: "weighted",
    policy: { maxRetries: 3, retryDelaysMs: [1], onUnknown: "resend" },
    render: createRenderer({ from: "shop@example.org" }),
    mailer: mailerThat(async ({ messageIdHeader }) => {
      mailed.push(messageIdHeader);
      await relayed;
      return { kind: "sent", reply: "250 ok" };
    }),
    log: kept.log,
    random: () => 0,
  });
  workers.push(worker);
  return worker;
}

/** Posts so many events of one partition, or of all but one. */
async function post(redis: Redis, prefix: string, count: number, isWanted: (partition: number) => boolean) {
  const ingress = openIngress(redis, { partitions: PARTITIONS });
  const ids: string[] = [];
  for (let n = 0; ids.length < count; n++) {
    const id = `${prefix}_${n}`;
    if (isWanted(partitionOf(id, PARTITIONS))) ids.push(accepted(await ingress.post(eventWith(id))).messageId);
  }
  return ids;
}
const ofMoving = (partition: number) => partition === MOVING;
const ofOthers = (partition: number) => partition !== MOVING;
const areSent = async (redis: Redis, ids: readonly string[]) => {
  const found = await Promise.all(ids.map((id) => createMessages(redis, PARTITIONS).byId(id)));
  return found.every((message) => message?.state === "sent");
};
const countOf = (id: string) => mailed.filter((one) => one.includes(id)).length;
const loud = () => kept.lines.filter(({ level }) => Number(level) >= 40).map(({ msg }) => msg);

test("for longer than a lease: its mail waits, that of the others goes on, none is sent twice, and two lines say so", async () => {
  const producer = open("worker");
  await producer.connect();
  const relay = Promise.withResolvers<void>();
  relayed = relay.promise;
  await start();
  await start("b");
  const followed: string[] = [];
  const feed = createFeed(() => open("blocking"), PARTITIONS);
  const unfollow = feed.follow(
    "0-0,0-0,0-0,0-0",
    ({ state, messageId }) => state === "sent" && followed.push(messageId),
  );
  const [inHand = ""] = await post(producer, "hand", 1, ofMoving);
  await until("it is in the relay's hands", () => mailed.length === 1);
  const waiting = await post(producer, "wait", 3, ofMoving);
  await until("more are", () => mailed.length === 4);
  const move = await beginMove(cluster, tagOf(MOVING));
  const [first = "", ...rest] = await move.keys();
  await move.migrate(first);
  const begunAt = performance.now();
  relay.resolve();

  const live = await post(producer, "live", 100, ofOthers);
  await until("the others are sent", () => areSent(producer, live), 5_000);
  const told = await kept.waitFor(({ msg }) => msg === "nothing can be taken from a partition, the others go on");
  expect(JSON.stringify(told)).toContain(`slot ${slotOf(tagOf(MOVING))} of partition ${MOVING} is being moved`);
  await until("leases have run out", () => performance.now() - begunAt > 4 * LEASE_MS);
  expect(rest.length).toBeGreaterThan(0);
  await move.end();
  const late = await post(producer, "late", 3, ofMoving);
  const all = [inHand, ...waiting, ...live, ...late];
  await until("all is sent", () => areSent(producer, all));
  for (const id of all) expect([id, countOf(id)]).toEqual([id, 1]);
  await until("who follows has seen it", () => followed.length >= all.length);
  expect(followed.sort()).toEqual(all.sort());
  unfollow();
  await until("both workers go on", () => loud().length >= 4);
  const lines = ["nothing can be taken from a partition, the others go on", "the partition is taken from again"];
  expect(loud().sort()).toEqual([...lines, ...lines].sort());
});

test("a worker that starts meanwhile serves the others, and does not send again what it had sent there", async () => {
  const producer = open("worker");
  await producer.connect();
  const relay = Promise.withResolvers<void>();
  relayed = relay.promise;
  const before = await start();
  const [inHand = ""] = await post(producer, "hand", 1, ofMoving);
  await until("it is in the relay's hands", () => mailed.length === 1);
  const move = await beginMove(cluster, tagOf(MOVING));
  await move.migrate((await move.keys())[0] ?? "");
  relay.resolve();
  await kept.waitFor(({ msg }) => msg === "nothing can be taken from a partition, the others go on");
  await before.stop(0);

  await start();
  const live = await post(producer, "live", 10, ofOthers);
  await until("the others are sent", () => areSent(producer, live), 5_000);
  await move.end();
  await until("it is known as sent", () => areSent(producer, [inHand]));
  expect(countOf(inHand)).toBe(1);
});
