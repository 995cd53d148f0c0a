/* A real redis-server of its own for a test file, with the repository's redis.conf, in a temp folder. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Redis from "ioredis";
import type { RedisAddress } from "../../src/stream/connect.ts";

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
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  const path = join(directory, "r.sock");
  let server: Bun.Subprocess | undefined;
  const raw = new Redis({ path, protocol: 2, lazyConnect: true, maxRetriesPerRequest: null, retryStrategy: () => 20 });
  raw.on("error", () => {});

  async function start(...more: string[]): Promise<void> {
    const command = ["redis-server", join(import.meta.dir, "../../redis.conf"), "--dir", directory];
    server = Bun.spawn([...command, "--unixsocket", path, ...extra, ...more], { stdout: "ignore", stderr: "ignore" });
    while ((await raw.ping().catch(() => "")) !== "PONG") await Bun.sleep(5);
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
