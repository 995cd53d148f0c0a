/* A cluster's slot that somebody left half moved, seen from outside: nothing is lost, and redis-cli mends it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { partitionOf, slotOf, tagOf } from "../../src/stream/keys.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { beginMove, clusterTool, startCluster, type TestCluster } from "../support/cluster.ts";
import { eventWith } from "../support/event.ts";
import { startRelay } from "../support/relay.ts";
import { makeDataDir, startService, type TestService } from "../support/service.ts";
import { until } from "../support/until.ts";

const PARTITIONS = 4;
/** Has no part in the layout. */
const MOVING = 2;
const REMEDY = "redis-cli --cluster fix";

let cluster: TestCluster;
const cleanups = cleanUpAfterEach();

beforeAll(async () => {
  cluster = await startCluster(2);
}, 60_000);
afterAll(() => cluster.stop());

/** Ids of events of one partition. */
function idsOf(partition: number, prefix: string, count: number): string[] {
  const ids = Array.from({ length: 1_000 }, (_, n) => `${prefix}_${n}`);
  return ids.filter((id) => partitionOf(id, PARTITIONS) === partition).slice(0, count);
}

async function post(service: TestService, id: string, delayMs = 0): Promise<{ id: string; durability: string }> {
  const response = await service.post(eventWith(id, { delayMs }));
  const body = (await response.json()) as { id: string; durability: string };
  expect([response.status, body]).toEqual([202, expect.objectContaining({ id: expect.any(String) })]);
  return body;
}

test("its posts and decisions are journaled, what it has is found, the others go on, and all is mailed when it is fixed", async () => {
  const relay = await startRelay();
  const directory = makeDataDir();
  cleanups.push(directory.remove, () => relay.stop());
  const start = async () => {
    const hosts = cluster.nodes.map(({ port }) => `127.0.0.1:${port}`).join(",");
    const env = { REDIS_URL: `redis+cluster://${hosts}`, PARTITIONS: String(PARTITIONS), SMTP_URL: relay.url };
    const service = await startService(directory.path, env);
    cleanups.push(() => service.stop());
    return service;
  };
  const mailed = () => relay.received.map(({ raw }) => /^Message-ID: <(.+)@/m.exec(raw.toString())?.[1] ?? "").sort();
  const status = async (service: TestService, path: string) => (await service.get(path)).status;
  const first = await start();
  const [kept = "", rolledBack = ""] = idsOf(MOVING, "kept", 2);
  const known = await post(first, kept, 3_000);
  const cancelled = await post(first, rolledBack, 3_000);

  const move = await beginMove(cluster, tagOf(MOVING));
  for (const key of (await move.keys()).slice(0, 5)) await move.migrate(key);
  const [journaled = "", ...more] = idsOf(MOVING, "moving", 20);
  const answer = await post(first, journaled);
  expect(answer.durability).toBe("journaled");
  const line = await first.line(({ msg }) => msg === "redis is away, events are journaled");
  expect(line["reason"]).toContain(`slot ${slotOf(tagOf(MOVING))} of partition ${MOVING} `);
  expect(line["reason"]).toContain(REMEDY);
  const times: number[] = [];
  for (const id of more) {
    const startedAt = performance.now();
    expect((await post(first, id)).durability).toBe("journaled");
    times.push(performance.now() - startedAt);
  }
  // Once it is known nobody waits for it.
  expect(times.sort((a, b) => a - b)[Math.floor(times.length / 2)]).toBeLessThan(50);
  const others = [0, 1, 3].flatMap((partition) => idsOf(partition, "other", 10));
  const live = await Promise.all(others.map((id) => post(first, id)));
  expect(live.filter(({ durability }) => durability === "journaled")).toEqual([]);
  await until("the others are mailed", () => live.every(({ id }) => mailed().includes(id)));
  expect(await status(first, "/readyz")).toBe(200);
  for (const path of [`/v1/messages/${known.id}`, `/v1/events/${kept}`]) expect(await status(first, path)).toBe(200);
  for (const path of [`/v1/messages/${answer.id}`, `/v1/events/${journaled}`])
    expect(await status(first, path)).toBe(503);
  const rollback = await first.decide(rolledBack, "rollback");
  expect([rollback.status, await rollback.json()]).toEqual([202, expect.objectContaining({ result: "journaled" })]);
  await first.kill();

  // One that starts now finds it so.
  const second = await start();
  const [late = ""] = idsOf(MOVING, "late", 1);
  expect((await post(second, late)).durability).toBe("journaled");
  await second.line((one) => JSON.stringify(one).includes(REMEDY) && one["by"] === "worker");
  expect(await clusterTool("fix", `127.0.0.1:${cluster.nodes[0]?.port}`)).toContain("All 16384 slots covered");
  await second.line(({ msg }) => msg === "journal drained");
  const all = mailed().length;
  const wanted = [known, answer, ...live].length + more.length + 1;
  expect(all).toBeLessThanOrEqual(wanted);
  await until("all is mailed", () => mailed().length >= wanted);
  expect(new Set(mailed()).size).toBe(wanted);
  expect(mailed()).not.toContain(cancelled.id);
  expect(await status(second, `/v1/messages/${answer.id}`)).toBe(200);
  expect(await status(second, "/v1/messages/msg_00000000000000000000000000ff")).toBe(404);
  await second.stop();
  expect(mailed().length).toBe(wanted);
}, 60_000);
