/* The fallback over a real journal and a real Redis that is taken away. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import type { FallbackIngress } from "../../src/journal/fallback.ts";
import { Journal } from "../../src/journal/journal.ts";
import { connect } from "../../src/stream/connect.ts";
import { key } from "../../src/stream/keys.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { eventWith, eventWithOwn } from "../support/event.ts";
import { openFallback } from "../support/fallback.ts";
import { openIngress } from "../support/ingress.ts";
import { keepLines } from "../support/log.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";

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
  lines = keepLines();
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

function open(maxBytes = 1_000_000, maxBacklog = 1_000): void {
  journal = new Journal(directory, maxBytes, lines.log);
  const inner = openIngress(redis, { delayMs: 60_000, maxBacklog, durability: () => "fsynced", log: lines.log });
  fallback = openFallback({
    inner,
    journal,
    log: lines.log,
  });
}

async function close(): Promise<void> {
  await fallback.stop();
  journal.close();
}

const drained = () => lines.waitFor(({ msg }) => msg === "journal drained");

async function stateOf(eventId: string): Promise<string | undefined> {
  return (await createMessages(redis, 1).byEvent(eventId))?.state;
}

describe("while Redis is there", () => {
  test("nothing goes to the journal", async () => {
    expect(await fallback.post(eventWith("e1"))).toMatchObject({ kind: "accepted", durability: "fsynced" });
    expect(await fallback.rollback("e1")).toMatchObject({ kind: "cancelled" });
    expect(journal.stats().depth).toBe(0);
  });
});

describe("while Redis is away", () => {
  test("a post is accepted under the id that it will have, and its delay counts from then", async () => {
    await server.kill();
    const before = Date.now();
    const posted = await fallback.post(eventWith("e1"));
    expect(posted).toMatchObject({ kind: "accepted", state: "scheduled", durability: "journaled", duplicate: false });
    await server.start();
    await drained();
    const message = await createMessages(redis, 1).byEvent("e1");
    expect(message?.id).toBe(messageIdOf("e1", 0));
    expect(message?.dueAt).toBeGreaterThanOrEqual(before + 59_000);
    expect(message?.dueAt).toBeLessThanOrEqual(Date.now() + 60_000);
  });

  test("the same post is a duplicate, another body a conflict, also when both come in one turn", async () => {
    await server.kill();
    const answers = await Promise.all([
      fallback.post(eventWith("e1")),
      fallback.post(eventWith("e1")),
      fallback.post(eventWith("e1", undefined, "other@example.com")),
    ]);
    await server.start();
    await drained();
    // Those in flight when Redis went are all journaled in the same turn; the first of them stands.
    expect(answers.map(({ kind }) => kind)).toEqual(["accepted", "accepted", "conflict"]);
    expect(answers[1]).toMatchObject({ duplicate: true });
    expect((await createMessages(redis, 1).byEvent("e1"))?.recipient).toBe("an@example.com");
  });

  test("the same post with unknown fields in another order is a duplicate", async () => {
    await server.kill();
    const withSeat = (seat: object) => eventWithOwn("e1", { seat });
    const answers = await Promise.all([
      fallback.post(withSeat({ row: 4, letter: "A" })),
      fallback.post(withSeat({ letter: "A", row: 4 })),
      fallback.post(withSeat({ letter: "A", row: 5 })),
    ]);
    await server.start();
    await drained();
    expect(answers.map(({ kind }) => kind)).toEqual(["accepted", "accepted", "conflict"]);
    expect(answers[1]).toMatchObject({ duplicate: true, durability: "journaled" });
  });

  test("each order of post, commit and rollback ends as it would have in Redis", async () => {
    await server.kill();
    await fallback.post(eventWith("committed", { hold: true }));
    expect(await fallback.commit("committed")).toMatchObject({ kind: "journaled" });
    await fallback.post(eventWith("rolled-back"));
    expect(await fallback.rollback("rolled-back")).toMatchObject({ kind: "journaled" });
    await fallback.rollback("before");
    expect(await fallback.post(eventWith("before"))).toMatchObject({ kind: "accepted", state: "cancelled" });
    await server.start();
    await drained();
    expect(await Promise.all(["committed", "rolled-back", "before"].map(stateOf))).toEqual([
      "queued",
      "cancelled",
      "cancelled",
    ]);
  });

  test("a restart of the service goes on with the journal where it was", async () => {
    await server.kill();
    for (let n = 0; n < 20; n++) await fallback.post(eventWith(`e${n}`));
    await close();
    lines.lines.length = 0;
    open();
    expect(await fallback.post(eventWith("e3"))).toMatchObject({ duplicate: true, durability: "journaled" });
    await server.start();
    await drained();
    expect(await server.raw.zcard(key.due("{pp:0}"))).toBe(20);
    expect(journal.stats().depth).toBe(0);
  });

  test("without room in the journal a post is unavailable, and taken again when Redis is back", async () => {
    await close();
    open(0);
    await server.kill();
    expect(await fallback.post(eventWith("e1"))).toMatchObject({ kind: "unavailable" });
    await server.start();
    await redis.ping().catch(() => redis.connect().catch(() => {}));
    let posted = await fallback.post(eventWith("e1"));
    for (const deadline = Date.now() + 5_000; posted.kind !== "accepted" && Date.now() < deadline; ) {
      posted = await fallback.post(eventWith("e1"));
    }
    expect(posted).toMatchObject({ kind: "accepted", durability: "fsynced" });
  });
});

test("a duplicate of a post that the journal had no room for is refused like the post, in the same turn too", async () => {
  await close();
  open(2_000);
  await server.kill();
  await fallback.post(eventWith("evt_first"));
  const big = eventWith("evt_big");
  big.data.booking.title = "x".repeat(3_000);
  const answers = await Promise.all([fallback.post(big), fallback.commit("evt_small"), fallback.post(big)]);
  expect(answers.map(({ kind }) => kind)).toEqual(["unavailable", "journaled", "unavailable"]);
  expect(journal.find("evt_big")).toEqual([]);
  await server.start();
  await drained();
});

test("a commit that is repeated after the post that it came before is kept", async () => {
  await server.kill();
  await fallback.commit("evt_1");
  await fallback.post(eventWith("evt_1", { hold: true }));
  await fallback.commit("evt_1");
  await server.start();
  await drained();
  expect((await createMessages(redis, 1).byEvent("evt_1"))?.state).toBe("queued");
});

test("a Redis that is full takes commits and rollbacks at once, and the posts when there is room", async () => {
  await fallback.post(eventWith("held", { hold: true }));
  await fallback.post(eventWith("late"));
  await server.raw.config("SET", "maxmemory", "1");
  try {
    expect(await fallback.post(eventWith("new"))).toMatchObject({ kind: "accepted", durability: "journaled" });
    expect(await fallback.commit("held")).toMatchObject({ kind: "committed" });
    expect(await fallback.rollback("late")).toMatchObject({ kind: "cancelled" });
    // Behind its event, which waits.
    expect(await fallback.rollback("new")).toMatchObject({ kind: "journaled" });
    await journal.append({ kind: "rollback", eventId: "held", bodyHash: "", json: "", at: Date.now() });
    await until("the drain has taken over what it can", () => journal.depth() === 2);
  } finally {
    await server.raw.config("SET", "maxmemory", "0");
  }
  await drained();
  expect(await stateOf("new")).toBe("cancelled");
});

test("a journal that cannot be read refuses what comes, and says so once", async () => {
  const find = journal.find;
  journal.find = () => {
    throw Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR_READ" });
  };
  const refused = { kind: "unavailable" as const, reason: expect.stringContaining("the journal cannot be read") };
  expect(await fallback.post(eventWith("e1"))).toEqual(refused);
  expect(await fallback.commit("e1")).toEqual(refused);
  expect(await fallback.rollback("e1")).toEqual(refused);
  journal.find = find;
  expect(await fallback.post(eventWith("e1"))).toMatchObject({ kind: "accepted", durability: "fsynced" });
  const said = lines.lines.filter(({ level }) => Number(level) >= 50).map(({ msg }) => msg);
  expect(said).toEqual(["journal cannot be read, posts and decisions are refused"]);
});

describe("taking over", () => {
  test("what finds the backlog full keeps back its own event alone, not the rollback that makes room", async () => {
    await close();
    open(1_000_000, 1);
    await fallback.post(eventWith("evt_held", { hold: true }));
    await server.kill();
    expect((await fallback.post(eventWith("evt_next"))).kind).toBe("accepted");
    await server.start();
    await fallback.rollback("evt_held");
    await drained();
    expect((await createMessages(redis, 1).byEvent("evt_next"))?.state).toBe("scheduled");
  });

  test("twice does no harm: what had got through before its reply was lost is found again", async () => {
    await fallback.post(eventWith("e1"));
    await journal.append({
      kind: "post",
      eventId: "e1",
      bodyHash: "",
      json: JSON.stringify(eventWith("e1")),
      at: Date.now(),
    });
    await close();
    open();
    await drained();
    expect(await server.raw.zcard(key.due("{pp:0}"))).toBe(1);
  });

  test("an entry that can never be taken over is put aside, and stops nothing behind it", async () => {
    await journal.append({ kind: "post", eventId: "bad", bodyHash: "", json: "{", at: 0 });
    await journal.append({ kind: "post", eventId: "e1", bodyHash: "", json: JSON.stringify(eventWith("e1")), at: 0 });
    await close();
    open();
    await drained();
    expect(journal.stats()).toMatchObject({ depth: 0, rejected: 1 });
    expect(await stateOf("e1")).toBe("queued"); // its delay has long passed
  });
});
