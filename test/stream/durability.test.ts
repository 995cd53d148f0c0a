/* What an accepted event survives, as the reply says it. How addresses are written: config.test.ts. */
import { describe, expect, test } from "bun:test";
import { readDurability, writeFault } from "../../src/stream/durability.ts";
import { onRedis } from "./fixture.ts";

const on = onRedis();

describe("the durability that is promised", () => {
  test.each([
    ["always", "fsynced"],
    ["everysec", "written"],
    ["no", "volatile"],
  ] as const)("with appendfsync %s is %s", async (policy, durability) => {
    await on.server.raw.config("SET", "appendfsync", policy);
    try {
      expect(await readDurability(on.redis)).toBe(durability);
    } finally {
      await on.server.raw.config("SET", "appendfsync", "always");
    }
  });

  test("is not a sync where a rewrite switches it off", async () => {
    await on.server.raw.config("SET", "no-appendfsync-on-rewrite", "yes");
    try {
      expect(await readDurability(on.redis)).toBe("written");
    } finally {
      await on.server.raw.config("SET", "no-appendfsync-on-rewrite", "no");
    }
  });

  test("without an AOF is none", async () => {
    await on.server.raw.config("SET", "appendonly", "no");
    try {
      expect(await readDurability(on.redis)).toBe("volatile");
    } finally {
      await on.server.raw.config("SET", "appendonly", "yes");
    }
  });

  test("is no more than can be seen where CONFIG is not allowed", async () => {
    await on.server.raw.acl("SETUSER", "default", "-config");
    try {
      expect(await readDurability(on.redis)).toBe("written");
    } finally {
      await on.server.raw.acl("SETUSER", "default", "+config");
    }
  });

  test("cannot be said while Redis is away", async () => {
    const redis = await on.open("ingress");
    redis.disconnect();
    expect(await readDurability(redis).then(String, () => "rejected")).toBe("rejected");
    expect(await writeFault(redis).then(String, () => "rejected")).toBe("rejected");
  });

  test.each([
    ["has no memory left", ["maxmemory", "1", "0"], "OOM"],
    ["has too few replicas", ["min-replicas-to-write", "1", "0"], "NOREPLICAS"],
  ] as const)("is none by a Redis that %s", async (_what, [setting, on_, off], word) => {
    await on.server.raw.config("SET", setting, on_);
    try {
      expect(await writeFault(on.redis)).toStartWith(word);
    } finally {
      await on.server.raw.config("SET", setting, off);
    }
  });

  test("is not lessened by a Redis that can write", async () => {
    expect(await writeFault(on.redis)).toBeUndefined();
  });
});
