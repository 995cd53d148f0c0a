/*
 * What Redis's absence costs the producer: a post into the journal against one into Redis, in the same run; the
 * time from Redis's return to an empty journal; and what the outbox costs for each mail.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { Journal } from "../../src/journal/journal.ts";
import { openOutbox } from "../../src/journal/outbox.ts";
import { connect } from "../../src/stream/connect.ts";
import { openFallback } from "../../test/support/fallback.ts";
import { openIngress } from "../../test/support/ingress.ts";
import { benchEvent, benchRedis, median, percentile, quick, report, withInFlight } from "./measure.ts";

const POSTS = quick ? 2_000 : 10_000;
const JOURNALED = quick ? 10_000 : 100_000;
const IN_FLIGHT = 50;
const MAILS = quick ? 5_000 : 20_000;

const directory = mkdtempSync(join(tmpdir(), "pp-bench-"));
const log = pino({ level: "silent" });
const server = await benchRedis("always");
const redis = connect(server.address, "ingress");
redis.on("error", () => {}); // it is taken away on purpose
await redis.connect();
const journal = new Journal(directory, 4e9, log);
const drained = Promise.withResolvers<number>();
const ingress = openFallback({
  inner: openIngress(redis, { delayMs: 60_000, durability: () => "fsynced", log }),
  journal,
  log: pino(
    { level: "warn" },
    { write: (line) => void (line.includes("journal drained") && drained.resolve(performance.now())) },
  ),
  random: Math.random,
});

let next = 0;
async function post(expected: string): Promise<number> {
  const startedAt = performance.now();
  const posted = await ingress.post(benchEvent(`evt-${next++}`, 60_000));
  if (posted.kind !== "accepted" || posted.durability !== expected) throw new Error(JSON.stringify(posted));
  return performance.now() - startedAt;
}

async function phase(count: number, durability: string): Promise<{ perSecond: number; p50: number; p99: number }> {
  const times: number[] = [];
  const startedAt = performance.now();
  await withInFlight(count, IN_FLIGHT, async () => {
    times.push(await post(durability));
  });
  const perSecond = (count / (performance.now() - startedAt)) * 1_000;
  return { perSecond, p50: median(times), p99: percentile(times, 0.99) };
}

await phase(1_000, "fsynced"); // warm
const present = await phase(POSTS, "fsynced");
await server.kill();
await post("journaled"); // the one that finds out
const absent = await phase(JOURNALED, "journaled");
await server.start();
const backAt = performance.now();
const drainMs = (await drained.promise) - backAt;
await ingress.stop();
journal.close();

const outbox = openOutbox(directory, log);
const fact = (n: number) => ({
  tag: "{pp:0}",
  rank: "0",
  entryId: `${n}-0`,
  messageId: `msg_${n}`,
  attempt: 1,
  reply: "250 ok",
});
function perMailUs(batch: number): number {
  const startedAt = performance.now();
  for (let n = 0; n < MAILS; n += batch) {
    const facts = Array.from({ length: batch }, (_, i) => fact(n + i));
    outbox.forget(outbox.record(facts));
  }
  return ((performance.now() - startedAt) / MAILS) * 1_000;
}
const [one, twenty] = [perMailUs(1), perMailUs(20)];
outbox.close();
rmSync(directory, { recursive: true, force: true });

const row = (label: string, { perSecond, p50, p99 }: typeof present) => [label, perSecond, p50, p99];
await report(server.raw, {
  title: "Redis away",
  method: `${IN_FLIGHT} posts in flight, without HTTP, appendfsync always; ${JOURNALED} of them while Redis was killed.`,
  header: ["", "posts/s", "p50, ms", "p99, ms"],
  rows: [row("into Redis", present), row("into the journal", absent)],
  targets: [
    { claim: "posts into the journal, against Redis", value: absent.perSecond / present.perSecond, atLeast: 0.5 },
  ],
  notes: [
    `${JOURNALED} journaled events were in Redis ${(drainMs / 1_000).toFixed(1)} s after it was back`,
    `the outbox costs ${one.toFixed(0)} µs a mail alone, ${twenty.toFixed(0)} µs in batches of 20`,
  ],
});
redis.disconnect();
await server.stop();
