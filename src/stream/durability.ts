/* What an acknowledged write survives on this Redis, asked when a connection is made and now and then. */
import { Cluster, type Redis } from "ioredis";
import type { Durability } from "../domain/ingress.ts";
import { awayReason } from "./fault.ts";
import { tagOf } from "./keys.ts";

/** What is promised is what the weakest master of a cluster keeps. */
export async function readDurability(redis: Redis): Promise<Durability> {
  const client: unknown = redis;
  const masters = client instanceof Cluster ? client.nodes("master") : [redis];
  const each = await Promise.all(masters.map(durabilityOf));
  if (each.length === 0 || each.includes("volatile")) return "volatile";
  return each.includes("written") ? "written" : "fsynced";
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
  const info = await redis.info("persistence");
  if (!/^aof_enabled:1/m.test(info)) return "volatile";
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
    await redis.set(`${tagOf(0)}:probe`, "", "PX", 1_000);
    return undefined;
  } catch (error) {
    return awayReason(error) ?? String(error);
  }
}
