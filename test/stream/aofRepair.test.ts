/* What a power loss leaves of an append-only file: what is repaired by itself, and what is left for a person. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Redis from "ioredis";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/stream/embedded.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { keepLines, type Lines } from "../support/log.ts";

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

async function start(): Promise<Redis> {
  const embedded = await startEmbeddedRedis(dataDir, kept.log);
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
const transaction = "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\n1\r\n*3\r\n$3\r\nSET\r\n$1";

describe("comes up by itself, and keeps the damaged file beside", () => {
  test.each([
    ["zeros", zeros, "held no command"],
    ["a torn command, and zeros", torn + zeros, "never was whole"],
    ["a torn transaction, and zeros", transaction + zeros, "never was whole"],
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

describe("is left as it is, with the command that a person may run", () => {
  const untouched = async (damage: (good: string) => void, why: RegExp) => {
    const good = await fill();
    damage(good);
    const before = readFileSync(fileOf("incr.aof"), "latin1");
    (await start()).disconnect();
    const line = await kept.waitFor(({ msg }) => why.test(String(msg)));
    expect(line["byHand"]).toContain("redis-check-aof --fix appendonly.aof.manifest");
    expect(readFileSync(fileOf("incr.aof"), "latin1")).toBe(before);
    expect([keptFolders(), kept.lines.filter(({ msg }) => why.test(String(msg))).length]).toEqual([[], 1]);
  };

  test("zeros in the middle, with whole commands behind them", () =>
    untouched((good) => {
      const at = good.lastIndexOf("*3\r\n", good.indexOf("$4\r\nlast"));
      writeFileSync(fileOf("incr.aof"), `${good.slice(0, at)}${zeros}${good.slice(at)}`, "latin1");
    }, /whole commands stand behind the damage/));

  test("text that is no command", () =>
    untouched(() => appendFileSync(fileOf("incr.aof"), "something else"), /whole commands stand behind the damage/));

  test("a damaged base", () => untouched(() => truncateSync(fileOf("base.rdb"), 40), /not repaired: /));
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
