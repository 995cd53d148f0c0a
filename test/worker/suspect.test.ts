/* A relay that closes on one message, and a relay that is away: only the first costs the message an attempt. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { eventWith } from "../support/event.ts";
import { type Pipeline, startPipeline } from "../support/pipeline.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { type FakeRelay, type RelayScript, type Step, startRelay } from "../support/relay.ts";

const POLICY = { maxRetries: 3, retryDelaysMs: [60_000], onUnknown: "resend" } as const;

let server: TestRedis;
let pipeline: Pipeline;
let relay: FakeRelay;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await server.raw.flushall();
  pipeline = await startPipeline(server);
});
afterEach(async () => {
  await pipeline.stop();
  await relay.stop();
});

async function start(script: RelayScript): Promise<void> {
  relay = await startRelay(script);
  await pipeline.startWorker(relay.url, { policy: POLICY });
}

async function statesOf(messageId: string): Promise<string[]> {
  return (await pipeline.messages.byId(messageId))?.timeline.map(({ state }) => state) ?? [];
}

test.each(["rcpt", "dot"] as const)(
  "a message that is answered 421 at %s for the fourth time is deferred, and holds nothing back",
  async (place) => {
    const closing: Step = "421 4.7.0 not this one";
    await start({ [place]: [closing, closing, closing, closing] });
    const id = await pipeline.post(eventWith("evt_1"));
    const deferred = await pipeline.entered(id, "deferred");
    expect(deferred.attempt).toBe(1);
    expect(relay.commands.filter((line) => line.startsWith("MAIL"))).toHaveLength(4);
    const low = await pipeline.post(eventWith("evt_2", { priority: "low" }));
    await pipeline.entered(low, "sent", 1);
    expect(await statesOf(id)).not.toContain("dead");
  },
  30_000,
);

test("a relay that turns every connection away costs no attempt, however often it does", async () => {
  await start({ greeting: Array<Step>(4).fill("421 4.3.2 not now") });
  const id = await pipeline.post(eventWith("evt_1"));
  await pipeline.entered(id, "sent", 1);
  expect(await statesOf(id)).not.toContain("deferred");
}, 30_000);

test("a relay that refuses our sender or our credentials costs no attempt, however often it does", async () => {
  await start({ mail: Array<Step>(4).fill("530 5.7.0 authentication required") });
  const id = await pipeline.post(eventWith("evt_1"));
  await pipeline.entered(id, "sent", 1);
  expect(await statesOf(id)).not.toContain("deferred");
}, 30_000);
