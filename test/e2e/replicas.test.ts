/* MIN_REPLICAS, seen from outside: a replica that is there, one that is stopped, and a failover that loses nothing. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { type SentinelGroup, startSentinelGroup } from "../support/group.ts";
import { type FakeRelay, startRelay } from "../support/relay.ts";
import { makeDataDir, startService, type TestService } from "../support/service.ts";
import { until } from "../support/until.ts";

let group: SentinelGroup;
let relay: FakeRelay;
let service: TestService;
const cleanups = cleanUpAfterEach();

beforeAll(async () => {
  group = await startSentinelGroup(1);
}, 60_000);
afterAll(() => group.stop());
beforeEach(async () => {
  const master = await group.settled();
  await master.raw.flushall();
  const directory = makeDataDir();
  relay = await startRelay();
  service = await startService(directory.path, {
    REDIS_URL: group.url,
    MIN_REPLICAS: "1",
    SMTP_URL: relay.url,
    DELAY_MS: "0",
    LEASE_MS: "3000", // a take whose reply the failover took along is tried again after it
  });
  cleanups.push(
    directory.remove,
    () => relay.stop(),
    () => service.stop(),
  );
}, 60_000);

async function post(id: string, delayMs = 0): Promise<{ id: string; durability: string }> {
  const response = await service.post(eventWith(id, { delayMs }));
  expect(response.status).toBe(202);
  return (await response.json()) as { id: string; durability: string };
}

const mailed = () => relay.received.map(({ raw }) => /^Message-ID: <(.+)@/m.exec(raw.toString())?.[1] ?? "").sort();

test("with its replica an event is replicated; with the replica stopped it is journaled, and mailed once", async () => {
  expect(await post("evt_1")).toMatchObject({ durability: "replicated" });
  const master = await group.master();
  const replica = group.nodes.find((node) => node !== master);
  replica?.signal("SIGSTOP");
  cleanups.push(() => replica?.signal("SIGCONT"));
  const startedAt = performance.now();
  expect(await post("evt_2")).toMatchObject({ durability: "journaled" });
  expect(performance.now() - startedAt).toBeLessThan(1_500);
  const others = await Promise.all(Array.from({ length: 20 }, (_, n) => post(`evt_o${n}`)));
  for (const { durability } of others) expect(durability).toBe("journaled");
  await until("all are mailed", () => mailed().length === 22);
  expect((await service.get("/readyz")).status).toBe(200);
  replica?.signal("SIGCONT");
  await service.line(({ msg }) => msg === "journal drained");
  expect(await post("evt_3")).toMatchObject({ durability: "replicated" });
  await until("the last one is mailed", () => mailed().length === 23);
  expect(new Set(mailed()).size).toBe(23);
}, 60_000);

test("a planned failover under load: each event that was answered is there, and mailed once", async () => {
  const answers: { id: string; durability: string }[] = [];
  let over = false;
  const posting = (async () => {
    for (let n = 0; !over; n++) answers.push(await post(`evt_${n}`, (n % 3) * 1_000));
  })();
  await until("some are replicated", () => answers.length > 50);
  await group.failOver();
  await group.settled();
  const before = answers.length;
  await until("some are replicated again", () => answers.slice(before).some((a) => a.durability === "replicated"));
  over = true;
  await posting;
  const ids = answers.map(({ id }) => id).sort();
  await until("each has its mail", () => mailed().length >= ids.length, 60_000);
  expect(mailed()).toEqual(ids);
}, 120_000);
