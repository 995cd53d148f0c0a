/* What an acknowledged write survives on this Redis, asked when a connection is made and now and then. */
import type { Redis } from "ioredis";
import type { Durability } from "../domain/ingress.ts";

/**
 * Managed Redis often blocks CONFIG: then INFO says at least whether there is an AOF, and a sync that
 * cannot be seen is not promised.
 */
export async function readDurability(redis: Redis): Promise<Durability> {
  const fsync = await redis.config("GET", "appendfsync").then(
    (reply) => (reply as string[])[1],
    () => undefined,
  );
  const info = await redis.info("persistence");
  if (!/^aof_enabled:1/m.test(info)) return "volatile";
  return fsync === "always" ? "fsynced" : "written";
}

/** Why Redis cannot take a write now; undefined when it can. */
export async function writeFault(redis: Redis): Promise<string | undefined> {
  const info = await redis.info("persistence");
  if (/^loading:1/m.test(info)) return "Redis is loading its data";
  if (/^aof_last_write_status:err/m.test(info)) return "Redis cannot write its AOF";
  return undefined;
}
