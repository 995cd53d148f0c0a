/* A real redis-server of its own for a test file, with the repository's redis.conf, in a temp folder. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Redis from "ioredis";
import type { RedisAddress } from "../../src/stream/redisUrl.ts";
import { until } from "./until.ts";

export interface TestRedis {
  address: RedisAddress & { kind: "unix" };
  /** A plain client, for looking and for breaking things. */
  raw: Redis;
  /** kill -9. */
  kill(): Promise<void>;
  /** SIGSTOP and SIGCONT: a server whose connections stay open and that answers nothing. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
  /** On the same data. */
  start(...extra: string[]): Promise<void>;
  stop(): Promise<void>;
}

export async function startRedis(...extra: string[]): Promise<TestRedis> {
  return startRedisIn({}, ...extra);
}

/** @param env on top of this process's */
export async function startRedisIn(env: Record<string, string>, ...extra: string[]): Promise<TestRedis> {
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  const path = join(directory, "r.sock");
  const config = join(directory, "redis.conf"); // a copy: a sentinel makes the server rewrite its file
  copyFileSync(join(import.meta.dir, "../../redis.conf"), config);
  let server: Bun.Subprocess | undefined;
  const raw = new Redis({ path, protocol: 2, lazyConnect: true, maxRetriesPerRequest: null, retryStrategy: () => 20 });
  raw.on("error", () => {});

  async function start(...more: string[]): Promise<void> {
    const command = ["redis-server", config, "--dir", directory];
    const log = join(directory, "log");
    const options = ["--unixsocket", path, ...extra, ...more];
    const child = Bun.spawn([...command, ...options], {
      stdout: Bun.file(log),
      stderr: "ignore",
      env: { ...process.env, ...env },
    });
    server = child;
    const answers = async () => (await raw.ping().catch(() => "")) === "PONG";
    const ended = child.exited.then((status) => {
      throw new Error(`redis-server ended with status ${status}: ${readFileSync(log, "utf8")}`);
    });
    await Promise.race([until("Redis answers", answers), ended]);
  }
  async function kill(): Promise<void> {
    server?.kill("SIGKILL");
    await server?.exited;
  }

  await start();
  return {
    address: { kind: "unix", path },
    raw,
    kill,
    signal: (signal) => server?.kill(signal),
    start,
    async stop() {
      raw.disconnect();
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
