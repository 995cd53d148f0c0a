/* Redis's clock is set two hours back under a real service, in the moment in which its worker dies. */
import { expect, test } from "bun:test";
import { watchClock } from "../../src/stream/clock.ts";
import { connect } from "../../src/stream/connect.ts";
import { tagOf } from "../../src/stream/keys.ts";
import { reclaim } from "../../src/stream/lease.ts";
import { take } from "../../src/stream/take.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { HAS_FAKE_CLOCK, startClockedRedis } from "../support/fakeClock.ts";
import { openIngress } from "../support/ingress.ts";
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
  await watchClock(redis, tag, 0, 0, 100);
  server.setClock("-2h");
  const lost = () => reclaim(redis, tag, { except: "other" }, 100, { maxRetries: 3, onUnknown: "resend" });
  const takenAt = performance.now();
  await until("a lease has passed", () => performance.now() - takenAt > 200);
  expect(await lost()).toEqual([]); // by its clock the worker has it for two more hours
  expect((await watchClock(redis, tag, 0, 0, 100)).setBackMs).toBeGreaterThan(7_000_000);
  await until("it is reclaimed", async () => (await lost()).length === 1, 3_000);
});
