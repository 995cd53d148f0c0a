/* What a power loss leaves of an append-only file: what is repaired by itself, and what is left for a person. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Redis from "ioredis";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/stream/embedded.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { keepLines, type Lines } from "../support/log.ts";
import { until } from "../support/until.ts";

/** Whether this user can mount. */
const canMount = (() => {
  const path = mkdtempSync(join(tmpdir(), "pp-"));
  const mounted = Bun.which("mount") && Bun.spawnSync(["mount", "-t", "tmpfs", "tmpfs", path]).success;
  if (mounted) Bun.spawnSync(["umount", "-l", path]);
  rmSync(path, { recursive: true });
  return mounted === true;
})();

let dataDir: string;
let kept: Lines;
let running: EmbeddedRedis[];
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "pp-"));
  kept = keepLines();
  running = [];
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
  rmSync(dataDir, { recursive: true });
});
failOnLeaks();

const folder = () => join(dataDir, "redis", "appendonlydir");
const fileOf = (kind: "incr.aof" | "base.rdb" | "manifest") =>
  join(folder(), readdirSync(folder(), { encoding: "utf8" }).find((name) => name.endsWith(kind)) ?? "");
const keptFolders = () =>
  readdirSync(join(dataDir, "redis"), { encoding: "utf8" }).filter((name) => name.startsWith("damaged-"));

async function start(retryRepairMs?: number): Promise<Redis> {
  const embedded = await startEmbeddedRedis(dataDir, kept.log, retryRepairMs);
  running.push(embedded);
  const redis = new Redis({ path: embedded.address.path, protocol: 2, lazyConnect: true, maxRetriesPerRequest: 0 });
  redis.on("error", () => {});
  return redis;
}

/** A file with two plain writes and one transaction, as a script makes it. Returns its text. */
async function fill(): Promise<string> {
  const redis = await start();
  await redis.set("first", "1");
  await redis.eval("redis.call('SET', 'second', '2') redis.call('SET', 'third', '3')", 0);
  await redis.set("last", "4");
  redis.disconnect();
  await running.pop()?.stop();
  return readFileSync(fileOf("incr.aof"), "latin1");
}

async function keysAfterStart(): Promise<string[]> {
  const redis = await start();
  try {
    return (await redis.keys("*")).sort();
  } finally {
    redis.disconnect();
  }
}

const ALL = ["first", "last", "second", "third"];
const zeros = "\0".repeat(4096);
const torn = "*3\r\n$3\r\nSET\r\n$4\r\nto";
const begun = "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\n1\r\n";
const transaction = "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\n1\r\n*3\r\n$3\r\nSET\r\n$1";

describe("comes up by itself, and keeps the damaged file beside", () => {
  test.each([
    ["zeros", zeros, "held no command"],
    ["a torn command, and zeros", torn + zeros, "never was whole"],
    ["a torn transaction, and zeros", transaction + zeros, "never was whole"],
    ["a transaction whose EXEC is torn, with zeros up to its end", `${begun}*1\r\n$4\r\nEX\0\0\0\0`, "never was whole"],
    ["a torn command alone", torn, "never was whole"],
    ["a torn transaction alone", transaction, "never was whole"],
  ])("%s behind the last write", async (_what, tail, lost) => {
    const good = await fill();
    appendFileSync(fileOf("incr.aof"), tail, "latin1");
    expect(await keysAfterStart()).toEqual(ALL);
    expect(readFileSync(fileOf("incr.aof"), "latin1")).toStartWith(good);
    const line = await kept.waitFor(({ msg }) => msg === "the append-only file was damaged, and is repaired");
    expect(line).toMatchObject({ level: 50, cutBytes: tail.length, goodUpTo: good.length });
    expect(line["lost"]).toContain(lost);
    const [beside, ...more] = keptFolders();
    expect(more).toEqual([]);
    const damaged = join(dataDir, "redis", beside ?? "", String(line["file"]));
    expect(readFileSync(damaged, "latin1")).toBe(good + tail);
  });
});

describe("is left as it is, with the command that a person may run, once", () => {
  const FIX = "redis-check-aof --fix appendonly.aof.manifest";
  const REPLACE = "/redis/appendonlydir.kept'";
  const contents = () =>
    readdirSync(folder(), { encoding: "utf8" }).map((name) => [name, readFileSync(join(folder(), name), "latin1")]);

  const untouched = async (damage: (good: string) => void, why: RegExp, byHand: string) => {
    const good = await fill();
    damage(good);
    const before = contents();
    (await start(0)).disconnect();
    const line = await kept.waitFor(({ msg }) => why.test(String(msg)));
    expect(line["byHand"]).toContain(byHand);
    const ended = () => kept.lines.filter(({ msg }) => msg === "redis ended, starting it again").length;
    await until("it was tried again", () => ended() >= 3);
    expect(contents()).toEqual(before);
    expect([keptFolders(), kept.lines.filter(({ msg }) => why.test(String(msg))).length]).toEqual([[], 1]);
  };

  const acknowledged = /may have been acknowledged/;
  test.each<[string, (good: string) => string]>([
    ["zeros in the middle", (good) => insert(good, zeros)],
    ["other text in the middle", (good) => insert(good, "something else")],
    ["other text at the end", (good) => `${good}something else`],
    ["one damaged byte in the last command", (good) => good.replace("last\r\n$1", "last\r\nX1")],
    // Redis's own aof-load-truncated would drop all that stands behind it.
    ["a damaged length in the middle", (good) => good.replace("$5\r\nfirst", "$5000\r\nfirst")],
    ["a damaged length in the last command", (good) => good.replace("$4\r\nlast", "$4000\r\nlast")],
  ])("%s", (_what, damage) =>
    untouched((good) => writeFileSync(fileOf("incr.aof"), damage(good), "latin1"), acknowledged, FIX),
  );
  const insert = (good: string, text: string) => {
    const at = good.lastIndexOf("*3\r\n", good.indexOf("$4\r\nlast"));
    return `${good.slice(0, at)}${text}${good.slice(at)}`;
  };

  test.each<[string, () => void]>([
    ["a base that ends early", () => truncateSync(fileOf("base.rdb"), 40)],
    ["a base with a damaged byte", () => writeFileSync(fileOf("base.rdb"), flipped(readFileSync(fileOf("base.rdb"))))],
    ["a base of zeros", () => writeFileSync(fileOf("base.rdb"), Buffer.alloc(100))],
    ["an empty manifest", () => truncateSync(fileOf("manifest"), 0)],
    ["a manifest of zeros", () => writeFileSync(fileOf("manifest"), zeros)],
    ["a file that is gone", () => rmSync(fileOf("incr.aof"))],
  ])("%s", (_what, damage) => untouched(damage, /not repaired: (?:the damage is elsewhere|its manifest)/, REPLACE));
  const flipped = (bytes: Buffer) => bytes.with(-3, (bytes.at(-3) ?? 0) ^ 255);

  test("a manifest that is gone: redis does not begin empty over the files", async () => {
    await fill();
    rmSync(fileOf("manifest"));
    const before = contents();
    (await start()).disconnect();
    const line = await kept.waitFor(({ msg }) => msg === "redis ended, starting it again");
    expect(JSON.stringify(line["err"])).toContain("without appendonly.aof.manifest");
    expect(contents()).toEqual(before);
  });

  test("all of it, where redis-check-aof is missing: what to install", async () => {
    await fill();
    const good = readFileSync(fileOf("incr.aof"));
    appendFileSync(fileOf("incr.aof"), zeros);
    const line = await saidWithoutTool(/not repaired/);
    expect(line["msg"]).toContain("redis-check-aof is not installed (Debian: redis-tools)");
    expect(line["byHand"]).toContain(FIX);
    expect(keptFolders()).toEqual([]);
    // What redis-server does by itself it does then.
    writeFileSync(fileOf("incr.aof"), Buffer.concat([good, Buffer.from(torn)]));
    await saidWithoutTool(/^redis cut the damaged end off its append-only file/);
    expect(readFileSync(fileOf("incr.aof"))).toEqual(good);
  });
});

/** The first line of its log like this of a service that finds redis-server and a shell alone. */
async function saidWithoutTool(wanted: RegExp): Promise<Record<string, unknown>> {
  const bin = mkdtempSync(join(dataDir, "bin-"));
  for (const name of ["sh", "sleep", "redis-server"]) symlinkSync(Bun.which(name) ?? "", join(bin, name));
  const script = `
    import pino from "pino";
    import { startEmbeddedRedis } from ${JSON.stringify(join(import.meta.dir, "../../src/stream/embedded.ts"))};
    const redis = await startEmbeddedRedis(process.argv[1], pino({ level: "error" }));
    process.once("SIGTERM", () => redis.stop());
    setInterval(() => {}, 1_000).unref();`;
  const service = Bun.spawn([process.execPath, "-e", script, dataDir], {
    cwd: join(import.meta.dir, "../.."),
    env: { ...process.env, PATH: bin },
    stdin: "ignore",
    stdout: "pipe",
  });
  try {
    let text = "";
    for await (const chunk of service.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const lines = text.split("\n").slice(0, -1);
      const found = lines.map((one) => JSON.parse(one)).find(({ msg }) => wanted.test(msg));
      if (found !== undefined) return found;
    }
    throw new Error(`not said: ${wanted}`);
  } finally {
    service.kill();
    await service.exited;
  }
}

describe("a repair", () => {
  const REPAIRED = "the append-only file was damaged, and is repaired";

  test.skipIf(!canMount)("for which the disk has no room is tried again, and leaves nothing half", async () => {
    const disk = join(dataDir, "redis");
    mkdirSync(disk);
    expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]).success).toBeTrue();
    try {
      const good = await fill();
      appendFileSync(fileOf("incr.aof"), zeros.repeat(16));
      const { bavail, bsize } = statfsSync(disk);
      writeFileSync(join(disk, "filler"), Buffer.alloc((bavail - 4) * bsize));
      const redis = await start(100);
      const line = await kept.waitFor(({ msg }) => /not repaired: the repair failed/.test(String(msg)));
      expect(JSON.stringify(line["err"])).toContain("ENOSPC");
      expect(readFileSync(fileOf("incr.aof"), "latin1")).toBe(good + zeros.repeat(16));
      expect(keptFolders()).toEqual([]);
      rmSync(join(disk, "filler"));
      await kept.waitFor(({ msg }) => msg === REPAIRED);
      await until("it answers", () => redis.ping().catch(() => undefined));
      expect((await redis.keys("*")).sort()).toEqual(ALL);
      redis.disconnect();
      expect(keptFolders().length).toBe(1);
    } finally {
      await Promise.all(running.splice(0).map((one) => one.stop()));
      Bun.spawnSync(["umount", "-l", disk]);
    }
  });

  test("in whose middle the service died is done by the next one", async () => {
    const good = await fill();
    appendFileSync(fileOf("incr.aof"), zeros);
    // Its copy was begun; and one that was whole, with nothing cut yet.
    for (const name of ["damaged-1.incomplete", "damaged-2"]) {
      mkdirSync(join(dataDir, "redis", name));
      writeFileSync(join(dataDir, "redis", name, "appendonly.aof.1.incr.aof"), good.slice(0, 10));
    }
    expect(await keysAfterStart()).toEqual(ALL);
    expect(keptFolders().length).toBe(2);
    expect(keptFolders()).toContain("damaged-2");
  });

  test("is not done again: the next start says nothing of it", async () => {
    await fill();
    appendFileSync(fileOf("incr.aof"), torn + zeros);
    expect(await keysAfterStart()).toEqual(ALL);
    await Promise.all(running.splice(0).map((one) => one.stop()));
    kept.lines.length = 0;
    expect(await keysAfterStart()).toEqual(ALL);
    expect(kept.lines.filter(({ level }) => level === 50)).toEqual([]);
    expect(keptFolders().length).toBe(1);
  });
});

test("CONFIG REWRITE does not reach the repository's redis.conf", async () => {
  const original = join(import.meta.dir, "../../redis.conf");
  const before = readFileSync(original, "utf8");
  const redis = await start();
  await redis.config("SET", "slowlog-max-len", "7");
  await redis.call("CONFIG", "REWRITE");
  redis.disconnect();
  expect(readFileSync(original, "utf8")).toBe(before);
  expect(readFileSync(join(dataDir, "redis", "redis.conf"), "utf8")).toContain("slowlog-max-len 7");
});
