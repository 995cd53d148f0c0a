import { expect, test } from "bun:test";
import { createMetrics } from "../src/metrics.ts";
import { createDeadLetters } from "../src/stream/dead.ts";
import { countDelayedSyncs, writeFault } from "../src/stream/durability.ts";
import { tagOf } from "../src/stream/keys.ts";
import { createQueues } from "../src/stream/queues.ts";
import { settle } from "../src/stream/settle.ts";
import { DAY_MS, onRedis, owner, postAndTake } from "./stream/fixture.ts";
import { eventWith } from "./support/event.ts";
import { until } from "./support/until.ts";

const on = onRedis("--appendonly", "no");
const JOURNAL = { depth: 3, bytes: 4_000, full: false, rejected: 1, oldestAt: Date.now() - 60_000 };

function metricsOf(redis = on.redis) {
  return createMetrics(createQueues(redis, 1), createDeadLetters(redis, 1, DAY_MS), () => JOURNAL, {
    countDelayedSyncs: () => countDelayedSyncs(redis),
    writeFault: () => writeFault(redis, 1),
  });
}

/** By name and labels. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

test("say what is in Redis, in the journal, and what was posted", async () => {
  const metrics = metricsOf();
  const ingress = metrics.counted(on.ingress());
  for (const [id, reason] of [
    ["a", "550 5.1.1 no such user"],
    ["b", "550 5.1.1 no such user"],
    ["c", "552 5.3.4 too large"],
  ] as const) {
    await settle(owner(on.redis, tagOf(0), "w"), "dead", [{ ...(await postAndTake(on, id, "w")), reason }]);
  }
  await ingress.post(eventWith("later", { delayMs: 60_000 }));
  await ingress.post(eventWith("later", { delayMs: 60_000 }));
  await ingress.post(eventWith("now"));
  const askedAt = Date.now();
  const samples = samplesOf(await metrics.render());
  const answeredAt = Date.now();
  expect(samples.get("postpaid_redis_up")).toBe(1);
  expect(samples.get('postpaid_posts_total{result="accepted"}')).toBe(2);
  expect(samples.get('postpaid_posts_total{result="duplicate"}')).toBe(1);
  expect(samples.get('postpaid_messages{state="scheduled"}')).toBe(1);
  expect(samples.get('postpaid_messages{state="dead"}')).toBe(3);
  expect(samples.get('postpaid_transitions_total{state="queued"}')).toBe(4);
  expect(samples.get('postpaid_queue_queued{queue="critical"}')).toBe(1);
  expect(samples.get("postpaid_redis_delayed_fsyncs")).toBe(0);
  const letters = [...samples].filter(([name]) => name.startsWith("postpaid_dead_letters{"));
  expect(letters.map(([, count]) => count)).toEqual([2, 1]);
  expect(samples.get('postpaid_journal_entries{kind="waiting"}')).toBe(3);
  expect(samples.get('postpaid_journal_entries{kind="rejected"}')).toBe(1);
  const oldestMs = (samples.get("postpaid_journal_oldest_seconds") ?? 0) * 1_000;
  expect(Math.round(oldestMs)).toBeGreaterThanOrEqual(askedAt - JOURNAL.oldestAt);
  expect(Math.round(oldestMs)).toBeLessThanOrEqual(answeredAt - JOURNAL.oldestAt);
});

test("keep no group of dead letters that is gone", async () => {
  const metrics = metricsOf();
  const claim = await postAndTake(on, "a", "w");
  await settle(owner(on.redis, tagOf(0), "w"), "dead", [{ ...claim, reason: "550 no" }]);
  expect(await metrics.render()).toContain("postpaid_dead_letters{");
  await createDeadLetters(on.redis, 1, DAY_MS).drop(claim.messageId);
  expect(await metrics.render()).not.toContain("postpaid_dead_letters{");
});

test("are there without Redis, and hold nothing stale", async () => {
  const redis = await on.open("ingress", on.wire.address);
  const metrics = metricsOf(redis);
  await on.ingress().post(eventWith("now"));
  expect(samplesOf(await metrics.render()).get('postpaid_messages{state="queued"}')).toBe(1);
  on.wire.cut();
  const samples = samplesOf(await metrics.render());
  expect(samples.get("postpaid_redis_up")).toBe(0);
  expect([...samples.keys()].filter((name) => /^postpaid_(?:messages|queue|redis_delayed)/.test(name))).toEqual([]);
  expect(samples.get("postpaid_journal_bytes")).toBe(4_000);
});

test("of the process are those that Bun knows, in plausible sizes", async () => {
  const metrics = metricsOf();
  // The event loop's lag is NaN until it was measured once.
  const samples = await until("all are numbers", async () => {
    const read = samplesOf(await metrics.render());
    return [...read.values()].every(Number.isFinite) && read;
  });
  expect(samples.get("process_resident_memory_bytes")).toBeWithin(10e6, 2e9);
  expect([...samples.keys()].filter((name) => /heap|active|version/.test(name))).toEqual([]);
});
