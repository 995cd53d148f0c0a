/* A reading of durability belongs to its connection, and to the server that has a partition's keys. */
import { describe, expect, test } from "bun:test";
import type { Redis } from "ioredis";
import { connect } from "../../src/stream/connect.ts";
import { writeFault } from "../../src/stream/durability.ts";
import { key, slotOf, tagOf, tagsOf } from "../../src/stream/keys.ts";
import { type DurabilityWatch, watchDurability } from "../../src/stream/watchDurability.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { startCluster } from "../support/cluster.ts";
import { eventWith } from "../support/event.ts";
import { openIngress } from "../support/ingress.ts";
import { keepLines, type Lines } from "../support/log.ts";
import { startRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { accepted, onRedis } from "./fixture.ts";

const on = onRedis();
const cleanups = cleanUpAfterEach();

function watchOn(redis: Redis, minReplicas = 0): { watch: DurabilityWatch; lines: Lines } {
  const lines = keepLines();
  const watch = watchDurability(redis, minReplicas, lines.log);
  cleanups.push(watch.stop);
  return { watch, lines };
}

/** What posts are answered, one after the other. */
async function promised(redis: Redis, watch: DurabilityWatch, id: string): Promise<string> {
  const posted = await openIngress(redis, { durability: watch.of }).post(eventWith(id));
  return posted.kind === "accepted" ? posted.durability : posted.kind;
}

describe("one server", () => {
  test("promises nothing over a connection that was not read, and what it keeps as soon as it was", async () => {
    const redis = await on.open("ingress", on.wire.address);
    const { watch, lines } = watchOn(redis);
    for (let round = 0; round < 3; round++) {
      expect(await watch.of(tagOf(0))).toBe("fsynced");
      expect(watch.of(tagOf(0))).toBe("fsynced"); // at once, now
      let release = () => {};
      const isReady = new Promise<void>((resolve) => {
        redis.prependOnceListener("ready", () => {
          release = on.wire.holdReplies();
          resolve();
        });
      });
      on.wire.cut();
      await isReady;
      expect(await watch.of(tagOf(0))).toBe("volatile");
      release();
      await until("it was read", async () => (await watch.of(tagOf(0))) === "fsynced");
    }
    expect(lines.lines).toEqual([]);
  });

  test("is another one after a restart: the first post is answered with what that one keeps", async () => {
    const server = await startRedis();
    const redis = connect(server.address, "ingress");
    redis.on("error", () => {});
    cleanups.push(
      () => redis.disconnect(),
      () => server.stop(),
    );
    const { watch, lines } = watchOn(redis);
    await redis.connect();
    expect(await promised(redis, watch, "evt_1")).toBe("fsynced");
    for (const [n, [appendonly, durability]] of [["no", "volatile"] as const, ["yes", "fsynced"] as const].entries()) {
      await server.kill();
      await server.start("--appendonly", appendonly);
      await until("the log says so, without a post", () => lines.lines.length === n + 1, 5_000);
      const first = await until("a post is taken", async () => {
        const answer = await promised(redis, watch, `evt_${n}`);
        return answer !== "unavailable" && answer;
      });
      expect(first).toBe(durability);
    }
    expect(lines.lines.map(({ level, msg }) => [level, msg])).toEqual([
      [50, expect.stringMatching(/^this redis has no AOF/)],
      [40, "this redis keeps what it acknowledges again"],
    ]);
  });

  test("whose connection ends while it is read is no worse for it", async () => {
    const redis = await on.open("ingress", on.wire.address);
    const { watch, lines } = watchOn(redis);
    await watch.refresh();
    for (let n = 0; n < 3; n++) {
      const isReady = new Promise((resolve) => redis.once("ready", resolve));
      const reading = watch.refresh();
      on.wire.cut();
      await reading;
      await isReady;
      expect(await watch.of(tagOf(0))).toBe("fsynced");
    }
    expect(lines.lines).toEqual([]);
  });

  test("that does not answer is not believed any longer, and the log says so once", async () => {
    const redis = await on.open("ingress");
    const { watch, lines } = watchOn(redis);
    await watch.refresh();
    on.server.signal("SIGSTOP");
    cleanups.push(() => on.server.signal("SIGCONT"));
    await watch.refresh();
    expect(await watch.of(tagOf(0))).toBe("volatile");
    expect(lines.lines.map(({ level, msg }) => [level, msg])).toEqual([
      [50, expect.stringMatching(/could not be read \(Redis did not answer in time\)/)],
    ]);
    on.server.signal("SIGCONT");
    await lines.waitFor(({ msg }) => msg === "this redis keeps what it acknowledges again");
    expect(await watch.of(tagOf(0))).toBe("fsynced");
  });

  test("tells of each weakness once, also where one follows the other", async () => {
    const redis = await on.open("ingress");
    const { watch, lines } = watchOn(redis);
    const set = (...pairs: string[]) => on.server.raw.call("CONFIG", "SET", ...pairs);
    try {
      await set("appendonly", "no");
      for (let n = 0; n < 3; n++) await watch.refresh();
      await set("maxmemory", "1gb", "maxmemory-policy", "volatile-ttl");
      for (let n = 0; n < 3; n++) await watch.refresh();
      expect(lines.lines.map(({ msg }) => msg)).toEqual([
        expect.stringMatching(/^this redis has no AOF/),
        expect.stringMatching(/^this redis may evict keys \(maxmemory-policy volatile-ttl\)/),
      ]);
    } finally {
      await set("appendonly", "yes", "maxmemory", "0", "maxmemory-policy", "noeviction");
    }
  });

  test("with replicas that have each post promises no less without an AOF, and nothing where it evicts or hides it", async () => {
    const redis = await on.open("ingress");
    const { watch } = watchOn(redis, 1);
    const set = (...pairs: string[]) => on.server.raw.call("CONFIG", "SET", ...pairs);
    const now = async () => {
      await watch.refresh();
      return watch.of(tagOf(0));
    };
    expect(await now()).toBe("replicated");
    try {
      await set("appendonly", "no");
      expect(await now()).toBe("replicated");
      await set("maxmemory", "1gb", "maxmemory-policy", "volatile-lru");
      expect(await now()).toBe("volatile");
      await set("maxmemory-policy", "noeviction");
      expect(await now()).toBe("replicated");
      await on.server.raw.acl("SETUSER", "default", "-info");
      expect(await now()).toBe("volatile");
    } finally {
      await on.server.raw.acl("SETUSER", "default", "+info");
      await set("appendonly", "yes", "maxmemory", "0", "maxmemory-policy", "noeviction");
    }
  });
});

describe("a cluster", () => {
  test("promises for each partition what its server keeps, whatever the other ones do", async () => {
    const cluster = await startCluster(2);
    const [, second] = cluster.nodes;
    cleanups.push(() => cluster.stop());
    const redis = connect(cluster.address, "ingress");
    redis.on("error", () => {});
    cleanups.push(() => redis.disconnect());
    const { watch, lines } = watchOn(redis);
    await second?.raw.config("SET", "appendonly", "no");
    await redis.connect();
    await watch.refresh();
    const tags = tagsOf(8);
    const onFirst = tags.filter((tag) => slotOf(tag) < 8_192);
    expect(onFirst.length).toBeWithin(1, 8);
    const of = () => Promise.all(tags.map((tag) => watch.of(tag)));
    expect(await of()).toEqual(tags.map((tag) => (onFirst.includes(tag) ? "fsynced" : "volatile")));
    expect(lines.lines).toEqual([
      expect.objectContaining({ server: `127.0.0.1:${second?.port}`, msg: expect.stringContaining("no AOF") }),
    ]);
    await second?.kill();
    await watch.refresh();
    expect(await Promise.all(onFirst.map((tag) => watch.of(tag)))).toEqual(onFirst.map(() => "fsynced"));
    expect(await writeFault(redis, 8)).toBeString();
  }, 60_000);

  test("whose replica takes over promises what that one keeps, from its first answer on", async () => {
    const cluster = await startCluster(1, { replicas: true });
    const [master, replica] = cluster.nodes;
    cleanups.push(() => cluster.stop());
    const redis = connect(cluster.address, "ingress");
    redis.on("error", () => {});
    cleanups.push(() => redis.disconnect());
    const { watch } = watchOn(redis);
    await replica?.raw.config("SET", "appendonly", "no");
    await redis.connect();
    expect(await promised(redis, watch, "evt_0")).toBe("fsynced");
    await replica?.raw.cluster("FAILOVER", "TAKEOVER");
    await until("the old master follows", async () => String((await master?.raw.role())?.[0]) === "slave");
    let n = 1;
    const first = await until("a post is taken", async () => {
      const answer = await promised(redis, watch, `evt_${n++}`);
      return answer !== "unavailable" && answer;
    });
    expect(first).toBe("volatile");
    expect(await replica?.raw.exists(key.counts(tagOf(0)))).toBe(1);
    accepted(await openIngress(redis, { durability: watch.of }).post(eventWith("evt_last")));
  }, 60_000);
});
