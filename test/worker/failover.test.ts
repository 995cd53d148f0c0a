/* A replica that has not got all of it takes over while mail is sent: what was sent is not sent again. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { key, tagOf } from "../../src/stream/keys.ts";
import { eventWith } from "../support/event.ts";
import { type SentinelGroup, startSentinelGroup, type TestNode } from "../support/group.ts";
import { type Pipeline, startPipeline } from "../support/pipeline.ts";
import { type FakeRelay, startRelay } from "../support/relay.ts";
import { until } from "../support/until.ts";

const COUNT = 4; // connections of the pipeline's mailer
const TAG = tagOf(0);

let group: SentinelGroup;
let master: TestNode;
let replica: TestNode;
let pipeline: Pipeline;
let relay: FakeRelay;

beforeAll(async () => {
  group = await startSentinelGroup(1);
}, 60_000);
beforeEach(async () => {
  master = await group.settled();
  replica = group.nodes.find((node) => node !== master) as TestNode;
  await master.raw.flushall();
  pipeline = await startPipeline(group);
});
afterEach(async () => {
  for (const node of group.nodes) node.signal("SIGCONT");
  await pipeline.stop();
  await relay.stop();
  await master.start();
});
afterAll(() => group.stop());

/** What the master is told in between is lost. */
async function loseWhatIsTold(tell: () => Promise<unknown>): Promise<void> {
  await group.cutOff(replica);
  await tell();
  await master.kill();
  replica.signal("SIGCONT");
  await until("the replica is master", async () => String(await replica.raw.role()).startsWith("master"), 30_000);
}

async function stateOf(id: string): Promise<string | undefined> {
  return (await pipeline.messages.byId(id).catch(() => undefined))?.state;
}

async function allAreSent(ids: readonly string[]): Promise<void> {
  for (const id of ids) await until(`${id} is sent`, async () => (await stateOf(id)) === "sent", 20_000);
}

test("the settlements are lost: they are told again, and no lease has to run out first", async () => {
  relay = await startRelay({ dot: Array.from({ length: COUNT }, () => "keep, hang" as const) });
  await pipeline.startWorker(relay.url, { concurrency: COUNT });
  const ids = await Promise.all(Array.from({ length: COUNT }, (_, n) => pipeline.post(eventWith(`evt_${n}`))));
  await relay.until(({ received }) => received.length === COUNT);
  await loseWhatIsTold(async () => {
    relay.closeConnections("250 2.0.0 queued");
    await allAreSent(ids);
  });
  await allAreSent(ids);
  expect(relay.received).toHaveLength(COUNT);
  expect(pipeline.lines.lines).toContainEqual(
    expect.objectContaining({ msg: "redis had lost what was sent, and was told again", messages: COUNT }),
  );
}, 90_000);

test("the takes are lost, too: what is handed out once more is not sent once more", async () => {
  relay = await startRelay();
  await master.raw.sadd(key.paused(TAG), "0");
  await pipeline.startWorker(relay.url);
  const ids = await Promise.all(Array.from({ length: COUNT }, (_, n) => pipeline.post(eventWith(`evt_${n}`))));
  await loseWhatIsTold(async () => {
    await master.raw.srem(key.paused(TAG), "0");
    await pipeline.post(eventWith("evt_wake"));
    await allAreSent(ids);
  });
  for (const id of ids) await until(`${id} looks unsent`, async () => (await stateOf(id)) === "queued");
  await replica.raw.srem(key.paused(TAG), "0");
  await pipeline.post(eventWith("evt_wake"));
  await allAreSent(ids);
  expect(relay.received).toHaveLength(COUNT + 1);
  const [timeline] = [(await pipeline.messages.byId(ids[0] ?? ""))?.timeline.at(-1)];
  expect(timeline).toMatchObject({ state: "sent", attempt: 1, reason: expect.stringContaining("250") });
}, 90_000);

test("the event itself is lost: when it is posted again there is no second mail, and another body makes one", async () => {
  relay = await startRelay();
  await pipeline.startWorker(relay.url);
  await loseWhatIsTold(async () => {
    const ids = await Promise.all(["evt_1", "evt_2"].map((id) => pipeline.post(eventWith(id))));
    await allAreSent(ids);
  });
  const again = await until("it is taken", () => pipeline.post(eventWith("evt_1")).catch(() => undefined), 20_000);
  const other = await pipeline.post(eventWith("evt_2", undefined, "other@example.com"));
  await allAreSent([again, other]);
  expect(relay.received.map(({ envelope }) => envelope.to[0]).sort()).toEqual([
    "an@example.com",
    "an@example.com",
    "other@example.com",
  ]);
}, 90_000);
