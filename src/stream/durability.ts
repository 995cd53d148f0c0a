/*
 * What an acknowledged write survives on this Redis, asked when a connection is made and now and then. What cannot be
 * read is not believed: it is `volatile`, and the reading says which permission is missing.
 */
import type { Redis } from "ioredis";
import type { Durability } from "../domain/ingress.ts";
import { awayReason, SlotMoves } from "./fault.ts";
import { type Partitions, tagsServedBy } from "./layout.ts";
import { nodesOf, ownerOf } from "./nodes.ts";
import probeSource from "./probe.lua" with { type: "text" };
import { orAway, script } from "./script.ts";

const probe = script("probe", probeSource);

/** Of one server. */
export interface Reading {
  durability: Durability;
  /** It was seen that nothing is evicted. */
  keepsKeys: boolean;
  /** Why it is less than it could be, and what to change; undefined where nothing is wrong. */
  weakness?: string;
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

export function mastersOf(redis: Redis): Redis[] {
  return nodesOf(redis, "master") ?? [redis];
}

/** Undefined while it loads its data, when nothing can be written, and nothing is wrong with its settings. Never rejects. */
export async function readServer(redis: Redis): Promise<Reading | undefined> {
  try {
    return await orAway(redis, () => readingOf(redis));
  } catch (error) {
    return weak("volatile", false, `what an event survives could not be read (${messageOf(error)})`);
  }
}

async function readingOf(redis: Redis): Promise<Reading | undefined> {
  const [info, memory, settings] = await Promise.all([
    ifAllowed(redis.info("persistence")),
    ifAllowed(redis.info("memory")),
    // Managed Redis often blocks it. A sync that cannot be seen is not promised.
    ifAllowed(redis.config("GET", "*append*") as Promise<string[]>),
  ]);
  if (info === undefined || memory === undefined) {
    const why = "this redis user may not run INFO, so nobody can see what an event survives: grant +info";
    return weak("volatile", false, why);
  }
  const field = (name: string) => new RegExp(`^${name}:([\\w-]+)`, "m").exec(info + memory)?.[1];
  if (field("loading") === "1") return undefined;
  const [aof, limit, policy] = ["aof_enabled", "maxmemory", "maxmemory_policy"].map(field);
  if (aof === undefined || limit === undefined) {
    return weak("volatile", false, "this redis says in INFO nothing of an AOF or of a limit of memory");
  }
  if (limit !== "0" && policy !== "noeviction") {
    const lost = "events, idempotency keys and rollbacks: a second mail, or one after its rollback";
    return weak(
      "volatile",
      false,
      `this redis may evict keys (maxmemory-policy ${policy}), with them ${lost}; set noeviction`,
    );
  }
  if (aof !== "1") return weak("volatile", true, "this redis has no AOF: set appendonly yes");
  return syncOf(settings ?? []);
}

function syncOf(settings: readonly string[]): Reading {
  const setting = (name: string) => (settings.includes(name) ? settings[settings.indexOf(name) + 1] : undefined);
  switch (setting("appendfsync")) {
    case undefined:
      return weak("written", true, "this redis user may not run CONFIG GET, so no sync is promised: grant +config|get");
    case "no":
      return weak("volatile", true, "this redis leaves the sync of its AOF to the operating system: set appendfsync");
    case "always":
      // While a child rewrites the AOF, this one switches the sync off (redis.conf says more).
      return { durability: setting("no-appendfsync-on-rewrite") === "no" ? "fsynced" : "written", keepsKeys: true };
    default:
      return { durability: "written", keepsKeys: true };
  }
}

function weak(durability: Durability, keepsKeys: boolean, weakness: string): Reading {
  return { durability, keepsKeys, weakness };
}

/** Undefined where this user may not, or this server answers with any other error. Rejects when Redis is away. */
async function ifAllowed<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    const isAnswer = error instanceof Error && (/^NOPERM/.test(error.message) || awayReason(error) === undefined);
    if (isAnswer) return undefined;
    throw error;
  }
}

/** Why Redis, or one server of a cluster, takes no posts now; undefined when it does. */
export async function writeFault(redis: Redis, partitions: Partitions): Promise<string | undefined> {
  try {
    const tags = Map.groupBy(tagsServedBy(partitions), (tag) => ownerOf(redis, tag));
    await Promise.all([...tags.values()].map((ofOne) => probeOne(redis, ofOne)));
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** With any partition of the server whose slot does not move. */
async function probeOne(redis: Redis, tags: readonly string[]): Promise<void> {
  let moves: SlotMoves | undefined;
  for (const tag of tags) {
    try {
      return void (await probe(redis, tag, []));
    } catch (error) {
      if (!(error instanceof SlotMoves)) throw error;
      moves = error;
    }
  }
  if (moves !== undefined) throw moves;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
