/*
 * A post over HTTP, validated, authenticated, deduplicated and durable, against the same service with the
 * enqueue left out. The two take turns, so that what else the machine does hits both.
 */
import { join } from "node:path";
import type { TestRedis } from "../../test/support/redis.ts";
import { type Child, startChild } from "./child.ts";
import { benchEvent, benchRedis, median, quick, redisCpuUs, report, settleRedis } from "./measure.ts";

const ROUNDS = quick ? 3 : 7;
const SECONDS = 2;
const CONNECTIONS = 64;
const KEY = "ppi_bench_0123456789abcdef";

interface Figures {
  perSecond: number;
  serviceUs: number;
  redisUs: number;
}

let runs = 0;

async function measure(redis: TestRedis, service: Child<string>): Promise<Figures> {
  await redis.raw.flushall();
  await settleRedis(redis.raw);
  const [cpu, redisCpu] = [await service.ask("cpu"), await redisCpuUs(redis.raw)];
  const run = `r${String(runs++).padStart(7, "0")}`;
  const load = ["-t1", `-c${CONNECTIONS}`, `-d${SECONDS}s`, "-s", join(import.meta.dir, "wrk.lua")];
  const wrk = Bun.spawn(["wrk", ...load, service.ready, "--", run], {
    env: { ...process.env, KEY, EVENT: JSON.stringify(benchEvent("@ID@")).replace("@id@", "@ID@") },
  });
  const output = await new Response(wrk.stdout).text();
  const count = Number(/(\d+) requests in/.exec(output)?.[1]);
  const perSecond = Number(/Requests\/sec: +([\d.]+)/.exec(output)?.[1]);
  if (!(perSecond > 0) || output.includes("Non-2xx")) throw new Error(`the load failed:\n${output}`);
  const after = await service.ask("cpu");
  return {
    perSecond,
    serviceUs: (after.user + after.system - cpu.user - cpu.system) / count,
    redisUs: ((await redisCpuUs(redis.raw)) - redisCpu) / count,
  };
}

async function compare(appendfsync: string) {
  const redis = await benchRedis(appendfsync);
  const services: Child<string>[] = [];
  try {
    for (const variant of ["enqueue", "instant"]) {
      services.push(await startChild("service.ts", redis.address.path, variant, KEY));
    }
    const [full, without] = services as [Child<string>, Child<string>];
    for (const service of [full, without]) await measure(redis, service); // warm
    const rounds: [Figures, Figures][] = [];
    for (let i = 0; i < ROUNDS; i++) rounds.push([await measure(redis, full), await measure(redis, without)]);
    const of = (variant: 0 | 1, figure: keyof Figures) => median(rounds.map((round) => round[variant][figure]));
    const ratio = median(rounds.map(([a, b]) => a.perSecond / b.perSecond));
    const row = [appendfsync, of(0, "perSecond"), of(1, "perSecond"), ratio];
    return { ratio, row: [...row, of(0, "serviceUs"), of(1, "serviceUs"), of(0, "redisUs")] };
  } finally {
    await Promise.all(services.map((service) => service.stop()));
    await redis.stop();
  }
}

const everysec = await compare("everysec");
const always = await compare("always");
const redis = await benchRedis();
await report(redis.raw, {
  title: "A post over HTTP",
  method: `wrk, ${CONNECTIONS} connections, ${JSON.stringify(benchEvent("evt_7Q2")).length} characters of event, ${ROUNDS} rounds of ${SECONDS} s each, in turn; medians.`,
  header: ["appendfsync", "posts/s", "without the enqueue", "ratio", "service CPU µs", "without", "Redis CPU µs"],
  rows: [everysec.row, always.row],
  targets: [{ claim: "posts against the same without the enqueue, everysec", value: everysec.ratio, atLeast: 0.6 }],
});
await redis.stop();
