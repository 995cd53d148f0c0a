/*
 * What an acknowledged write survives on this Redis, asked when a connection is made and now and then. What cannot be
 * read is not believed: it is `volatile`, and the reading says which permission is missing.
 */
import type { Redis } from "ioredis";
import type { Durability } from "../domain/ingress.ts";
import { awayReason } from "./fault.ts";
import { key, tagOf } from "./keys.ts";
import { nodesOf } from "./nodes.ts";

export interface Reading {
  durability: Durability;
  /** Why it is less than it could be, and what to change; undefined where nothing is wrong, or Redis is not there yet. */
  weakness?: string;
}

/** Nothing can be written there, so nothing is promised, and nothing is wrong with its settings. */
const NOT_THERE: Reading = { durability: "volatile" };

const STRENGTH: readonly Durability[] = ["volatile", "written", "fsynced"];

/** What is promised is what the weakest master of a cluster keeps. Rejects when Redis is away. */
export async function readDurability(redis: Redis): Promise<Reading> {
  const each = await Promise.all(mastersOf(redis).map(readingOf));
  const strength = ({ durability }: Reading) => STRENGTH.indexOf(durability);
  return each.toSorted((a, b) => strength(a) - strength(b))[0] ?? NOT_THERE;
}

/**
 * How often an answer did not wait for a sync that was due, since the disk was too slow: `everysec` loses more then.
 * Undefined where INFO is not allowed.
 */
export async function countDelayedSyncs(redis: Redis): Promise<number | undefined> {
  const infos = await Promise.all(mastersOf(redis).map((master) => ifAllowed(master.info("persistence"))));
  if (infos.includes(undefined)) return undefined;
  return infos.reduce((sum, info) => sum + Number(/^aof_delayed_fsync:(\d+)/m.exec(info ?? "")?.[1] ?? 0), 0);
}

function mastersOf(redis: Redis): Redis[] {
  return nodesOf(redis, "master") ?? [redis];
}

async function readingOf(redis: Redis): Promise<Reading> {
  const [info, memory] = await Promise.all([ifAllowed(redis.info("persistence")), ifAllowed(redis.info("memory"))]);
  if (info === undefined || memory === undefined) {
    return weak("volatile", "this redis user may not run INFO, so nobody can see what an event survives: grant +info");
  }
  if (/^loading:1/m.test(info)) return NOT_THERE;
  if (!/^aof_enabled:1/m.test(info)) return weak("volatile", "this redis has no AOF: set appendonly yes");
  const policy = /^maxmemory_policy:(\S+)/m.exec(memory)?.[1];
  if (!/^maxmemory:0\b/m.test(memory) && policy !== "noeviction") {
    return weak(
      "volatile",
      `this redis may evict keys (maxmemory-policy ${policy}), with them events, idempotency keys and rollbacks: set noeviction`,
    );
  }
  return settingsOf(redis);
}

/** Managed Redis often blocks CONFIG. A sync that cannot be seen is not promised. */
async function settingsOf(redis: Redis): Promise<Reading> {
  const flat = (await ifAllowed(redis.config("GET", "*append*"))) as string[] | undefined;
  if (flat === undefined || flat.length === 0) {
    return weak("written", "this redis user may not run CONFIG GET, so no sync is promised: grant +config|get");
  }
  const setting = (name: string) => flat[flat.indexOf(name) + 1];
  if (setting("appendfsync") === "no") {
    return weak("volatile", "this redis leaves the sync of its AOF to the operating system: set appendfsync");
  }
  // While a child rewrites the AOF, this one switches the sync off (redis.conf says more).
  const syncs = setting("appendfsync") === "always" && setting("no-appendfsync-on-rewrite") === "no";
  return { durability: syncs ? "fsynced" : "written" };
}

function weak(durability: Durability, weakness: string): Reading {
  return { durability, weakness };
}

/** Undefined where this user may not, or the server has no such command. Rejects when Redis is away. */
async function ifAllowed<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Error && /^(?:NOPERM|ERR unknown (?:sub)?command)/.test(error.message)) return undefined;
    throw error;
  }
}

/** Why Redis cannot take a write now; undefined when it can. Tries one, since much may be in the way. */
export async function writeFault(redis: Redis): Promise<string | undefined> {
  try {
    await redis.set(key.probe(tagOf(0)), "", "PX", 1_000);
    return undefined;
  } catch (error) {
    return awayReason(error) ?? String(error);
  }
}
