/* The fallback over a master whose replica is stopped (MIN_REPLICAS), or takes over without what it has not got. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import type { FallbackIngress } from "../../src/journal/fallback.ts";
import { Journal } from "../../src/journal/journal.ts";
import { connect } from "../../src/stream/connect.ts";
import { tagOf } from "../../src/stream/keys.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { take } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { openFallback } from "../support/fallback.ts";
import { type SentinelGroup, startSentinelGroup, type TestNode } from "../support/group.ts";
import { openIngress } from "../support/ingress.ts";
import { keepLines } from "../support/log.ts";
import { until } from "../support/until.ts";

let group: SentinelGroup;
let master: TestNode;
let replica: TestNode;
let redis: Redis;
let directory: string;
let journal: Journal;
let fallback: FallbackIngress;
let lines: ReturnType<typeof keepLines>;

beforeAll(async () => {
  group = await startSentinelGroup(1);
}, 60_000);
beforeEach(async () => {
  master = await group.settled();
  replica = group.nodes.find((node) => node !== master) as TestNode;
  await master.raw.flushall();
  lines = keepLines();
  directory = mkdtempSync(join(tmpdir(), "pp-"));
  redis = connect(group.address, "ingress");
  redis.on("error", () => {});
  await redis.connect();
  journal = new Journal(directory, 1_000_000, lines.log);
  fallback = openFallback({
    inner: openIngress(redis, { delayMs: 60_000, minReplicas: 1, log: lines.log }),
    journal,
    firstCheckMs: 60_000,
    log: lines.log,
  });
});
afterEach(async () => {
  for (const node of group.nodes) node.signal("SIGCONT");
  await fallback.stop();
  journal.close();
  redis.disconnect();
  rmSync(directory, { recursive: true, force: true });
});
afterAll(() => group.stop());

const drained = () => lines.waitFor(({ msg }) => msg === "journal drained");

async function timelineOf(eventId: string): Promise<string | undefined> {
  const message = await createMessages(redis, 1)
    .byEvent(eventId)
    .catch(() => undefined);
  return message?.timeline.map(({ state }) => state).join(" ");
}

async function post(id: string, hold = false): Promise<number> {
  const startedAt = performance.now();
  const posted = await fallback.post(eventWith(id, { hold }));
  expect(posted).toMatchObject({ kind: "accepted", durability: "journaled", duplicate: false });
  return performance.now() - startedAt;
}

describe("while the replica is stopped", () => {
  test("the first post finds out, the others do not wait, and each is in Redis all the same, once", async () => {
    expect(await fallback.post(eventWith("before"))).toMatchObject({ durability: "replicated" });
    replica.signal("SIGSTOP");
    expect(await post("e0")).toBeLessThan(1_200);
    for (let n = 1; n < 40; n++) expect(await post(`e${n}`)).toBeLessThan(200);
    for (let n = 0; n < 40; n++)
      await until(`e${n} is in Redis`, async () => (await timelineOf(`e${n}`)) === "scheduled");
    expect(journal.depth()).toBe(40);
    expect(lines.lines.filter(({ msg }) => msg === "redis is away, events are journaled")).toHaveLength(1);
    replica.signal("SIGCONT");
    await drained();
    for (let n = 0; n < 40; n++) expect(await timelineOf(`e${n}`)).toBe("scheduled");
    expect(await fallback.post(eventWith("after"))).toMatchObject({ durability: "replicated" });
  });

  test("commits and rollbacks are journaled, and reach Redis behind their events", async () => {
    expect(await fallback.post(eventWith("old", { hold: true }))).toMatchObject({ durability: "replicated" });
    replica.signal("SIGSTOP");
    await post("committed", true);
    await post("cancelled", true);
    expect(await fallback.commit("committed")).toMatchObject({ kind: "journaled" });
    expect(await fallback.rollback("cancelled")).toMatchObject({ kind: "journaled" });
    expect(await fallback.rollback("old")).toMatchObject({ kind: "journaled" });
    const wanted = { committed: "held queued", cancelled: "held cancelled", old: "held cancelled" };
    for (const [id, timeline] of Object.entries(wanted))
      await until(`${id} is decided`, async () => (await timelineOf(id)) === timeline);
    expect(journal.depth()).toBe(5);
    replica.signal("SIGCONT");
    await drained();
    for (const [id, timeline] of Object.entries(wanted)) expect(await timelineOf(id)).toBe(timeline);
    expect(await fallback.rollback("committed")).toMatchObject({ kind: "cancelled" });
  });

  test("a rollback that comes too late says so, and is kept all the same", async () => {
    replica.signal("SIGSTOP");
    for (const id of ["taken", "other"]) await fallback.post(eventWith(id, { delayMs: 0 }));
    const [claim] = await until("it is taken", async () => {
      const claims = await take(redis, tagOf(0), "a", 1, [0, 0, 0]).catch(() => []);
      return claims.length > 0 && claims;
    });
    const takenId = claim?.messageId === messageIdOf("taken", 0) ? "taken" : "other";
    expect(await fallback.rollback(takenId)).toMatchObject({ kind: "in_flight", state: "sending" });
    expect(await fallback.rollback("nobody")).toMatchObject({ kind: "journaled" });
    expect(journal.find(takenId).map(({ kind }) => kind)).toEqual(["post", "rollback"]);
    replica.signal("SIGCONT");
    await drained();
  });

  test("it takes over with less than it should have: all is put there again, in order", async () => {
    await fallback.post(eventWith("before"));
    await group.cutOff(replica);
    await post("committed", true);
    await post("cancelled");
    await until("both are in Redis", async () => (await timelineOf("cancelled")) === "scheduled");
    await master.kill();
    replica.signal("SIGCONT");
    await fallback.commit("committed");
    await fallback.rollback("cancelled");
    await until("it is master", async () => String(await replica.raw.role()).startsWith("master"), 30_000);
    await until("its mail can go", async () => (await timelineOf("committed")) === "held queued", 30_000);
    await until("its mail cannot", async () => (await timelineOf("cancelled")) === "scheduled cancelled");
    expect(journal.depth()).toBe(4);
    await master.start();
    await group.settled();
    await drained();
    expect(await timelineOf("committed")).toBe("held queued");
    expect(await timelineOf("before")).toBe("scheduled");
  }, 90_000);
});
