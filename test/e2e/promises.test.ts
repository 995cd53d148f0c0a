/* What the service promises on a Redis of somebody else's: no more than it can see. */
import { expect, test } from "bun:test";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { freePort } from "../support/freePort.ts";
import { startRedis } from "../support/redis.ts";
import { makeDataDir, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();

async function serviceOn(...options: string[]) {
  const redis = await startRedis(...options);
  const { path, remove } = makeDataDir();
  cleanups.push(remove, () => redis.stop());
  const start = async (url = `unix:${redis.address.path}`, env: Record<string, string> = {}) => {
    const service = await startService(path, { ROLE: "api", REDIS_URL: url, ...env });
    cleanups.push(() => service.stop());
    return service;
  };
  return { redis, start };
}

const durabilityOf = async (response: Response) => ((await response.json()) as { durability: string }).durability;

test("a user that may run neither INFO nor CONFIG: posts are taken and nothing is promised, and the log says why", async () => {
  const { redis, start } = await serviceOn();
  await redis.raw.acl("SETUSER", "default", "+@all", "-@dangerous");
  const service = await start();
  expect(await durabilityOf(await service.post(eventWith("evt_1")))).toBe("volatile");
  const line = await service.line(({ msg }) => msg.includes("grant +info"));
  expect(line["level"]).toBe(50);
  expect((await service.get("/readyz")).status).toBe(200);
  const metrics = await service.get("/metrics");
  const text = await metrics.text();
  expect([metrics.status, text]).toEqual([200, expect.stringContaining("postpaid_redis_up 1")]);
  expect(text).not.toMatch(/^postpaid_redis_delayed_fsyncs \d/m);
  expect(text).toMatch(/^postpaid_messages\{state="scheduled"\} 1$/m);
});

test("a Redis that becomes weaker and stronger is told of once each time, and promised accordingly", async () => {
  const { redis, start } = await serviceOn();
  const service = await start();
  expect(await durabilityOf(await service.post(eventWith("evt_1")))).toBe("fsynced");
  await redis.kill();
  await redis.start("--appendonly", "no");
  let n = 2;
  const promised = async () => durabilityOf(await service.post(eventWith(`evt_${n++}`)));
  await until("nothing is promised any more", async () => (await promised()) === "volatile");
  await service.line(({ msg }) => msg.startsWith("this redis has no AOF"));
  await redis.kill();
  await redis.start();
  await until("a sync is promised again", async () => (await promised()) === "fsynced");
  await service.line(({ msg }) => msg === "this redis keeps what it acknowledges again");
  expect(service.lines.filter(({ msg }) => msg.startsWith("this redis has no AOF")).length).toBe(1);
});

test("a Redis that refuses writes is not up, and the service is ready all the same: posts are journaled", async () => {
  const { redis, start } = await serviceOn();
  const service = await start();
  await redis.raw.config("SET", "min-replicas-to-write", "1");
  expect(await durabilityOf(await service.post(eventWith("evt_1")))).toBe("journaled");
  expect(await (await service.get("/metrics")).text()).toContain("postpaid_redis_up 0");
  expect((await service.get("/readyz")).status).toBe(200);
  await redis.raw.config("SET", "min-replicas-to-write", "0");
  expect(await (await service.get("/metrics")).text()).toContain("postpaid_redis_up 1");
});

test("a user of its own without the dangerous commands, on a Redis without an AOF: nothing is promised, and it is ready", async () => {
  const port = freePort();
  const { redis, start } = await serviceOn("--port", String(port), "--appendonly", "no");
  await redis.raw.acl("SETUSER", "app", "on", ">secret-of-app", "~*", "&*", "+@all", "-@dangerous");
  const service = await start(`redis://app:secret-of-app@127.0.0.1:${port}`);
  for (let n = 0; n < 3; n++) expect(await durabilityOf(await service.post(eventWith(`evt_${n}`)))).toBe("volatile");
  expect((await service.get("/readyz")).status).toBe(200);
  expect((await service.line(({ msg }) => msg.includes("grant +info")))["durability"]).toBe("volatile");
  expect(JSON.stringify(service.lines)).not.toContain("secret-of-app");
});

test.each(["volatile-lru", "volatile-ttl", "allkeys-lfu"])(
  "a limit of memory with %s: nothing is promised from the start, and the log says what may go",
  async (policy) => {
    const { start } = await serviceOn("--maxmemory", "100mb", "--maxmemory-policy", policy);
    const service = await start();
    expect(await durabilityOf(await service.post(eventWith("evt_1")))).toBe("volatile");
    const line = await service.line(({ msg }) => msg.includes(`maxmemory-policy ${policy}`));
    expect([line["level"], line.msg]).toEqual([
      50,
      expect.stringMatching(/idempotency keys and rollbacks.*set noeviction/),
    ]);
  },
);

test("no room in the journal, and a user that may not run INFO: ready for as long as Redis takes posts, else it says why not", async () => {
  const { redis, start } = await serviceOn();
  await redis.raw.acl("SETUSER", "default", "+@all", "-info");
  const service = await start(undefined, { JOURNAL_MAX_BYTES: "0" });
  const readiness = async () => {
    const response = await service.get("/readyz");
    return [response.status, await response.text()];
  };
  expect(await readiness()).toEqual([200, '{"status":"ready"}']);
  expect((await service.post(eventWith("evt_1"))).status).toBe(202);
  await redis.raw.config("SET", "min-replicas-to-write", "1");
  expect((await service.post(eventWith("evt_2"))).status).toBe(503);
  expect(await readiness()).toEqual([503, expect.stringContaining("NOREPLICAS")]);
});
