/* What a worker does about entries, stores and rollbacks when something around it fails, on a real Redis. */
import { beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BookingStore } from "../../src/booking/store.ts";
import { Journal } from "../../src/journal/journal.ts";
import { openOutbox } from "../../src/journal/outbox.ts";
import { openRollbackReader } from "../../src/journal/reader.ts";
import { connect } from "../../src/stream/connect.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { take } from "../../src/stream/take.ts";
import { rollback } from "../../src/stream/transaction.ts";
import { eventWith } from "../support/event.ts";
import type { FakeRelay } from "../support/relay.ts";
import { until } from "../support/until.ts";
import { startWire } from "../support/wire.ts";
import { mailerThat, onPipeline } from "./fixture.ts";

const TAG = tagOf(0);

const on = onPipeline();
let relay: FakeRelay;
beforeEach(async () => {
  relay = await on.relayWith();
});

async function timelineOf(messageId: string): Promise<string[]> {
  const { timeline = [] } = (await on.pipeline.messages.byId(messageId)) ?? {};
  return timeline.map(({ state, attempt }) => (attempt === undefined ? state : `${state} ${attempt}`));
}

function bookingWith(statusOf: BookingStore["statusOf"], isAway?: () => boolean) {
  return { store: { statusOf, close: async () => {}, ...(isAway && { isAway }) }, delaysMs: [100], maxAsks: 3 };
}

test("an entry that is ours by a take that ran late is reclaimed when its lease has run out", async () => {
  await on.pipeline.startWorker(relay.url, { leaseMs: 300 });
  const late = connect(on.server.address, "worker");
  await late.connect();
  let id = "";
  // Redis runs what an old connection still had in flight. Where the living worker is faster: once more.
  for (let taken = 0; taken === 0; ) {
    await on.server.raw.sadd(key.paused(TAG), "0");
    id = await on.pipeline.post(eventWith(`evt_${performance.now()}`));
    await on.server.raw.srem(key.paused(TAG), "0");
    taken = (await take(late, TAG, "worker-test", 1, [0, 0, 0])).length;
  }
  late.disconnect();
  await on.pipeline.entered(id, "sent");
  expect(await timelineOf(id)).toEqual(["queued", "sending 1", "unknown 1", "queued", "sending 2", "sent 2"]);
});

test("two workers, and Redis away for longer than the lease: neither robs the other of what it is sending", async () => {
  const leaseMs = 3_000;
  const count = 10;
  const held: (() => void)[] = [];
  const tries = new Map<string, number>();
  // Holds each mail until it is told to go on, as a slow relay does.
  const mailer = mailerThat(async ({ to }) => {
    const nth = (tries.get(to.address) ?? 0) + 1;
    tries.set(to.address, nth);
    if (nth === 1) await new Promise<void>((resolve) => held.push(resolve));
    return { kind: "sent", reply: "250 2.0.0 queued" };
  });
  for (const consumer of ["worker-0", "worker-1"])
    await on.pipeline.startWorker(relay.url, { consumer, concurrency: count, mailer, leaseMs });
  const posts = Array.from({ length: count }, (_, i) => eventWith(`evt_${i}`, undefined, `a${i}@example.com`));
  const ids = await Promise.all(posts.map((event) => on.pipeline.post(event)));
  await until("all are being sent", () => held.length === count);
  await on.server.kill();
  for (const goOn of held) goOn();
  const awayFrom = performance.now();
  await until("the leases have run out", () => performance.now() - awayFrom > 1.5 * leaseMs);
  await on.server.start();
  for (const id of ids) await on.pipeline.entered(id, "sent");
  expect([...tries.values()]).toEqual(ids.map(() => 1));
});

test("a rollback that is journaled while the booking store is asked wins over the answer", async () => {
  let isRolledBack = false;
  const booking = bookingWith(async () => {
    isRolledBack = true;
    return { kind: "paid" };
  });
  await on.pipeline.startWorker(relay.url, {
    rollbacks: { isRolledBack: () => isRolledBack, hasChangedSince: () => false },
    booking,
  });
  const id = await on.pipeline.post(eventWith("evt_1"));
  await on.pipeline.entered(id, "cancelled");
  expect(relay.received).toEqual([]);
});

test("a rollback that Redis is told while the booking store is asked wins over the answer", async () => {
  const answers: string[] = [];
  const booking = bookingWith(async () => {
    answers.push((await rollback(on.pipeline.redis, TAG, messageIdOf("evt_1", 0), 60_000)).answer.kind);
    return { kind: "paid" };
  });
  await on.pipeline.startWorker(relay.url, { booking });
  const id = await on.pipeline.post(eventWith("evt_1"));
  await on.pipeline.entered(id, "cancelled");
  expect(answers).toEqual(["in_flight"]);
  expect((await on.pipeline.messages.byId(id))?.attempt).toBe(0);
  expect(relay.received).toEqual([]);
});

test("a rollback that leaves the journal when its message is taken already wins over a worker that comes late", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  const { log } = on.pipeline.lines;
  const journal = new Journal(directory, 1_000_000, log);
  const rollbacks = openRollbackReader(directory, log);
  const wire = await startWire(on.server.address.path);
  const redis = connect(wire.address, "worker");
  await redis.connect();
  try {
    await journal.append({ kind: "rollback", eventId: "evt_1", bodyHash: "", json: "", at: Date.now() });
    const worker = await on.pipeline.startWorker(relay.url, { redis, rollbacks });
    const release = wire.holdReplies();
    const id = await on.pipeline.post(eventWith("evt_1"));
    await on.pipeline.entered(id, "sending");
    // As the service takes its journal over.
    expect((await rollback(on.pipeline.redis, TAG, id, 60_000)).answer.kind).toBe("in_flight");
    journal.remove(journal.oldest(1));
    release();
    await on.pipeline.entered(id, "cancelled");
    expect(relay.received).toEqual([]);
    await worker.stop(1_000);
  } finally {
    redis.disconnect();
    await wire.stop();
    rollbacks.close();
    journal.close();
    rmSync(directory, { recursive: true });
  }
});

test("a journal that cannot be read keeps mail back, spends no attempt and ends no worker", async () => {
  const isRolledBack = () => {
    throw new Error("SQLITE_CORRUPT: database disk image is malformed");
  };
  await on.pipeline.startWorker(relay.url, { rollbacks: { isRolledBack, hasChangedSince: () => false } });
  const id = await on.pipeline.post(eventWith("evt_1"));
  const { reason } = await on.pipeline.entered(id, "scheduled");
  expect(reason).toContain("nobody can say whether it was rolled back");
  expect((await on.pipeline.messages.byId(id))?.attempt).toBe(0);
  expect(relay.received).toEqual([]);
});

test("a stop while the booking store is asked gives the message back, and the next life asks again", async () => {
  const policy = { maxRetries: 3, retryDelaysMs: [1], onUnknown: "hold" } as const;
  const silent = bookingWith(() => new Promise<never>(() => {}));
  const worker = await on.pipeline.startWorker(relay.url, { policy, booking: silent });
  const id = await on.pipeline.post(eventWith("evt_1"));
  await on.pipeline.entered(id, "sending", 1);
  await worker.stop(0);
  await on.pipeline.startWorker(relay.url, { policy, booking: bookingWith(async () => ({ kind: "cancelled" })) });
  await on.pipeline.entered(id, "cancelled");
  expect(await timelineOf(id)).toEqual(["queued", "sending 1", "queued", "sending 1", "cancelled"]);
  expect(relay.received).toEqual([]);
});

test("the booking store is asked before a later attempt, too", async () => {
  relay = await on.relayWith({ dot: ["451 4.3.0 try later"] });
  const answers = ["paid", "cancelled"] as const;
  let asked = 0;
  const booking = bookingWith(async () => ({ kind: answers[asked++] ?? "paid" }));
  await on.pipeline.startWorker(relay.url, { booking });
  const id = await on.pipeline.post(eventWith("evt_1"));
  await on.pipeline.entered(id, "cancelled");
  expect(await timelineOf(id)).toEqual(["queued", "sending 1", "deferred 1", "queued", "sending 2", "cancelled"]);
});

test("while the booking store is away one message at a time asks for it, and the rest stays queued", async () => {
  let isAway = true;
  let asked = 0;
  let asking = 0;
  let mostAsking = 0;
  const booking = bookingWith(
    async () => {
      if (!isAway) return { kind: "paid" };
      asked += 1;
      asking += 1;
      mostAsking = Math.max(mostAsking, asking);
      await Bun.sleep(20);
      asking -= 1;
      return { kind: "unavailable", reason: "connection refused" };
    },
    () => isAway,
  );
  await on.pipeline.startWorker(relay.url, { booking, concurrency: 10 });
  const ids = await Promise.all(Array.from({ length: 20 }, (_, i) => on.pipeline.post(eventWith(`evt_${i}`))));
  await until("it was asked again", () => asked > 1);
  expect(mostAsking).toBe(1);
  isAway = false;
  for (const id of ids) await on.pipeline.entered(id, "sent");
});

test("a booking store that is back is asked, however long a mail from before waits for its final reply", async () => {
  const slow = await on.relayWith({ dot: ["hang"] });
  let isAway = false;
  const booking = bookingWith(
    async () => (isAway ? { kind: "unavailable", reason: "connection refused" } : { kind: "paid" }),
    () => isAway,
  );
  await on.pipeline.startWorker(slow.url, { booking });
  await on.pipeline.post(eventWith("evt_slow"));
  await slow.until(({ silent }) => silent === 1);
  isAway = true;
  const id = await on.pipeline.post(eventWith("evt_1"));
  await on.pipeline.entered(id, "scheduled");
  isAway = false;
  await on.pipeline.entered(id, "sent");
});

test("a timeline that grows without end keeps its beginning and its end", async () => {
  const booking = bookingWith(async () => ({ kind: "unavailable", reason: "x".repeat(400) }));
  booking.delaysMs = [1];
  await on.pipeline.startWorker(relay.url, { booking });
  const id = await on.pipeline.post(eventWith("evt_1"));
  let longest = 0;
  await until("it has grown to its bound", async () => {
    const length = await on.server.raw.hstrlen(key.message(TAG, id), "l");
    const isShorter = length < longest;
    longest = Math.max(longest, length);
    return isShorter;
  });
  expect(longest).toBeLessThan(20_000);
  const states = await timelineOf(id);
  expect(states.slice(0, 3)).toEqual(["queued", "sending 1", "scheduled"]);
  expect(states.every((state) => /^(?:queued|scheduled|sending 1)$/.test(state))).toBeTrue();
});

test("what the outbox knows and Redis does not, or cannot say, ends no worker", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  const outbox = openOutbox(directory, on.pipeline.lines.log);
  const lost = await on.pipeline.post(eventWith("evt_lost"));
  const broken = "msg_broken";
  await on.server.raw.set(key.message(TAG, broken), "not what it should be");
  for (const messageId of [broken, lost])
    outbox.record([{ tag: TAG, rank: "0", entryId: "1-1", messageId, attempt: 1, reply: "250 2.0.0 queued" }]);
  await on.pipeline.startWorker(relay.url, { outbox });
  // Redis has lost the attempt, so nobody can say that it was this message's: it is sent.
  await on.pipeline.entered(lost, "sent");
  const line = await on.pipeline.lines.waitFor(({ messageId }) => messageId === broken);
  expect(line["msg"]).toBe("message sent, and could not be settled after a restart");
  expect(outbox.left().filter(({ id }) => id <= 2)).toEqual([]);
  rmSync(directory, { recursive: true, force: true });
});

test("a settlement that fails for its message's sake holds up no other one of its call", async () => {
  const slow = await on.relayWith({ dot: "keep, hang" });
  await on.pipeline.startWorker(slow.url, { concurrency: 4 });
  const ids = await Promise.all(Array.from({ length: 4 }, (_, n) => on.pipeline.post(eventWith(`evt_${n}`))));
  await slow.until(({ received }) => received.length === 4);
  const [broken = "", ...others] = ids;
  await on.server.raw.set(key.message(TAG, broken), "no hash");
  slow.closeConnections("250 2.0.0 queued");
  for (const id of others) await on.pipeline.entered(id, "sent");
  await on.pipeline.lines.waitFor(
    ({ msg, messageId }) => msg === "a settlement fails, it is tried again" && messageId === broken,
  );
});
