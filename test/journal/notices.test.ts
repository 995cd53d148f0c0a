/* Notices of a payment while Redis is away, over a real journal and a real Redis: the one mail has all that was said. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import type { FallbackIngress } from "../../src/journal/fallback.ts";
import { Journal } from "../../src/journal/journal.ts";
import { connect } from "../../src/stream/connect.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { openFallback } from "../support/fallback.ts";
import { openIngress } from "../support/ingress.ts";
import { keepLines } from "../support/log.ts";
import { captureNotice, sessionNotice } from "../support/notice.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";

let server: TestRedis;
let redis: Redis;
let journal: Journal;
let fallback: FallbackIngress;
let directory: string;
let lines: ReturnType<typeof keepLines>;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await server.raw.flushall();
  directory = mkdtempSync(join(tmpdir(), "pp-"));
  redis = connect(server.address, "ingress");
  redis.on("error", () => {}); // these tests take the server away
  await redis.connect();
  open();
});
afterEach(async () => {
  await close();
  redis.disconnect();
  rmSync(directory, { recursive: true, force: true });
});

function open(maxBytes = 1_000_000): void {
  lines = keepLines();
  journal = new Journal(directory, maxBytes, lines.log);
  fallback = openFallback({
    inner: openIngress(redis, { delayMs: 60_000, durability: () => "fsynced", log: lines.log }),
    journal,
    log: lines.log,
  });
}

async function close(): Promise<void> {
  await fallback.stop();
  journal.close();
}

async function backAgain() {
  await server.start();
  await lines.waitFor(({ msg }) => msg === "journal drained");
  const { items } = await createMessages(redis, 1).list({ limit: 10 });
  return items.map(({ event }) => event?.data);
}

const whole = {
  booking: { id: "BK pi_1", title: "Sleeper bus", startsAt: "2026-12-01T21:30:00+07:00" },
  payment: { id: "pi_1", amount: 300_000, currency: "VND", method: "card" },
  customer: { email: "an@example.com", name: "Nguyễn Văn An", locale: "vi" },
};

test("a capture that comes while Redis is away is journaled, and finds in Redis what the session knew", async () => {
  expect(await fallback.learn(sessionNotice("pi_1"))).toEqual({ kind: "unpaid" });
  await server.kill();
  const learned = await fallback.learn(captureNotice("pi_1"));
  expect(learned).toMatchObject({
    kind: "event",
    accepted: {
      messageId: messageIdOf("stripe_pi_1", 0),
      duplicate: false,
      durability: "journaled",
      state: "scheduled",
    },
  });
  expect(await fallback.learn(captureNotice("pi_1"))).toMatchObject({ accepted: { duplicate: true } });
  expect(journal.depth()).toBe(1);
  expect(await backAgain()).toEqual([whole]);
});

test("a capture without an address is kept as well: Redis may have one", async () => {
  await fallback.learn(sessionNotice("pi_1"));
  await server.kill();
  const nowhere = captureNotice("pi_1", { addresses: [] });
  expect(await fallback.learn(nowhere)).toMatchObject({ kind: "unmailable", lack: "no_address" });
  expect(await backAgain()).toEqual([whole]);
});

test.each([
  ["the session first", false],
  ["the capture first", true],
])("both come while Redis is away, %s, with a restart between them", async (_, reverse) => {
  await server.kill();
  const both = [sessionNotice("pi_1"), captureNotice("pi_1")];
  const [first, second] = reverse ? both.toReversed() : both;
  expect(await fallback.learn(first as typeof second & object)).toMatchObject({ kind: reverse ? "event" : "unpaid" });
  await close();
  open();
  expect(await fallback.learn(second as typeof first & object)).toMatchObject({
    kind: "event",
    event: { data: whole },
    accepted: { durability: "journaled", duplicate: reverse },
  });
  expect(await backAgain()).toEqual([whole]);
});

test("a payment that was rolled back meanwhile makes no mail", async () => {
  await fallback.learn(sessionNotice("pi_1"));
  await server.kill();
  await fallback.rollback("stripe_pi_1");
  expect(await fallback.learn(captureNotice("pi_1"))).toMatchObject({ accepted: { state: "cancelled" } });
  await backAgain();
  expect((await createMessages(redis, 1).byEvent("stripe_pi_1"))?.state).toBe("cancelled");
});

test("one that makes no mail in the end is said in the log", async () => {
  await server.kill();
  await fallback.learn(captureNotice("pi_1", { addresses: [] }));
  expect(await backAgain()).toEqual([]);
  expect(lines.lines).toContainEqual(
    expect.objectContaining({ msg: "journal entry came to nothing", kind: "notice", answer: "unmailable" }),
  );
});

test("without room in the journal a notice is refused", async () => {
  await close();
  open(50);
  await server.kill();
  expect(await fallback.learn(sessionNotice("pi_1"))).toMatchObject({ kind: "unavailable" });
  await server.start();
});

test("a Redis that is out of memory takes decisions all the same, while notices are journaled", async () => {
  await fallback.learn(captureNotice("pi_1"));
  await server.raw.config("SET", "maxmemory", "1");
  expect(await fallback.learn(sessionNotice("pi_2"))).toEqual({ kind: "unpaid" });
  expect(journal.depth()).toBe(1);
  expect(await fallback.rollback("stripe_pi_1")).toMatchObject({ kind: "cancelled" });
  await server.raw.config("SET", "maxmemory", "0");
  await lines.waitFor(({ msg }) => msg === "journal drained");
  expect(await fallback.learn(captureNotice("pi_2"))).toMatchObject({
    event: { data: { booking: { id: "BK pi_2" } } },
  });
});
