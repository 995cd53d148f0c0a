/*
 * Enqueue and drain with a handler that does nothing, against BullMQ doing the same job on the same kind of
 * Redis. Each has a process and a Redis of its own; they take turns, so that drift hits both.
 */
import { startRedis, type TestRedis } from "../../test/support/redis.ts";
import { type Child, startChild } from "./child.ts";
import { median, quick, readInfo, report, settleRedis } from "./measure.ts";
import { BULK, IN_FLIGHT, type Job, type JobResult } from "./queueJob.ts";

const ROUNDS = quick ? 2 : 5;
const COUNT = quick ? 5_000 : 20_000;
const WARM_UP = 2_000;
const JOBS = ["singles", "drain", "bulk", "drain"] as const;
const LABELS = [`enqueue, ${IN_FLIGHT} in flight`, `drain, concurrency ${IN_FLIGHT}`, `enqueue, bulk of ${BULK}`];

interface Contestant {
  name: string;
  redis: TestRedis;
  child: Child<string>;
  rounds: (JobResult & { redisUs: number })[][];
}

async function enter(name: string, script: string): Promise<Contestant> {
  const redis = await startRedis("--appendfsync", "everysec");
  const child = await startChild<string>(script, redis.address.path);
  for (const kind of JOBS) await child.ask({ kind, count: WARM_UP, prefix: `warm-${kind}-` } satisfies Job);
  return { name, redis, child, rounds: [] };
}

async function play({ redis, child, rounds }: Contestant): Promise<void> {
  await redis.raw.flushall();
  await settleRedis(redis.raw);
  const results: Contestant["rounds"][number] = [];
  for (const kind of JOBS) {
    const before = await redisCpuUs(redis);
    const result: JobResult = await child.ask({ kind, count: COUNT, prefix: `${kind}-` } satisfies Job);
    results.push({ ...result, redisUs: ((await redisCpuUs(redis)) - before) / COUNT });
  }
  rounds.push(results);
}

async function redisCpuUs({ raw }: TestRedis): Promise<number> {
  const [user, system] = await Promise.all(["used_cpu_user", "used_cpu_sys"].map((f) => readInfo(raw, "cpu", f)));
  return (Number(user) + Number(system)) * 1e6;
}

const ours = await enter("postpaid", "queuePostpaid.ts");
const bullmq = await enter("BullMQ", "queueBullmq.ts");
for (let i = 0; i < ROUNDS; i++) {
  await play(ours);
  await play(bullmq);
}

const figure = (rounds: Contestant["rounds"], job: number, of: "perSecond" | "cpuUs" | "redisUs") =>
  median(rounds.map((round) => round[job]?.[of] ?? Number.NaN));
const ratios = LABELS.map((_, job) =>
  median(ours.rounds.map((round, i) => (round[job]?.perSecond ?? 0) / (bullmq.rounds[i]?.[job]?.perSecond ?? 0))),
);
const rows = LABELS.flatMap((label, job) =>
  [ours, bullmq].map(({ name, rounds }, i) => [
    `${label}: ${name}`,
    figure(rounds, job, "perSecond"),
    i === 0 ? (ratios[job] as number) : "",
    figure(rounds, job, "cpuUs"),
    figure(rounds, job, "redisUs"),
  ]),
);
await report(ours.redis.raw, {
  title: "The queue against BullMQ",
  method: `${COUNT} messages, ${ROUNDS} rounds in turn, appendfsync everysec; medians. Both: dedup by the event's id, 11 attempts, retained 7 days.`,
  header: ["", "messages/s", "ratio", "client CPU µs each", "Redis CPU µs each"],
  rows,
  targets: LABELS.map((claim, job) => ({ claim: `${claim}, against BullMQ`, value: ratios[job] as number, atLeast: 2 })),
});
for (const { child, redis } of [ours, bullmq]) {
  await child.stop();
  await redis.stop();
}
