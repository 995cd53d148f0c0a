/*
 * Enqueue and drain with a handler that does nothing, against BullMQ doing the same job on the same kind of
 * Redis. Each has a process and a Redis of its own; they take turns, so that drift hits both.
 */
import type { TestRedis } from "../../test/support/redis.ts";
import { type Child, startChild } from "./child.ts";
import { benchRedis, median, quick, redisCpuUs, report, settleRedis } from "./measure.ts";
import { BULK, IN_FLIGHT, type Job, type JobResult } from "./queueJob.ts";

const ROUNDS = quick ? 3 : 9;
const COUNT = quick ? 10_000 : 20_000;
const JOBS = ["singles", "drain", "bulk", "drain"] as const;
const LABELS = [`enqueue, ${IN_FLIGHT} in flight`, `drain, concurrency ${IN_FLIGHT}`, `enqueue, bulk of ${BULK}`];

interface Contestant {
  name: string;
  redis: TestRedis;
  child: Child<string>;
  rounds: (JobResult & { redisUs: number })[][];
}

async function enter(name: string, script: string, ...args: string[]): Promise<Contestant> {
  const redis = await benchRedis();
  return { name, redis, child: await startChild<string>(script, redis.address.path, ...args), rounds: [] };
}

async function play({ redis, child }: Contestant, kind: Job["kind"]): Promise<JobResult & { redisUs: number }> {
  await settleRedis(redis.raw);
  const before = await redisCpuUs(redis.raw);
  const result: JobResult = await child.ask({ kind, count: COUNT, prefix: `${kind}-` } satisfies Job);
  return { ...result, redisUs: ((await redisCpuUs(redis.raw)) - before) / COUNT };
}

const ours = await enter("postpaid", "queuePostpaid.ts");
const peers = [
  await enter("BullMQ", "queueBullmq.ts"),
  await enter("BullMQ, no priorities", "queueBullmq.ts", "plain"),
];
const all = [ours, ...peers];
for (let round = 0; round <= ROUNDS; round++) {
  const results = all.map((contestant) => ({ contestant, jobs: [] as (JobResult & { redisUs: number })[] }));
  for (const kind of JOBS) for (const { contestant, jobs } of results) jobs.push(await play(contestant, kind));
  for (const { contestant, jobs } of results) {
    if (round > 0) contestant.rounds.push(jobs); // the first one warms up
    await contestant.redis.raw.flushall();
  }
}

const figure = (rounds: Contestant["rounds"], job: number, of: "perSecond" | "cpuUs" | "redisUs") =>
  median(rounds.map((round) => round[job]?.[of] ?? Number.NaN));
const ratio = (peer: Contestant, job: number) =>
  median(ours.rounds.map((round, i) => (round[job]?.perSecond ?? 0) / (peer.rounds[i]?.[job]?.perSecond ?? 0)));
const rows = LABELS.flatMap((label, job) =>
  all.map(({ name, rounds }, i) => [
    `${label}: ${name}`,
    figure(rounds, job, "perSecond"),
    i === 0 ? "" : ratio(peers[i - 1] as Contestant, job),
    figure(rounds, job, "cpuUs"),
    figure(rounds, job, "redisUs"),
  ]),
);
await report(ours.redis.raw, {
  title: "The queue against BullMQ",
  method: `${COUNT} messages, ${ROUNDS} rounds in turn, appendfsync everysec; medians. All: dedup by the event's id, 11 attempts, retained 7 days; each with its priority, critical, but where it says otherwise.`,
  header: ["", "messages/s", "ours to it", "client CPU µs each", "Redis CPU µs each"],
  rows,
  targets: LABELS.map((claim, job) => ({
    claim: `${claim}, against BullMQ`,
    value: ratio(peers[0] as Contestant, job),
    atLeast: 2,
  })),
});
for (const { child, redis } of all) {
  await child.stop();
  await redis.stop();
}
