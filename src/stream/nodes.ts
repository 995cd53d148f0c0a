import { Cluster, type Redis } from "ioredis";
import { RedisAway } from "./fault.ts";
import { slotOf } from "./keys.ts";

/** A cluster's connections, one for each node; undefined for a client of a single server. */
export function nodesOf(redis: Redis, role: "all" | "master"): Redis[] | undefined {
  const client: unknown = redis; // connect() gives both the same type
  return client instanceof Cluster ? client.nodes(role) : undefined;
}

/**
 * The connection to the server that has a partition's keys now: a cluster's client would send a command without a key
 * to any node. Commands sent on it are not redirected. Throws RedisAway when nobody knows that server.
 */
export function ownerOf(redis: Redis, tag: string): Redis {
  const client: unknown = redis;
  if (!(client instanceof Cluster)) return redis;
  const [address] = client.slots[slotOf(tag)] ?? [];
  const owner = client.nodes("all").find(({ options }) => `${options.host}:${options.port}` === address);
  if (owner === undefined) throw new RedisAway("the cluster's slots are not known");
  return owner;
}

/** Stands for the connection over which a partition's commands go now; undefined while there is none. */
export function connectionTo(redis: Redis, tag: string): object | undefined {
  try {
    const { status, stream } = ownerOf(redis, tag);
    return status === "ready" ? stream : undefined;
  } catch {
    return undefined;
  }
}

/** A cluster's slots are read again, in the background: a node has said that it is not the owner. */
export function findOwnersAgain(redis: Redis): void {
  const client: unknown = redis;
  if (client instanceof Cluster) client.refreshSlotsCache();
}
