/*
 * Enqueue and drain with a handler that does nothing, against BullMQ doing the same job on the same kind of
 * Redis. Each has a Redis of its own; they take turns, so that drift hits both. Twice: each job in a process that has
 * just started, and all of them in one process, whose code is compiled the further the longer it runs.
 */
import type { TestRedis } from "../../test/support/redis.ts";
import { type Child, startChild } from "./child.ts";
import { benchRedis, median, quick, redisCpuUs, report, settleRedis } from "./measure.ts";
import { BULK, IN_FLIGHT, type Job, type JobResult } from "./queueJob.ts";

const ROUNDS = quick ? 3 : 7;
const COUNT = 20_000;
const JOBS = ["singles", "drain", "bulk"] as const;
const LABELS = [`enqueue, ${IN_FLIGHT} in flight`, `drain, concurrency ${IN_FLIGHT}`, `enqueue, bulk of ${BULK}`];

type Result = JobResult & { redisUs: number };

interface Contestant {
  name: string;
  redis: TestRedis;
  start(): Promise<Child<string>>;
}

async function enter(name: string, script: string, ...args: string[]): Promise<Contestant> {
  const redis = await benchRedis("everysec", "--auto-aof-rewrite-percentage", "0");
  return { name, redis, start: () => startChild<string>(script, redis.address.path, ...args) };
}

async function play({ raw }: TestRedis, child: Child<string>, kind: Job["kind"]): Promise<Result> {
  const before = await redisCpuUs(raw);
  const result: JobResult = await child.ask({ kind, count: COUNT, prefix: `${kind}-` } satisfies Job);
  return { ...result, redisUs: ((await redisCpuUs(raw)) - before) / COUNT };
}

async function playFresh({ redis, start }: Contestant, kind: Job["kind"]): Promise<Result> {
  const child = await start();
  const result = await play(redis, child, kind);
  await child.stop();
  return result;
}

const ours = await enter("postpaid", "queuePostpaid.ts");
const peers = [
  await enter("BullMQ", "queueBullmq.ts"),
  await enter("BullMQ, no priorities", "queueBullmq.ts", "plain"),
];
const all = [ours, ...peers];

/** @returns for each contestant its rounds, and in each its jobs */
async function compete(playJob: (contestant: Contestant, kind: Job["kind"]) => Promise<Result>): Promise<Result[][][]> {
  const rounds: Result[][][] = all.map(() => []);
  for (let round = 0; round <= ROUNDS; round++) {
    const jobs: Result[][] = all.map(() => []);
    for (const kind of JOBS)
      for (const [i, contestant] of all.entries()) jobs[i]?.push(await playJob(contestant, kind));
    for (const { redis } of all) {
      await redis.raw.flushall();
      await settleRedis(redis.raw); // now: a fork of a full server makes its next writes slower, page by page
    }
    if (round > 0) for (const [i, done] of jobs.entries()) rounds[i]?.push(done); // the first one warms up
  }
  return rounds;
}

async function show(title: string, rounds: Result[][][], hasTargets: boolean): Promise<void> {
  const of = (who: number, job: number, figure: keyof Result) =>
    rounds[who]?.map((round) => round[job]?.[figure] ?? Number.NaN) ?? [];
  const ratio = (who: number, job: number) =>
    median(of(0, job, "perSecond").map((perSecond, i) => perSecond / (of(who, job, "perSecond")[i] as number)));
  await report(ours.redis.raw, {
    title,
    method: `${COUNT} messages, ${ROUNDS} rounds in turn, appendfsync everysec; medians. All: dedup by the event's id, 11 attempts, retained 7 days; each with its priority, critical, but where it says otherwise.`,
    header: ["", "messages/s", "ours to it", "client CPU µs each", "Redis CPU µs each"],
    rows: LABELS.flatMap((label, job) =>
      all.map(({ name }, who) => [
        `${label}: ${name}`,
        median(of(who, job, "perSecond")),
        who === 0 ? "" : ratio(who, job),
        median(of(who, job, "cpuUs")),
        median(of(who, job, "redisUs")),
      ]),
    ),
    targets: hasTargets
      ? LABELS.map((label, job) => ({ claim: `${label}, against BullMQ`, value: ratio(1, job), atLeast: 2 }))
      : [],
  });
}

await show("The queue against BullMQ, each job in a process that has just started", await compete(playFresh), true);

const children = new Map<Contestant, Child<string>>();
for (const contestant of all) children.set(contestant, await contestant.start());
const rounds = await compete((one, kind) => play(one.redis, children.get(one) as Child<string>, kind));
await show(`The same in one process, after ${COUNT * JOBS.length} messages and more`, rounds, false);

for (const child of children.values()) await child.stop();
for (const { redis } of all) await redis.stop();
