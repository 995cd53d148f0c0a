/* The whole service as a user runs it: ROLE=all, the worker as its child, Redis and the relay beside it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../test/support/freePort.ts";
import type { TestRedis } from "../../test/support/redis.ts";
import { type Child, startChild } from "./child.ts";
import { benchEvent, benchRedis } from "./measure.ts";
import { openPoster, type Poster } from "./poster.ts";

export interface Whole {
  redis: TestRedis;
  /** The relay; its port is `ready`. */
  sink: Child<number>;
  poster: Poster;
  stop(): Promise<void>;
}

const KEY = "ppi_bench_0123456789abcdef";

export async function startWhole(...sinkArgs: string[]): Promise<Whole> {
  const redis = await benchRedis();
  const sink = await startChild<number>("sink.ts", ...sinkArgs);
  const directory = mkdtempSync(join(tmpdir(), "pp-bench-"));
  const port = freePort();
  const service = Bun.spawn([process.execPath, join(import.meta.dir, "../../src/main.ts"), "start"], {
    env: {
      PATH: process.env["PATH"],
      ...allocatorSettings(),
      ROLE: "all",
      PORT: String(port),
      DATA_DIR: directory,
      REDIS_URL: `unix:${redis.address.path}`,
      SMTP_URL: `smtp://127.0.0.1:${sink.ready}`,
      MAIL_FROM: "postpaid <no-reply@localhost>",
      INGEST_KEYS: KEY,
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  while (
    !(await fetch(`http://127.0.0.1:${port}/readyz`).then(
      (r) => r.ok,
      () => false,
    ))
  )
    await Bun.sleep(20);
  const poster = openPoster(port, KEY);
  // The worker is there when it has sent one.
  await poster.post(benchEvent(`first-${Date.now()}`, 0));
  while ((await sink.ask("count")).count === 0) await Bun.sleep(20);
  return {
    redis,
    sink,
    poster,
    async stop() {
      poster.close();
      service.kill("SIGTERM");
      await service.exited;
      await sink.stop();
      await redis.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** As scripts/start has them, from scripts/setup. */
function allocatorSettings(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("MIMALLOC_")));
}
