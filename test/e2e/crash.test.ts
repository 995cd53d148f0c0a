/* kill -9 at each step, seen from outside: nothing accepted is lost, nothing runs on as an orphan. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import Redis from "ioredis";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { type FakeRelay, type RelayScript, startRelay } from "../support/relay.ts";
import { INGEST_KEY, isAlive, makeDataDir, startService, type TestService } from "../support/service.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();

function dataDir(): string {
  const { path, remove } = makeDataDir();
  cleanups.push(remove);
  return path;
}

async function relayWith(script: RelayScript = {}): Promise<FakeRelay> {
  const relay = await startRelay(script);
  cleanups.push(() => relay.stop());
  return relay;
}

async function serviceOn(directory: string, env: Record<string, string>): Promise<TestService> {
  const service = await startService(directory, env);
  cleanups.push(() => service.stop());
  return service;
}

async function accepted(service: TestService, event: unknown): Promise<string> {
  const response = await service.post(event);
  const body = (await response.json()) as { id: string };
  expect([response.status, body]).toEqual([202, expect.objectContaining({ id: expect.stringMatching(/^msg_/) })]);
  return body.id;
}

interface Shown {
  state: string;
  attempts: { n: number; outcome?: string }[];
  timeline: { state: string; reason?: string }[];
}

async function shown(service: TestService, id: string): Promise<Shown> {
  return (await (await service.get(`/v1/messages/${id}`)).json()) as Shown;
}

async function inState(service: TestService, id: string, state: string): Promise<Shown> {
  await until(`${id} is ${state}`, async () => (await shown(service, id)).state === state, 20_000);
  return shown(service, id);
}

async function pidsOf(service: TestService): Promise<{ worker: number; redis: number }> {
  const worker = Number((await service.line(({ msg }) => msg === "worker process started"))["pid"]);
  const redis = new Redis({ path: join(service.dataDir, "redis", "redis.sock"), protocol: 2 });
  const pid = /process_id:(\d+)/.exec(await redis.info("server"))?.[1];
  redis.disconnect();
  return { worker, redis: Number(pid) };
}

function messageIdOf(raw: Buffer): string {
  return /^Message-ID: <(.+)@/m.exec(raw.toString())?.[1] ?? "";
}

describe("kill -9 of the service while a message is being sent", () => {
  const steps: [string, RelayScript, (relay: FakeRelay) => boolean][] = [
    ["before the greeting", { greeting: ["hang"] }, ({ connections }) => connections > 0],
    ["at RCPT", { rcpt: ["hang"] }, ({ commands }) => commands.some((line) => line.startsWith("RCPT"))],
    ["at DATA", { data: ["hang"] }, ({ commands }) => commands.includes("DATA")],
  ];
  for (const [step, script, reached] of steps) {
    test(`${step}: the mail is sent once, after the restart`, async () => {
      const relay = await relayWith(script);
      const directory = dataDir();
      const env = { SMTP_URL: relay.url, CONCURRENCY: "2" };
      const first = await serviceOn(directory, env);
      const id = await accepted(first, eventWith("evt_1", { delayMs: 0 }));
      await relay.until(reached);
      await first.kill();
      const second = await serviceOn(directory, env);
      await inState(second, id, "sent");
      expect(relay.received.map(({ raw }) => messageIdOf(raw))).toEqual([id]);
    });
  }

  test("after the final dot: the message says that it may have been sent twice, and why", async () => {
    const relay = await relayWith({ dot: ["keep, hang"] });
    const directory = dataDir();
    const env = { SMTP_URL: relay.url, RETRY_DELAYS: "1ms" };
    const first = await serviceOn(directory, env);
    const id = await accepted(first, eventWith("evt_1", { delayMs: 0 }));
    await relay.until(({ received }) => received.length === 1);
    await first.kill();
    const second = await serviceOn(directory, env);
    const message = await inState(second, id, "sent");
    expect(message.timeline.map(({ state }) => state)).toContain("unknown");
    expect(relay.received.map(({ raw }) => messageIdOf(raw))).toEqual([id, id]);
  });

  test("neither the worker nor the embedded Redis runs on", async () => {
    const service = await serviceOn(dataDir(), {});
    const { worker, redis } = await pidsOf(service);
    expect([isAlive(worker), isAlive(redis)]).toEqual([true, true]);
    await service.kill();
    await until("both have ended", () => !isAlive(worker) && !isAlive(redis));
  });
});

describe("kill -9 of the worker", () => {
  test("again and again, while the relay hangs and a backlog waits: each post is answered, out of Redis, at once", async () => {
    const relay = await relayWith({ greeting: "hang" });
    const service = await serviceOn(dataDir(), { SMTP_URL: relay.url, DELAY_MS: "0" });
    await accepted(service, eventWith("evt_first"));
    await relay.until(({ connections }) => connections > 0);
    const answers: { status: number; durability: string; ms: number }[] = [];
    for (let n = 0; n < 500; n++) {
      if (n % 100 === 50) {
        const worker = await until("a worker runs", () =>
          service.lines.map(({ pid }) => Number(pid)).findLast((pid) => pid > 0 && isAlive(pid)),
        );
        process.kill(worker, "SIGKILL");
      }
      const startedAt = performance.now();
      const response = await service.post(eventWith(`evt_${n}`));
      const { durability } = (await response.json()) as { durability: string };
      answers.push({ status: response.status, durability, ms: performance.now() - startedAt });
    }
    expect(answers.filter(({ status, durability }) => status !== 202 || durability !== "fsynced")).toEqual([]);
    const ms = answers.map((answer) => answer.ms).sort((a, b) => a - b);
    expect(ms[Math.floor(ms.length * 0.95)]).toBeLessThan(500);
  });

  test("another is started, and it takes over at once what the first had in flight", async () => {
    const relay = await relayWith({ rcpt: ["hang"] });
    const service = await serviceOn(dataDir(), { SMTP_URL: relay.url, LEASE_MS: "600000" });
    const { worker } = await pidsOf(service);
    const id = await accepted(service, eventWith("evt_1", { delayMs: 0 }));
    await relay.until(({ commands }) => commands.some((line) => line.startsWith("RCPT")));
    process.kill(worker, "SIGKILL");
    await inState(service, id, "sent");
    expect(relay.received).toHaveLength(1);
  });
});

describe("kill -9 of the embedded Redis", () => {
  test("under load: every 202 has its mail", async () => {
    const relay = await relayWith();
    const service = await serviceOn(dataDir(), { SMTP_URL: relay.url, DELAY_MS: "0" });
    const ids: string[] = [];
    for (let n = 0; n < 600; n += 20) {
      if (n === 200 || n === 400) process.kill((await pidsOf(service)).redis, "SIGKILL");
      const responses = await Promise.all(
        Array.from({ length: 20 }, (_, i) => service.post(eventWith(`evt_${n + i}`))),
      );
      for (const response of responses) {
        const answer = (await response.json()) as { id: string };
        expect({ status: response.status, answer }).toMatchObject({ status: 202 }); // while Redis is away it is journaled
        ids.push(answer.id);
      }
      await until("redis is back", async () => (await service.get("/readyz")).ok);
    }
    expect(new Set(ids).size).toBe(600);
    await until(
      "each 202 has its mail",
      () => {
        const mailed = new Set(relay.received.map(({ raw }) => messageIdOf(raw)));
        return ids.every((id) => mailed.has(id));
      },
      20_000,
    );
  });
});

describe("the same events posted again", () => {
  test("10,000 events posted twice are 10,000 mails", async () => {
    const count = 10_000;
    const relay = await relayWith();
    const service = await serviceOn(dataDir(), { SMTP_URL: relay.url, DELAY_MS: "0", LOG_LEVEL: "info" });
    const post = async (from: number) => {
      const events = Array.from({ length: 1_000 }, (_, i) => eventWith(`evt_${from + i}`));
      const response = await fetch(new URL("/v1/events/batch", service.url), {
        method: "POST",
        headers: { authorization: `Bearer ${INGEST_KEY}` },
        body: JSON.stringify(events),
      });
      const { results } = (await response.json()) as { results: { id: string; duplicate: boolean }[] };
      return results;
    };
    const starts = Array.from({ length: count / 1_000 }, (_, i) => i * 1_000);
    const results: Awaited<ReturnType<typeof post>> = [];
    for (const from of starts) results.push(...(await Promise.all([post(from), post(from)])).flat());
    expect(results.filter(({ duplicate }) => !duplicate)).toHaveLength(count);
    expect(new Set(results.map(({ id }) => id)).size).toBe(count);
    const counted = async () =>
      (await (await service.get("/v1/queues")).json()) as { states: { sent: { total: number } } };
    await until("all are sent", async () => (await counted()).states.sent.total === count, 120_000);
    expect(relay.received).toHaveLength(count);
    expect(new Set(relay.received.map(({ raw }) => messageIdOf(raw))).size).toBe(count);
  }, 180_000);
});
