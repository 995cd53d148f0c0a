/* The embedded Redis as a process among processes. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Redis } from "ioredis";
import { type EmbeddedRedis, socketPathOf, startEmbeddedRedis } from "../../src/stream/embedded.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { keepLines, type Lines } from "../support/log.ts";
import { isAlive } from "../support/service.ts";
import { until } from "../support/until.ts";

let dataDir: string;
let kept: Lines;
let running: EmbeddedRedis[];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "pp-"));
  kept = keepLines();
  running = [];
});
afterEach(async () => {
  try {
    await Promise.all(running.map((one) => inTime("it stops", one.stop())));
    await until("no process of it is left", () => serversOf(dataDir).length === 0);
  } finally {
    for (const pid of serversOf(dataDir)) process.kill(pid, "SIGKILL"); // so that they disturb no other test
    rmSync(dataDir, { recursive: true });
  }
});
failOnLeaks();

async function inTime<T>(what: string, promise: Promise<T>): Promise<T> {
  const late = Bun.sleep(3_000).then(() => {
    throw new Error(`after 3 s still not: ${what}`);
  });
  return Promise.race([promise, late]);
}

async function start(directory = dataDir): Promise<EmbeddedRedis> {
  const redis = await startEmbeddedRedis(directory, kept.log);
  running.push(redis);
  return redis;
}

async function ask<T>(question: (redis: Redis) => Promise<T>, path = socketPathOf(dataDir)): Promise<T> {
  const redis = new Redis({ path, protocol: 2, lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  redis.on("error", () => {});
  try {
    await redis.connect();
    return await question(redis);
  } finally {
    redis.disconnect();
  }
}

function answers(path = socketPathOf(dataDir)): Promise<boolean> {
  return ask((redis) => redis.ping(), path).then(
    (reply) => reply === "PONG",
    () => false,
  );
}

async function pidOf(path = socketPathOf(dataDir)): Promise<number> {
  const info = await ask((redis) => redis.info("server"), path);
  return Number(/process_id:(\d+)/.exec(info)?.[1]);
}

/** Every process that has the folder on its command line: redis-server, and the guardian with its watch. */
function serversOf(directory: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => {
      try {
        // A redis-server names itself by its socket once it runs.
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return command.includes(directory) || command.includes(socketPathOf(directory));
      } catch {
        return false;
      }
    })
    .filter(isAlive);
}

/** A process of its own with `startEmbeddedRedis` and a log on its standard output. */
function serve(
  body: string,
  env: Record<string, string | undefined> = process.env,
): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  const script = `
    import pino from "pino";
    import { startEmbeddedRedis } from ${JSON.stringify(join(import.meta.dir, "../../src/stream/embedded.ts"))};
    const log = pino({ level: "warn" });
    ${body}
  `;
  return Bun.spawn([process.execPath, "-e", script, dataDir], {
    cwd: join(import.meta.dir, "../.."),
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
}

/** Resolves when it runs. */
async function startService(): Promise<Bun.Subprocess<"ignore", "pipe", "inherit">> {
  const service = serve("await startEmbeddedRedis(process.argv[1], log); setInterval(() => {}, 1_000);");
  await until("the service has its redis", () => answers());
  return service;
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

describe("the embedded Redis", () => {
  test("answers on a unix socket that is its owner's alone, and on no port", async () => {
    const { address } = await start();
    expect(address).toEqual({ kind: "unix", path: socketPathOf(dataDir) });
    expect(await answers()).toBeTrue();
    expect(statSync(address.path).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(address.path)).mode & 0o777).toBe(0o700);
    const settings = await ask((redis) => redis.config("GET", "port", "tls-port"));
    expect(settings).toEqual(expect.arrayContaining(["port", "0", "tls-port", "0"]));
    const sockets = Bun.spawnSync(["ss", "-Hltnp"]).stdout.toString();
    expect(sockets).not.toContain(`pid=${await pidOf()},`);
  });

  test("runs with the persistence that redis.conf stands for", async () => {
    await start();
    const wanted = [
      "appendonly",
      "yes",
      "appendfsync",
      "always",
      "no-appendfsync-on-rewrite",
      "no",
      "save",
      "",
      "maxmemory-policy",
      "noeviction",
    ];
    for (let i = 0; i < wanted.length; i += 2) {
      expect(await ask((redis) => redis.config("GET", wanted[i] ?? ""))).toEqual(wanted.slice(i, i + 2));
    }
  });

  test("keeps its data from one start to the next", async () => {
    const first = await start();
    await ask((redis) => redis.set("kept", "yes"));
    await first.stop();
    await start();
    expect(await ask((redis) => redis.get("kept"))).toBe("yes");
  });

  test("that is stopped ends within seconds, and leaves no process", async () => {
    const redis = await start();
    const pids = [await pidOf(), parentOf(await pidOf())];
    const startedAt = performance.now();
    await redis.stop();
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    await until("all are gone", () => pids.every((pid) => !isAlive(pid)));
    expect(await answers()).toBeFalse();
    expect(kept.lines.filter(({ msg }) => msg === "redis ended, starting it again")).toEqual([]);
  });

  test("that is stopped while it starts is stopped all the same, again and again", async () => {
    const redis = await start();
    await Promise.all([redis.stop(), redis.stop()]);
    await redis.stop();
  });

  test("serves two folders at the same time, each with its own data", async () => {
    const other = mkdtempSync(join(tmpdir(), "pp-"));
    await start();
    const second = await start(other);
    await ask((redis) => redis.set("whose", "first"));
    expect(await ask((redis) => redis.get("whose"), socketPathOf(other))).toBeNull();
    await second.stop();
    expect(await answers()).toBeTrue();
    rmSync(other, { recursive: true });
  });

  test("lives in a folder with spaces and quotes in its name", async () => {
    const odd = join(dataDir, `o'dd "näme" $HOME`);
    mkdirSync(odd);
    const redis = await start(odd);
    expect(await answers(redis.address.path)).toBeTrue();
    expect(existsSync(join(odd, "redis", "appendonlydir"))).toBeTrue();
    await redis.stop();
  });

  test("in a folder whose path is too long for a socket has its socket elsewhere, and its data there", async () => {
    const long = join(dataDir, "d".repeat(60), "e".repeat(60));
    mkdirSync(long, { recursive: true });
    const redis = await start(long);
    expect(Buffer.byteLength(redis.address.path)).toBeLessThanOrEqual(104);
    expect(redis.address.path).toBe(socketPathOf(long));
    expect(statSync(redis.address.path).mode & 0o777).toBe(0o600);
    expect(await answers(redis.address.path)).toBeTrue();
    expect(existsSync(join(long, "redis", "appendonlydir"))).toBeTrue();
    await redis.stop();
    expect(existsSync(redis.address.path)).toBeFalse();
  });
});

describe("the path of its socket", () => {
  test("is the same for a folder however it is written, and another for another", () => {
    expect(socketPathOf(`${dataDir}/./x/..`)).toBe(socketPathOf(dataDir));
    const long = (end: string) => join(dataDir, "d".repeat(120), end);
    expect(socketPathOf(long("a"))).toBe(socketPathOf(long("a")));
    expect(socketPathOf(long("a"))).not.toBe(socketPathOf(long("b")));
  });

  test("never passes what a socket address holds, in bytes", () => {
    for (let length = 1; length < 200; length++) {
      expect(Buffer.byteLength(socketPathOf(`/${"ö".repeat(length)}`))).toBeLessThanOrEqual(104);
    }
  });
});

describe("when something dies", () => {
  test("redis-server by kill -9: it is started again by itself, with its data", async () => {
    await start();
    await ask((redis) => redis.set("kept", "yes"));
    const pid = await pidOf();
    process.kill(pid, "SIGKILL");
    await until("it answers again", () => answers());
    expect(await ask((redis) => redis.get("kept"))).toBe("yes");
    expect(await pidOf()).not.toBe(pid);
    expect(kept.lines).toContainEqual(expect.objectContaining({ msg: "redis ended, starting it again", status: 137 }));
  });

  test("the guardian by kill -9: no second redis-server works on the same data", async () => {
    await start();
    await ask((redis) => redis.set("kept", "yes"));
    const pid = await pidOf();
    process.kill(parentOf(pid), "SIGKILL");
    await until("another one answers", async () => (await pidOf().catch(() => pid)) !== pid);
    expect(isAlive(pid)).toBeFalse();
    expect(await ask((redis) => redis.get("kept"))).toBe("yes");
  });

  test("the service and the guardian by kill -9: the next start takes over from what is left", async () => {
    const service = await startService();
    await ask((redis) => redis.set("kept", "yes"));
    const pid = await pidOf();
    for (const one of serversOf(dataDir).filter((each) => each !== pid)) process.kill(one, "SIGKILL");
    await service.exited;
    expect(await answers()).toBeTrue();
    await start();
    expect(await pidOf()).not.toBe(pid);
    expect(isAlive(pid)).toBeFalse();
    expect(await ask((redis) => redis.get("kept"))).toBe("yes");
    expect(kept.lines).toContainEqual(
      expect.objectContaining({ msg: "redis was left over by an earlier service, shutting it down", pid }),
    );
  });

  test("the service and the guardian by kill -9, and what is left hangs: no rival starts on its data before it is gone", async () => {
    const service = await startService();
    await ask((redis) => redis.set("kept", "yes"));
    const pid = await pidOf();
    process.kill(pid, "SIGSTOP");
    for (const one of serversOf(dataDir).filter((each) => each !== pid)) process.kill(one, "SIGKILL");
    await service.exited;
    await start();
    const hangs = "redis was left over by an earlier service and does not answer";
    await until("it is said", () => kept.lines.some(({ msg }) => msg === hangs));
    expect(serversOf(dataDir)).toEqual([pid]);
    process.kill(pid, "SIGCONT");
    await until("another one answers", async () => (await pidOf().catch(() => pid)) !== pid);
    expect(isAlive(pid)).toBeFalse();
    expect(await ask((redis) => redis.get("kept"))).toBe("yes");
  });

  test("the service by kill -9: redis-server is gone within five seconds", async () => {
    const service = await startService();
    const pid = await pidOf();
    service.kill("SIGKILL");
    await service.exited;
    expect(isAlive(pid)).toBeTrue(); // the worker settles what it has in flight
    await until("redis-server is gone", () => !isAlive(pid));
    await until("the guardian is gone", () => serversOf(dataDir).length === 0);
  });

  test("the service by kill -9, and the next one starts before redis-server is gone: it is not ended under it", async () => {
    const service = await startService();
    await ask((redis) => redis.set("kept", "yes"));
    const first = serversOf(dataDir);
    service.kill("SIGKILL");
    await service.exited;
    await start();
    const pid = await pidOf();
    await until("the first one's guardian has ended", () => !first.some(isAlive));
    expect(await pidOf()).toBe(pid);
    expect(await ask((redis) => redis.get("kept"))).toBe("yes");
  });
});

describe("its files", () => {
  function aofFile(): string {
    const directory = join(dataDir, "redis", "appendonlydir");
    const name = readdirSync(directory).find((one) => one.endsWith(".incr.aof"));
    return join(directory, name ?? "no AOF");
  }

  test("with a torn last write are loaded up to it, and that is said in the log", async () => {
    const first = await start();
    await ask((redis) => redis.set("kept", "yes"));
    await first.stop();
    appendFileSync(aofFile(), "*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$9\r\nhalf a va");
    await start();
    expect(await ask((redis) => redis.mget("kept", "torn"))).toEqual(["yes", null]);
    const warned = kept.lines.filter(({ level }) => level === 40).map(({ redis }) => String(redis));
    expect(warned.some((line) => /short read|truncat/i.test(line))).toBeTrue();
  });

  test("that cannot be loaded keep no service from starting: it is said, tried again, and works after the repair", async () => {
    const first = await start();
    await ask((redis) => redis.set("kept", "yes"));
    await first.stop();
    const good = readFileSync(aofFile(), "utf8");
    writeFileSync(aofFile(), good.replace("*3", "#3"));
    await start();
    expect(await answers()).toBeFalse();
    const told = kept.lines.filter(({ level }) => Number(level) >= 40).map(({ redis, msg }) => String(redis ?? msg));
    expect(told).toContain("redis does not answer yet, the service starts without it");
    expect(told.some((line) => line.includes("Bad file format"))).toBeTrue();
    writeFileSync(aofFile(), good);
    await until("it answers after all", () => answers());
    expect(await ask((redis) => redis.get("kept"))).toBe("yes");
  });

  test("that cannot be loaded keep nobody from stopping", async () => {
    const first = await start();
    await first.stop();
    writeFileSync(aofFile(), "#3 not an AOF\r\n");
    const redis = await start();
    await inTime("it stops", redis.stop());
  });

  test("without a fault in them start without a warning but Redis's own about the machine", async () => {
    await start();
    const warned = kept.lines.filter(({ level }) => Number(level) >= 40).map(({ redis, msg }) => String(redis ?? msg));
    expect(warned.filter((line) => !/overcommit|somaxconn|backlog|transparent|THP|WARNING/i.test(line))).toEqual([]);
  });
});

describe("without redis-server", () => {
  test("says what to install, and what else could be set", async () => {
    const child = serve(
      `const error = await startEmbeddedRedis(process.argv[1], log).catch((error) => error);
      console.log(error instanceof Error, error.message);`,
      { PATH: dataDir },
    );
    const said = await new Response(child.stdout).text();
    expect(said).toStartWith("true redis-server was not found: install it");
    expect(said).toContain("apt-get install redis-server");
    expect(said).toContain("REDIS_URL");
    expect(existsSync(join(dataDir, "redis"))).toBeFalse();
  });
});
