/*
 * Why a cluster's slots could not be read. ioredis asks for them on a copy of a node's connection and says nothing of
 * what that one met, but that it is closed.
 */
import { type Cluster, Redis } from "ioredis";

/** Gives each error of the cluster its cause. */
export function explainErrors(cluster: Cluster): void {
  let last: Error | undefined;
  const noting = (redis: Redis) =>
    redis.on("error", (error) => {
      last = error;
    });
  cluster.on("+node", (node: Redis) => {
    node.duplicate = (override) => noting(Redis.prototype.duplicate.call(node, override));
  });
  cluster.on("error", (error: Error & { lastNodeError?: Error }) => {
    const { lastNodeError } = error;
    error.cause ??= lastNodeError?.message === "Connection is closed." ? last : lastNodeError;
  });
}
