/*
 * The embedded Redis: redis-server with this repository's redis.conf, on a unix socket in DATA_DIR.
 *   - It is supervised: when it ends, it is started again, with a growing pause.
 *   - It never outlives the service for long: a guardian shell ends it when the service's pipe closes,
 *     also after kill -9 of the service. The pause lets the worker settle what it has in flight.
 *   - If one was left over all the same (the guardian was killed too), the next start shuts it down
 *     cleanly and starts its own on the same data.
 *   - An append-only file that it refuses to load is repaired, where that drops nothing (aofRepair.ts).
 *   - It runs with a copy of redis.conf, so that CONFIG REWRITE cannot write to the repository's.
 * The caller holds the lock on DATA_DIR, so that no two services do this at once.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import Redis from "ioredis";
import type { Logger } from "pino";
import { sleep, time, within } from "../domain/time.ts";
import { AofRepair, checkManifest, hasCheckTool } from "./aofRepair.ts";
import type { RedisAddress } from "./redisUrl.ts";
import { supervise } from "./supervise.ts";

/** Where the system's limit of 104 bytes for a socket path would be passed, it moves to the temp folder. */
const MAX_SOCKET_PATH_BYTES = 100;

const GUARDIAN = `
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
( read -r _ <&3; sleep 2; kill -TERM "$server" ) >/dev/null 2>&1 &
guard=$!
exec 3<&-
trap 'kill -TERM "$server"' TERM INT HUP
wait "$server"; status=$?
while kill -0 "$server" 2>/dev/null; do wait "$server"; status=$?; done
kill "$guard" 2>/dev/null
exit "$status"
`;

/** Loading a large AOF takes longer. */
const START_WAIT_MS = 5_000;
const STOP_TIMEOUT_MS = 10_000;

export interface EmbeddedRedis {
  address: RedisAddress & { kind: "unix" };
  stop(): Promise<void>;
}

export function socketPathOf(dataDir: string): string {
  const path = join(resolve(dataDir), "redis", "redis.sock");
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path;
  return join(tmpdir(), `postpaid-${createHash("sha256").update(path).digest("hex").slice(0, 16)}.sock`);
}

/**
 * Resolves when it answers, or when it takes long or ends again and again: it goes on trying, and what is posted
 * meanwhile is journaled.
 * @param retryRepairMs a repair that failed, on a full disk say, is tried again then
 * @throws when redis-server cannot be run at all, saying what to do
 */
export async function startEmbeddedRedis(dataDir: string, log: Logger, retryRepairMs = 30_000): Promise<EmbeddedRedis> {
  const binary = Bun.which("redis-server");
  if (binary === null) {
    throw new Error(
      "redis-server was not found: install it (Debian: apt-get install redis-server, macOS: brew install redis), or set REDIS_URL",
    );
  }
  const directory = join(resolve(dataDir), "redis");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = socketPathOf(dataDir);
  const truncates = ["--aof-load-truncated", hasCheckTool() ? "no" : "yes"];
  const command = [binary, ownConfig(directory), "--dir", directory, "--unixsocket", path, ...truncates];
  const repair = new AofRepair(directory, log, retryRepairMs);

  const start = () => {
    checkManifest(directory);
    const child = Bun.spawn(["sh", "-c", GUARDIAN, "guardian", ...command], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      detached: true, // Ctrl-C in a terminal goes to the service, which stops the rest in order
    });
    void passOn(child.stdout, log, repair);
    void passOn(child.stderr, log, repair);
    return child;
  };
  let cleared = Promise.resolve();
  const server = supervise("redis", start, log, (isStopping) => {
    cleared = endLeftover(path, isStopping, log);
    return cleared.then(() => repair.run());
  });
  const isClear = await within(
    START_WAIT_MS,
    cleared.then(() => true),
  );
  if (isClear && (await answered(path, server.failures))) log.info({ socket: path }, "redis started");
  else log.error({ failures: server.failures() }, "redis does not answer yet, the service starts without it");
  return {
    address: { kind: "unix", path },
    stop: () => server.stop(STOP_TIMEOUT_MS),
  };
}

/** The path of a copy of the repository's. A full disk is no reason not to start: an older copy does, or the original. */
function ownConfig(directory: string): string {
  const original = join(import.meta.dir, "../../redis.conf");
  const copy = join(directory, "redis.conf");
  try {
    writeFileSync(`${copy}.new`, readFileSync(original), { mode: 0o600 });
    renameSync(`${copy}.new`, copy);
    return copy;
  } catch {
    return existsSync(copy) ? copy : original;
  }
}

async function answered(path: string, failures: () => number): Promise<boolean> {
  for (const deadline = time.monotonicMs() + START_WAIT_MS; time.monotonicMs() < deadline; await sleep(20)) {
    if ((await ask(path, (redis) => redis.ping())).value === "PONG") return true;
    if (failures() >= 3) break;
  }
  return false;
}

/** Two servers must never write one AOF: one that does not answer is waited for. */
async function endLeftover(path: string, stopping: () => boolean, log: Logger): Promise<void> {
  for (let told = false; !stopping(); await sleep(20)) {
    const { present, value: info } = await ask(path, (redis) => redis.info("server"));
    if (!present) return;
    const pid = Number(/process_id:(\d+)/.exec(info ?? "")?.[1]);
    if (!told && info === undefined) log.error("redis was left over by an earlier service and does not answer");
    else if (!told) log.warn({ pid }, "redis was left over by an earlier service, shutting it down");
    told = true;
    if (info !== undefined) await ask(path, (redis) => redis.shutdown("NOSAVE")); // the AOF has everything
  }
}

/** One question on a connection of its own. Nobody is present where there is no socket, or nobody listens on it. */
async function ask<T>(path: string, question: (redis: Redis) => Promise<T>): Promise<{ present: boolean; value?: T }> {
  const redis = new Redis({
    path,
    protocol: 2,
    lazyConnect: true,
    retryStrategy: () => null,
    commandTimeout: 5_000,
  });
  let present = true;
  redis.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ECONNREFUSED") present = false;
  });
  try {
    await redis.connect();
    return { present, value: await question(redis) };
  } catch {
    return { present };
  } finally {
    redis.disconnect();
  }
}

/** Starting and stopping as they should. */
const ROUTINE =
  /^(?:oO0Oo|Redis version|Configuration loaded|Server initialized|User requested shutdown|Received SIGTERM|Redis is now ready to exit)/;

/** Redis marks what somebody should read with '#'. */
async function passOn(output: ReadableStream<Uint8Array>, log: Logger, repair: AofRepair): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of output) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const text = /^\d+:\w .*? ([#*.-]) (.+)$/.exec(line);
      repair.hears(text?.[2] ?? "");
      if (text?.[1] === "#" && !ROUTINE.test(text[2] ?? "")) log.warn({ redis: text[2] }, "redis says");
      else log.debug({ redis: text?.[2] ?? line }, "redis says");
    }
  }
}
