import { Cluster, type Redis } from "ioredis";

/** A cluster's connections, one for each node; undefined for a client of a single server. */
export function nodesOf(redis: Redis, role: "all" | "master"): Redis[] | undefined {
  const client: unknown = redis; // connect() gives both the same type
  return client instanceof Cluster ? client.nodes(role) : undefined;
}
