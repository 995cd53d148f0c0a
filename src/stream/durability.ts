/* What an acknowledged write survives on this Redis, asked when a connection is made and now and then. */
import type { Redis } from "ioredis";
import type { Durability } from "../domain/ingress.ts";
import { awayReason } from "./fault.ts";
import { key, tagOf } from "./keys.ts";
import { nodesOf } from "./nodes.ts";

/** What is promised is what the weakest master of a cluster keeps. */
export async function readDurability(redis: Redis): Promise<Durability> {
  const each = await Promise.all(mastersOf(redis).map(durabilityOf));
  if (each.length === 0 || each.includes("volatile")) return "volatile";
  return each.includes("written") ? "written" : "fsynced";
}

/** How often an answer did not wait for a sync that was due, since the disk was too slow: `everysec` loses more then. */
export async function countDelayedSyncs(redis: Redis): Promise<number> {
  const infos = await Promise.all(mastersOf(redis).map((master) => master.info("persistence")));
  return infos.reduce((sum, info) => sum + Number(/^aof_delayed_fsync:(\d+)/m.exec(info)?.[1] ?? 0), 0);
}

function mastersOf(redis: Redis): Redis[] {
  return nodesOf(redis, "master") ?? [redis];
}

/**
 * Managed Redis often blocks CONFIG: then INFO says at least whether there is an AOF, and a sync that
 * cannot be seen is not promised.
 */
async function durabilityOf(redis: Redis): Promise<Durability> {
  const flat = await redis.config("GET", "*append*").then(
    (reply) => reply as string[],
    (): string[] => [],
  );
  const setting = (name: string) => flat[flat.indexOf(name) + 1];
  const [info, memory] = await Promise.all([redis.info("persistence"), redis.info("memory")]);
  if (!/^aof_enabled:1/m.test(info)) return "volatile";
  if (/^maxmemory_policy:allkeys-/m.test(memory) && !/^maxmemory:0\b/m.test(memory)) return "volatile"; // it may evict any
  if (flat.length === 0) return "written";
  if (setting("appendfsync") === "no") return "volatile"; // the operating system syncs it, some time
  // While a child rewrites the AOF, this one switches the sync off (redis.conf says more).
  return setting("appendfsync") === "always" && setting("no-appendfsync-on-rewrite") === "no" ? "fsynced" : "written";
}

/** Why Redis cannot take a write now; undefined when it can. Tries one, since much may be in the way. */
export async function writeFault(redis: Redis): Promise<string | undefined> {
  try {
    const info = await redis.info("persistence");
    if (/^loading:1/m.test(info)) return "Redis is loading its data";
    if (/^aof_last_write_status:err/m.test(info)) return "Redis cannot write its AOF";
    await redis.set(key.probe(tagOf(0)), "", "PX", 1_000);
    return undefined;
  } catch (error) {
    return awayReason(error) ?? String(error);
  }
}
