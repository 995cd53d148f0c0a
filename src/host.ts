/* What the two roles share: the process that they run in, their folder, their connections. */
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { type Config, ConfigError } from "./config.ts";
import { sleep, type Timer, time, within } from "./domain/time.ts";
import { type DirectoryLock, lockDirectory } from "./journal/lock.ts";
import { type ConnectionKind, connect } from "./stream/connect.ts";
import { socketPathOf } from "./stream/embedded.ts";
import { diagnosisOf } from "./stream/fault.ts";
import { LayoutWatch } from "./stream/layoutWatch.ts";
import type { RedisAddress } from "./stream/redisUrl.ts";

/** What a role needs of the process that it runs in. */
export interface Host {
  env: Readonly<Record<string, string | undefined>>;
  /** Starts this program again: the worker's child process. */
  command: readonly string[];
  log: Logger;
  /** Ends the process: what was found out after the start makes it of no use. */
  fail(error: Error): void;
}

export interface Running {
  /** `deadlineMs`: how long mails under way may take to end. */
  stop(deadlineMs: number): Promise<void>;
}

/** A predecessor may still be ending what it has in flight. */
const LOCK_WAIT_MS = 15_000;

/** @throws ConfigError when DATA_DIR cannot be used, Error when another process has it */
export async function ownDirectory(dataDir: string, role: "service" | "worker", log: Logger): Promise<DirectoryLock> {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const startedAt = time.monotonicMs();
    for (let waits = 0; time.monotonicMs() - startedAt < LOCK_WAIT_MS; waits++) {
      const lock = lockDirectory(dataDir, role);
      if (lock !== undefined) return lock;
      if (waits === 20) log.warn({ dataDir: resolve(dataDir), role }, "another process has DATA_DIR, waiting for it");
      await sleep(50);
    }
  } catch (error) {
    throw new ConfigError(`DATA_DIR is ${JSON.stringify(dataDir)}, allowed: a folder that can be written (${error})`);
  }
  throw new Error(`another ${role} runs on ${resolve(dataDir)}: give each a DATA_DIR of its own`);
}

const LONG_AWAY_MS = 30_000;
const STAYS_AWAY =
  "if its log says that it cannot read its append-only file: keep a copy of appendonlydir, then redis-check-aof --fix appendonly.aof.manifest in it, then start it";

/** After which time a person is told what else to look at: a Redis that somebody else runs says why in its own log alone. */
export function hintAfterMs(address: RedisAddress, dataDir: string): number | undefined {
  const isEmbedded = address.kind === "unix" && address.path === socketPathOf(dataDir);
  return isEmbedded ? undefined : LONG_AWAY_MS;
}

/** A connection that says once when Redis is away, and once when it is back. */
export function openRedis(address: RedisAddress, kind: ConnectionKind, log: Logger, hintMs?: number) {
  const redis = connect(address, kind);
  let away = false;
  let timer: Timer | undefined;
  redis.on("error", (error) => {
    if (away) return;
    log.error({ err: error, connection: kind, ...diagnosisOf(error) }, "redis is away");
    away = true;
    if (hintMs === undefined) return;
    timer = time.after(hintMs, () => log.error({ connection: kind, hint: STAYS_AWAY }, "redis stays away"));
    timer.unref();
  });
  redis.on("ready", () => {
    if (away) log.warn({ connection: kind }, "redis is back");
    away = false;
    timer?.cancel();
  });
  redis.on("end", () => timer?.cancel());
  return redis;
}

/** How long a start waits for Redis to say how many partitions there are. */
const LAYOUT_WAIT_MS = 3_000;

/**
 * What Redis says of the number of partitions, and what becomes of it. PARTITIONS that is set to another number is
 * refused: at once, or when Redis is there at last.
 * @throws ConfigError
 */
export async function openLayout(redis: Redis, config: Config, host: Host): Promise<LayoutWatch> {
  const given = (host.env["PARTITIONS"] ?? "") === "" ? undefined : config.PARTITIONS;
  let refusal: ConfigError | undefined;
  let isStarted = false;
  const layout = new LayoutWatch(redis, {
    wanted: given,
    assumed: config.PARTITIONS,
    // A worker that was given no number may be there before the service that was.
    adopts: given !== undefined || config.ROLE !== "worker",
    onRefused(why) {
      refusal = new ConfigError(`PARTITIONS is "${config.PARTITIONS}", allowed: the number that is in use. ${why}`);
      if (isStarted) host.fail(refusal);
    },
    log: host.log,
  });
  await within(LAYOUT_WAIT_MS, layout.start());
  isStarted = true;
  if (refusal !== undefined) throw refusal;
  return layout;
}
