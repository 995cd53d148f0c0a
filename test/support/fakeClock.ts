/* A real redis-server whose clock a test sets (Debian's libfaketime; scripts/setup installs it). */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startRedisIn, type TestRedis } from "./redis.ts";

export interface ClockedRedis extends TestRedis {
  /** As libfaketime takes it: "-2h", "+0". */
  setClock(offset: string): void;
}

/** The library is Debian's. */
export const HAS_FAKE_CLOCK = process.platform === "linux";

export async function startClockedRedis(): Promise<ClockedRedis> {
  const folder = mkdtempSync(join(tmpdir(), "pp-"));
  const clock = join(folder, "clock");
  const setClock = (offset: string) => writeFileSync(clock, `${offset}\n`);
  setClock("+0");
  const redis = await startRedisIn({
    // Before jemalloc, which asks for the time while the library reads its file: libc's own allocator.
    LD_PRELOAD: `${library()} libc.so.6`,
    ...{ FAKETIME_TIMESTAMP_FILE: clock, FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1" },
  });
  const stop = async () => {
    await redis.stop();
    rmSync(folder, { recursive: true });
  };
  return { ...redis, setClock, stop };
}

function library(): string {
  const folders = readdirSync("/usr/lib", { encoding: "utf8" });
  const paths = folders.map((name) => `/usr/lib/${name}/faketime/libfaketimeMT.so.1`);
  const found = paths.find((path) => existsSync(path));
  if (found === undefined) throw new Error("libfaketime is not installed: scripts/setup does it");
  return found;
}
