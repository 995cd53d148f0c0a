/* Redis stands still for longer than a lease, and no call fails: nobody could renew one, and nobody was lost. */
import { expect, test } from "bun:test";
import type { Redis } from "ioredis";
import { connect } from "../../src/stream/connect.ts";
import { tagOf } from "../../src/stream/keys.ts";
import { take } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { until } from "../support/until.ts";
import { mailerThat, onPipeline } from "./fixture.ts";

const LEASE_MS = 1_000;
const TAG = tagOf(0);
const NO_RELAY = "smtp://127.0.0.1:1";
const on = onPipeline("--enable-debug-command", "yes");

function countingMailer() {
  const mails = new Map<string, number>();
  const mailer = mailerThat(async ({ to }) => {
    mails.set(to.address, (mails.get(to.address) ?? 0) + 1);
    return { kind: "sent", reply: "250 2.0.0 queued" };
  });
  return { mails, mailer };
}

async function stopRedisFor(ms: number): Promise<void> {
  on.server.signal("SIGSTOP");
  const stoppedAt = performance.now();
  await until("it has stood still for long enough", () => performance.now() - stoppedAt > ms);
  on.server.signal("SIGCONT");
}

test("two workers under load, and Redis stops again and again: no mail twice, and what a lost one left is sent", async () => {
  const { mails, mailer } = countingMailer();
  const left = await on.pipeline.post(eventWith("evt_left", {}, "left@example.com"));
  await take(on.pipeline.redis, TAG, "worker-lost", 1, [0, 0, 0]);
  for (const consumer of ["worker-a", "worker-b"]) {
    await on.pipeline.startWorker(NO_RELAY, { consumer, concurrency: 40, mailer, leaseMs: LEASE_MS });
  }
  let posted = 0;
  for (let stall = 0; stall < 4; stall++) {
    const burst = Array.from({ length: 600 }, () => eventWith(`evt_${posted}`, {}, `a${posted++}@example.com`));
    const begun = mails.size;
    const posts = Promise.all(burst.map((event) => on.pipeline.post(event)));
    // In the middle of it: Redis has handed messages out, and the answers that say so have not left.
    await until("some are sent", () => mails.size >= begun + 100);
    await stopRedisFor(1.4 * LEASE_MS);
    for (const id of await posts) await on.pipeline.entered(id, "sent");
  }
  await on.pipeline.entered(left, "sent", 2);
  expect(mails.size).toBe(posted + 1);
  expect([...mails].filter(([, count]) => count > 1)).toEqual([]);
  const reclaimed = on.pipeline.lines.lines.filter(({ msg }) => msg === "message reclaimed from a lost worker");
  expect(reclaimed.map(({ owner }) => owner)).toEqual(["worker-lost"]);
});

test("one worker, and Redis stands still between a take and its answer: its own heart does not take it for lost", async () => {
  const { mails, mailer } = countingMailer();
  const redis = connect(on.server.address, "worker");
  await redis.connect();
  const worker = await on.pipeline.startWorker(NO_RELAY, { redis, mailer, leaseMs: LEASE_MS });
  for (let n = 0; n < 2; n++) {
    sleepAfterNextTake(redis, 1.4 * LEASE_MS);
    const id = await on.pipeline.post(eventWith(`evt_${n}`, {}, `a${n}@example.com`));
    await on.pipeline.entered(id, "sent");
    expect(await on.statesOf(id)).toEqual(["queued", "sending", "sent"]);
  }
  expect([...mails.values()]).toEqual([1, 1]);
  await worker.stop(0);
  redis.disconnect();
});

/** Redis runs the next take of this connection, then sleeps, and only then writes the answers to both. */
function sleepAfterNextTake(redis: Redis, ms: number): void {
  type Takes<T> = { pp_take(...args: unknown[]): T };
  const scripts = redis as unknown as Takes<Promise<unknown>>;
  const take = scripts.pp_take;
  scripts.pp_take = async (...args) => {
    scripts.pp_take = take;
    const together = redis.pipeline();
    (together as unknown as Takes<void>).pp_take(...args);
    const [answer] = (await together.call("DEBUG", "SLEEP", String(ms / 1_000)).exec()) ?? [];
    if (answer?.[0]) throw answer[0];
    return answer?.[1];
  };
}
