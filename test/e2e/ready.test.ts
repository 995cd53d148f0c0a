/* /readyz says whether an event can be made durable: in Redis, or in the journal. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { startRedis } from "../support/redis.ts";
import { makeDataDir, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();

test("not ready while the journal cannot be written and Redis is away, and ready when one of them is back", async () => {
  const redis = await startRedis();
  const { path, remove } = makeDataDir();
  cleanups.push(remove, () => redis.stop());
  const service = await startService(path, { ROLE: "api", REDIS_URL: `unix:${redis.address.path}` });
  cleanups.push(() => service.stop());
  const readiness = async () => (await service.get("/readyz")).status;
  const blocker = new Database(join(path, "journal.sqlite"));
  cleanups.push(() => blocker.close());

  await redis.kill();
  blocker.run("BEGIN IMMEDIATE");
  expect((await service.post(eventWith("evt_1"))).status).toBe(503);
  expect(await readiness()).toBe(503);
  await redis.start();
  await until("Redis takes events", async () => (await readiness()) === 200);
  await redis.kill();
  expect(await readiness()).toBe(503);
  blocker.run("ROLLBACK");
  expect(await readiness()).toBe(200);
  expect((await service.post(eventWith("evt_1"))).status).toBe(202);
});
