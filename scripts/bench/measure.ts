/* What the benches share: figures, rounds, the table, and the line about the machine. */
import { cpus, release } from "node:os";
import type Redis from "ioredis";
import { eventWith } from "../../test/support/event.ts";
import { startRedis, type TestRedis } from "../../test/support/redis.ts";

/** The shorter form of a bench, for a first look. */
export const quick = process.argv.includes("--quick");

/** A server with the repository's redis.conf, which does not outlive a bench that fails. */
export async function benchRedis(appendfsync = "everysec", ...extra: string[]): Promise<TestRedis> {
  const redis = await startRedis("--appendfsync", appendfsync, ...extra);
  process.once("exit", () => void redis.kill());
  return redis;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** @param share 0.99 for p99 */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** The example of the README, to a customer of its own as in real life. */
export function benchEvent(id: string, delayMs?: number) {
  return eventWith(id, delayMs === undefined ? undefined : { delayMs }, `${id.toLowerCase()}@example.com`);
}

/** Calls `each(0)` to `each(count - 1)`, `inFlight` of them at a time. */
export async function withInFlight(count: number, inFlight: number, each: (i: number) => Promise<unknown>) {
  let next = 0;
  const lane = async () => {
    while (next < count) await each(next++);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

/** Rewrites the AOF and waits for it, so that no rewrite falls into what is measured next. */
export async function settleRedis(redis: Redis): Promise<void> {
  await redis.bgrewriteaof().catch(() => {}); // one is under way
  while (/aof_rewrite_(in_progress|scheduled):1/.test(await redis.info("persistence"))) await Bun.sleep(20);
}

export async function readInfo(redis: Redis, section: string, field: string): Promise<string> {
  return new RegExp(`^${field}:(.*?)\\r?$`, "m").exec(await redis.info(section))?.[1] ?? "";
}

/** CPU time that the server has used so far, without its AOF rewrites. */
export async function redisCpuUs(redis: Redis): Promise<number> {
  const used = await Promise.all(["used_cpu_user", "used_cpu_sys"].map((field) => readInfo(redis, "cpu", field)));
  return used.reduce((sum, seconds) => sum + Number(seconds), 0) * 1e6;
}

export interface Target {
  claim: string;
  value: number;
  atLeast?: number;
  atMost?: number;
}

export interface Report {
  title: string;
  /** One sentence: what was measured, how often. */
  method: string;
  header: readonly string[];
  rows: readonly (readonly (string | number)[])[];
  /** None: the figures are for information. */
  targets: readonly Target[];
  notes?: readonly string[];
}

/** Prints it, and sets the exit status. */
export async function report(redis: Redis, { title, method, header, rows, targets, notes = [] }: Report) {
  const lines = [`\n### ${title}\n`, method, ""];
  lines.push(`| ${header.join(" | ")} |`, `|${header.map((_, i) => (i === 0 ? "---" : "--:")).join("|")}|`);
  for (const row of rows)
    lines.push(`| ${row.map((cell) => (typeof cell === "number" ? show(cell) : cell)).join(" | ")} |`);
  lines.push("");
  for (const target of targets) {
    const reached = isReached(target);
    if (!reached) process.exitCode = 1;
    lines.push(`- ${target.claim}: ${target.value.toFixed(2)}, ${goalOf(target)}: ${reached ? "reached" : "MISSED"}`);
  }
  if (targets.length === 0) lines.push("- no target: for information");
  for (const note of notes) lines.push(`- ${note}`);
  const redisVersion = await readInfo(redis, "server", "redis_version");
  const machine = `${cpus().length} cores, ${cpus()[0]?.model.trim()}, Linux ${release()}`;
  lines.push(`- ${machine}, Bun ${Bun.version}, Redis ${redisVersion}; load, service and Redis share the cores`);
  console.log(lines.join("\n"));
}

function isReached({ value, atLeast, atMost }: Target): boolean {
  return value >= (atLeast ?? Number.NEGATIVE_INFINITY) && value <= (atMost ?? Number.POSITIVE_INFINITY);
}

function goalOf({ atLeast, atMost }: Target): string {
  return atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
}

function show(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString("en");
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
