/* Redis's clock is set two hours back under a real service, in the moment in which its worker dies. */
import { expect, test } from "bun:test";
import { NO_READING, watchClock } from "../../src/stream/clock.ts";
import { connect } from "../../src/stream/connect.ts";
import { tagOf } from "../../src/stream/keys.ts";
import { reclaim } from "../../src/stream/lease.ts";
import { take } from "../../src/stream/take.ts";
import { startReclaimer } from "../../src/worker/reclaimer.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { type ClockedRedis, HAS_FAKE_CLOCK, startClockedRedis } from "../support/fakeClock.ts";
import { openIngress } from "../support/ingress.ts";
import { keepLines } from "../support/log.ts";
import { startRelay } from "../support/relay.ts";
import { makeDataDir, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();

test.skipIf(!HAS_FAKE_CLOCK)("what waits, and what the worker had begun, is sent in time all the same", async () => {
  const redis = await startClockedRedis();
  const relay = await startRelay({ dot: ["hang"] });
  const { path, remove } = makeDataDir();
  cleanups.push(
    remove,

    () => redis.stop(),
    () => relay.stop(),
  );
  const env = {
    REDIS_URL: `unix:${redis.address.path}`,
    SMTP_URL: relay.url,
    MAIL_FROM: "a@shop.example",
    LEASE_MS: "1000",
  };
  const service = await startService(path, { ...env, RETRY_DELAYS: "1s" });
  cleanups.push(() => service.stop());
  const worker = Number((await service.line(({ msg }) => msg === "worker process started"))["pid"]);

  await service.post(eventWith("evt_begun", { delayMs: 0 }, "begun@example.com"));
  await relay.until(({ silent }) => silent === 1);
  await service.post(eventWith("evt_waits", { delayMs: 3_000 }, "waits@example.com"));
  const postedAt = performance.now();
  redis.setClock("-2h");
  const [seconds] = await redis.raw.time();
  expect(Date.now() / 1_000 - Number(seconds)).toBeGreaterThan(7_000);
  process.kill(worker, "SIGKILL");

  const recipients = () => relay.received.map(({ envelope }) => envelope.to[0]).sort();
  await until("both are sent", () => relay.received.length >= 2, 40_000);
  expect(recipients()).toEqual(["begun@example.com", "waits@example.com"]);
  expect(performance.now() - postedAt).toBeGreaterThan(2_500);
  expect(service.lines.filter(({ msg }) => msg.startsWith("redis's clock was set back")).length).toBe(1);
});

test.skipIf(!HAS_FAKE_CLOCK)("the lease of a worker that is gone begins anew, and runs out", async () => {
  const server = await startClockedRedis();
  cleanups.push(() => server.stop());
  const redis = connect(server.address, "worker");
  cleanups.push(() => redis.disconnect());
  await redis.connect();
  const tag = tagOf(0);
  await openIngress(redis).post(eventWith("evt_1"));
  expect((await take(redis, tag, "gone", 1, [1, 0, 0])).length).toBe(1);
  await watchClock(redis, tag, NO_READING, 0, 100);
  server.setClock("-2h");
  const lost = () => reclaim(redis, tag, { except: "other" }, 100, { maxRetries: 3, onUnknown: "resend" });
  const takenAt = performance.now();
  await until("a lease has passed", () => performance.now() - takenAt > 200);
  expect(await lost()).toEqual([]); // by its clock the worker has it for two more hours
  expect((await watchClock(redis, tag, NO_READING, 0, 100)).setBackMs).toBeGreaterThan(7_000_000);
  await until("it is reclaimed", async () => (await lost()).length === 1, 3_000);
});

/** Scripts that were run. */
async function calls({ raw }: ClockedRedis): Promise<number> {
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(await raw.info("commandstats"))?.[1] ?? 0);
}

test.skipIf(!HAS_FAKE_CLOCK)("a clock that was put forward for a moment keeps no worker from reclaiming", async () => {
  const server = await startClockedRedis();
  cleanups.push(() => server.stop());
  const redis = connect(server.address, "worker");
  cleanups.push(() => redis.disconnect());
  await redis.connect();
  const tag = tagOf(0);
  const kept = keepLines();
  const policy = { maxRetries: 3, onUnknown: "resend" } as const;
  const reclaimer = startReclaimer(redis, tag, "other", 400, policy, kept.log);
  cleanups.push(() => reclaimer.stop());
  for (const offset of ["+2h", "+0"]) {
    const answered = await calls(server);
    await until("it has asked again", async () => (await calls(server)) >= answered + 3);
    server.setClock(offset);
  }
  await openIngress(redis).post(eventWith("evt_1"));
  expect((await take(redis, tag, "gone", 1, [1, 0, 0])).length).toBe(1);
  const lost = "message reclaimed from a lost worker";
  await until("it is reclaimed", () => kept.lines.some(({ msg }) => msg === lost), 10_000);
});
