/* What an accepted event survives, as the reply says it. How addresses are written: config.test.ts. */
import { describe, expect, test } from "bun:test";
import type { Redis } from "ioredis";
import { countDelayedSyncs, readServer, writeFault } from "../../src/stream/durability.ts";
import { startRedis } from "../support/redis.ts";
import { onRedis } from "./fixture.ts";

const on = onRedis();

async function promised(): Promise<string> {
  return (await readServer(on.redis))?.durability ?? "loading";
}

async function whileSet(name: string, value: string, was: string, look: () => Promise<void>): Promise<void> {
  await on.server.raw.config("SET", name, value);
  try {
    await look();
  } finally {
    await on.server.raw.config("SET", name, was);
  }
}

describe("the durability that is promised", () => {
  test.each([
    ["always", "fsynced"],
    ["everysec", "written"],
    ["no", "volatile"],
  ] as const)("with appendfsync %s is %s", async (policy, durability) => {
    await whileSet("appendfsync", policy, "always", async () => {
      expect(await promised()).toBe(durability);
    });
  });

  test("is not a sync where a rewrite switches it off", async () => {
    await whileSet("no-appendfsync-on-rewrite", "yes", "no", async () => {
      expect(await promised()).toBe("written");
    });
  });

  test("without an AOF is none", async () => {
    await whileSet("appendonly", "no", "yes", async () => {
      expect(await promised()).toBe("volatile");
    });
  });

  test("is none where any key may be evicted, and not lessened where nothing is", async () => {
    await whileSet("maxmemory-policy", "allkeys-lru", "noeviction", async () => {
      expect(await promised()).toBe("fsynced"); // without a limit
      await whileSet("maxmemory", "1gb", "0", async () => {
        expect(await promised()).toBe("volatile");
      });
    });
    await whileSet("maxmemory", "1gb", "0", async () => {
      expect(await promised()).toBe("fsynced");
    });
  });

  test.each(["allkeys-lru", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"])(
    "is none with a limit of memory and %s: idempotency keys and rollbacks have a lifetime, too",
    async (policy) => {
      await whileSet("maxmemory-policy", policy, "noeviction", async () => {
        await whileSet("maxmemory", "1gb", "0", async () => {
          const reading = await readServer(on.redis);
          expect(reading).toMatchObject({ durability: "volatile", keepsKeys: false });
          expect(reading?.weakness).toContain(`maxmemory-policy ${policy}`);
        });
      });
    },
  );

  test.each([
    ["info", "volatile", "grant +info"],
    ["config", "written", "grant +config|get"],
  ])(
    "is no more than can be seen where %s is not allowed, and says what to grant",
    async (command, durability, hint) => {
      await on.server.raw.acl("SETUSER", "default", `-${command}`);
      try {
        expect(await readServer(on.redis)).toMatchObject({ durability, weakness: expect.stringContaining(hint) });
        expect(await countDelayedSyncs(on.redis)).toBe(command === "info" ? (undefined as never) : 0);
        expect(await writeFault(on.redis, 1)).toBeUndefined();
      } finally {
        await on.server.raw.acl("SETUSER", "default", `+${command}`);
      }
    },
  );

  test("says why it is none, where Redis is there", async () => {
    await whileSet("appendonly", "no", "yes", async () => {
      expect((await readServer(on.redis))?.weakness).toBe("this redis has no AOF: set appendonly yes");
    });
    await whileSet("appendfsync", "no", "always", async () => {
      expect((await readServer(on.redis))?.weakness).toContain("set appendfsync");
    });
    expect(await readServer(on.redis)).toEqual({ durability: "fsynced", keepsKeys: true });
  });

  test("is no more than can be seen where CONFIG is not allowed", async () => {
    await on.server.raw.acl("SETUSER", "default", "-config");
    try {
      expect(await promised()).toBe("written");
    } finally {
      await on.server.raw.acl("SETUSER", "default", "+config");
    }
  });

  test("cannot be said while Redis is away", async () => {
    const redis = await on.open("ingress");
    redis.disconnect();
    expect(await readServer(redis)).toMatchObject({ durability: "volatile", keepsKeys: false });
    expect(await writeFault(redis, 1)).toBe("not connected to Redis");
  });

  test.each([
    ["has no memory left", ["maxmemory", "1", "0"], "OOM"],
    ["has too few replicas", ["min-replicas-to-write", "1", "0"], "NOREPLICAS"],
  ] as const)("is none by a Redis that %s", async (_what, [setting, on_, off], word) => {
    await whileSet(setting, on_, off, async () => {
      expect(await writeFault(on.redis, 1)).toStartWith(word);
    });
  });

  test("is not lessened by a Redis that can write", async () => {
    expect(await writeFault(on.redis, 1)).toBeUndefined();
  });

  test("is none by a Redis that has become a replica", async () => {
    const server = await startRedis();
    const redis = await on.open("worker", server.address);
    try {
      await server.raw.replicaof("127.0.0.1", 1);
      expect(await writeFault(redis, 1)).toStartWith("READONLY");
    } finally {
      await server.stop();
    }
  });

  test("is not believed where INFO leaves out what it depends on, and not judged while it loads", async () => {
    const redis = await on.open("worker");
    const info = redis.info.bind(redis);
    for (const [section, field] of [["persistence", "aof_enabled"] as const, ["memory", "maxmemory"] as const]) {
      redis.info = (async (asked: "memory") => {
        const text = await info(asked);
        return asked === section ? text.replace(new RegExp(`^${field}:.*`, "m"), "") : text;
      }) as Redis["info"];
      expect(await readServer(redis)).toMatchObject({ durability: "volatile", keepsKeys: false });
    }
    redis.info = (async (asked: "memory") => (await info(asked)).replace("loading:0", "loading:1")) as Redis["info"];
    expect(await readServer(redis)).toBeUndefined();
  });
});
