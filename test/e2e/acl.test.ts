/* A Redis user with the permissions of the manual, and nothing else, is enough for all that service and worker do. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { PASSWORD, rulesOfTheManual, USER } from "../support/acl.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { startCluster } from "../support/cluster.ts";
import { eventWith } from "../support/event.ts";
import { startRedis } from "../support/redis.ts";
import { startRelay } from "../support/relay.ts";
import { INGEST_KEY, makeDataDir, startService, type TestService } from "../support/service.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();

async function letIn(raw: Redis): Promise<void> {
  await raw.acl("SETUSER", USER, ...rulesOfTheManual());
  await raw.acl("LOG", "RESET");
}

/** What the user was refused since it was let in. */
async function refusals(raw: Redis): Promise<unknown[]> {
  return (await raw.acl("LOG")) as unknown[];
}

/** Waits until the event's message is in this state, by one look-up or the other. */
function inState(service: TestService, eventId: string, state: string): Promise<{ id: string }> {
  return until(`${eventId} is ${state}`, async () => {
    const message = (await (await service.get(`/v1/events/${eventId}`)).json()) as { id: string; state: string };
    return message.state === state ? message : undefined;
  });
}

/** 2xx or it fails; its body. */
async function send(service: TestService, method: string, path: string, body?: unknown): Promise<string> {
  const isProducers = path.startsWith("/v1/events");
  const response = await fetch(new URL(path, service.url), {
    method,
    headers: { authorization: `Bearer ${isProducers ? INGEST_KEY : service.adminToken}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text;
}

async function postAll(service: TestService, durability: string, ...events: unknown[]): Promise<void> {
  const { results } = JSON.parse(await send(service, "POST", "/v1/events/batch", events)) as { results: object[] };
  expect(results).toEqual(events.map(() => expect.objectContaining({ durability })));
}

test("post, hold, retry, dead letter, replay, look-ups, metrics, pause, live feed, partitions and kill -9: no NOPERM", async () => {
  const redis = await startRedis();
  await letIn(redis.raw);
  const relay = await startRelay({
    rcpt: ["451 4.3.0 later", "ok", "550 5.1.1 no such user", "ok", "550 5.1.1 no such user"],
    dot: ["ok", "ok", "keep, drop", "ok", "hang"],
  });
  const { path, remove } = makeDataDir();
  cleanups.push(
    remove,
    () => relay.stop(),
    () => redis.stop(),
  );
  const service = await startService(path, {
    REDIS_URL: `unix://${USER}:${PASSWORD}@${redis.address.path}`,
    SMTP_URL: relay.url,
    ...{ DELAY_MS: "0", RETRY_DELAYS: "50ms", CHECK_BACKS: "50ms", LEASE_MS: "300", LOG_LEVEL: "debug" },
  });
  cleanups.push(() => service.stop());
  const live = await fetch(new URL("/v1/live", service.url), {
    headers: { authorization: `Bearer ${service.adminToken}` },
  });
  const feed = (live.body as ReadableStream<Uint8Array>).getReader();
  await feed.read();

  await postAll(service, "fsynced", eventWith("evt_retried"));
  await inState(service, "evt_retried", "sent");
  expect(new TextDecoder().decode((await feed.read()).value)).toContain("transition");
  await feed.cancel();
  await postAll(service, "fsynced", eventWith("evt_refused"));
  const dead = await inState(service, "evt_refused", "dead");
  await send(service, "GET", "/v1/dead");
  await send(service, "POST", `/v1/dead/${dead.id}/replay`, { recipient: "an@example.net" });
  await inState(service, "evt_refused", "sent");
  await postAll(service, "fsynced", eventWith("evt_dropped"));
  await inState(service, "evt_dropped", "dead");
  await send(service, "POST", "/v1/dead/replay", { all: true, dryRun: true });
  await send(service, "DELETE", `/v1/dead/${(await inState(service, "evt_dropped", "dead")).id}`);
  await postAll(service, "fsynced", eventWith("evt_unknown"));
  await inState(service, "evt_unknown", "sent");

  await postAll(service, "fsynced", eventWith("evt_left"));
  await relay.until(({ silent }) => silent > 0);
  const { pid } = await service.line(({ msg }) => msg === "worker process started");
  process.kill(Number(pid), "SIGKILL");
  await inState(service, "evt_left", "sent");

  await postAll(
    service,
    "fsynced",
    ...["a", "b", "c"].map((id) => eventWith(id, { hold: true })),
    eventWith("a", { hold: true }),
  );
  await send(service, "POST", "/v1/events/a/commit");
  await send(service, "POST", "/v1/events/b/rollback");
  await send(service, "POST", "/v1/events/never/rollback");
  await inState(service, "a", "sent");
  await service.line(({ eventId, level }) => eventId === "c" && level === 50);
  await send(service, "POST", "/v1/queues/critical/pause");
  await postAll(service, "fsynced", eventWith("d", { delayMs: 1 }), eventWith("never"));
  await inState(service, "d", "queued");
  await send(service, "POST", "/v1/queues/critical/resume");
  await inState(service, "d", "sent");

  await send(service, "POST", "/v1/partitions", { partitions: 2 });
  await postAll(
    service,
    "fsynced",
    ...Array.from({ length: 8 }, (_, n) => eventWith(`evt_${n}`)),
    eventWith("evt_left"),
  );
  for (let n = 0; n < 8; n++) await inState(service, `evt_${n}`, "sent");
  for (const path of ["/v1/queues", "/v1/partitions", "/v1/messages?state=sent", "/v1/messages?state=held", "/readyz"])
    await send(service, "GET", path);
  expect(await send(service, "GET", "/v1/messages?booking=BK-a&recipient=an@example.com")).toContain('"sent"');
  const metrics = await send(service, "GET", "/metrics");
  expect(metrics).toContain("postpaid_redis_up 1");
  expect(metrics).toMatch(/^postpaid_redis_delayed_fsyncs \d+$/m);

  expect(await refusals(redis.raw)).toEqual([]);
  expect(service.lines.filter((line) => JSON.stringify(line).includes("NOPERM"))).toEqual([]);
  expect((await service.post(eventWith("evt_last"))).status).toBe(202);
}, 60_000);

test("on a cluster, with replicas that have each post, from the post to the mail: no NOPERM on any node", async () => {
  const cluster = await startCluster(2, { replicas: true });
  for (const { raw } of cluster.nodes) await letIn(raw);
  const relay = await startRelay();
  const { path, remove } = makeDataDir();
  cleanups.push(
    remove,
    () => relay.stop(),
    () => cluster.stop(),
  );
  const service = await startService(path, {
    REDIS_URL: `redis+cluster://${USER}:${PASSWORD}@127.0.0.1:${cluster.nodes[0]?.port}`,
    SMTP_URL: relay.url,
    ...{ DELAY_MS: "0", MIN_REPLICAS: "1", PARTITIONS: "8" },
  });
  cleanups.push(() => service.stop());
  const ids = Array.from({ length: 20 }, (_, n) => `evt_${n}`);
  await postAll(service, "replicated", ...ids.map((id) => eventWith(id)));
  for (const id of ids) await inState(service, id, "sent");
  expect(await send(service, "GET", "/metrics")).toContain("postpaid_redis_up 1");
  for (const { raw } of cluster.nodes) expect(await refusals(raw)).toEqual([]);
}, 60_000);

/** With as many arguments as the command takes, all of them keys of ours. */
async function verdictOn(raw: Redis, ...command: string[]): Promise<string> {
  for (let count = 0; count < 8; count++) {
    const keys = Array(count).fill("{pp:0}:x");
    const verdict = await raw.call("ACL", "DRYRUN", USER, ...command, ...keys).catch((error: Error) => error.message);
    if (!/wrong number of arguments/.test(String(verdict))) return String(verdict);
  }
  return "no number of arguments is right";
}

test("the line has each command of each script, also of those that a test seldom reaches", async () => {
  const redis = await startRedis();
  cleanups.push(() => redis.stop());
  await letIn(redis.raw);
  const directory = join(import.meta.dir, "../../src/stream");
  const calls = new Set<string>();
  for (const file of readdirSync(directory).filter((name) => name.endsWith(".lua"))) {
    const text = readFileSync(join(directory, file), "utf8");
    const call = /redis\.p?call\(\s*'([A-Z]+)'(?:,\s*'([A-Z]+)')?/g;
    for (const [, command = "", word = ""] of text.matchAll(call))
      calls.add(/^(?:MEMORY|XGROUP|XINFO)$/.test(command) ? `${command} ${word}` : command);
  }
  expect(calls.size).toBeGreaterThan(30);
  for (const one of calls) {
    expect([one, await verdictOn(redis.raw, ...one.split(" "))]).toEqual([one, "OK"]);
  }
  expect(await verdictOn(redis.raw, "FLUSHALL")).toContain("no permissions to run");
  expect(await verdictOn(redis.raw, "CONFIG", "SET")).toContain("no permissions to run");
  expect(await verdictOn(redis.raw, "KEYS")).toContain("no permissions to run");
  expect(await verdictOn(redis.raw, "GET", "other")).toContain("no permissions to access");
});
