/*
 * Three kinds of connection, since what is right for one is wrong for another:
 *   ingress   a request waits: fail within COMMAND_TIMEOUT_MS, queue nothing while Redis is away
 *   worker    the loops' scripts: fail when the connection does, the loop's own back-off tries again
 *   blocking  one dedicated connection for reads that block; its client-side deadline finds half-open sockets
 */
import Redis from "ioredis";
import { backoffMs } from "../domain/backoff.ts";
import type { RedisAddress } from "./redisUrl.ts";
import { explainErrors } from "./refresh.ts";
import { defineScripts } from "./script.ts";
import { reachedThroughSentinels } from "./sentinels.ts";
import "./untraced.ts";

export type ConnectionKind = "ingress" | "worker" | "blocking";

/** A post must answer well within 2 s, whatever the network does. */
const COMMAND_TIMEOUT_MS = 1_200;

export const BLOCK_MS = 2_000;

const COMMON = {
  protocol: 2 as const,
  connectTimeout: 2_000,
  keepAlive: 10_000,
  lazyConnect: true,
  showFriendlyErrorStack: false,
  disableClientInfo: true, // a command more to be allowed, for nothing
  retryStrategy: (times: number) => backoffMs(times, 25, 1_000),
  // A failover left us on a replica: connect again, to the new primary. The command fails as RedisAway.
  reconnectOnError: (error: Error) => error.message.startsWith("READONLY"),
};

const OPTIONS = {
  ingress: {
    ...COMMON,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS,
    autoResendUnfulfilledCommands: false,
  },
  // maxRetriesPerRequest 0 fails what is in flight when a connection closes; without it such promises
  // stay pending for ever once autoResendUnfulfilledCommands is off.
  worker: { ...COMMON, maxRetriesPerRequest: 0, commandTimeout: 5_000, autoResendUnfulfilledCommands: false },
  // Not blockingTimeout: a read that it ends looks like one that found nothing, and the dead socket stays.
  blocking: { ...COMMON, maxRetriesPerRequest: null, socketTimeout: BLOCK_MS + 1_000 },
} as const;

/**
 * Opens a connection with all scripts defined. It goes on connecting for ever, until `disconnect()`.
 * The caller must listen to "error".
 */
export function connect(address: RedisAddress, kind: ConnectionKind, clock?: string): Redis {
  const redis = open(address, OPTIONS[kind]);
  // ioredis goes on when SELECT fails, in database 0, where other people's keys may be.
  redis.on("error", (error: { command?: { name?: string } }) => {
    if (error.command?.name === "select") redis.disconnect(true);
  });
  defineScripts(redis, clock);
  // A cluster's nodes are asked on their own connections, too (nodes.ts).
  redis.on("+node", (node: Redis) => defineScripts(node, clock));
  return redis;
}

function open(address: RedisAddress, options: (typeof OPTIONS)[ConnectionKind]): Redis {
  switch (address.kind) {
    case "single":
    case "unix": {
      const { kind: _, ...where } = address;
      return new Redis({ ...options, ...where });
    }
    case "sentinel":
      return new Redis({ ...options, ...reachedThroughSentinels(address) });
    case "cluster": {
      const { hosts, kind: _, ...access } = address;
      const cluster = new Redis.Cluster(hosts, {
        redisOptions: { ...options, ...access },
        enableOfflineQueue: !("enableOfflineQueue" in options),
        clusterRetryStrategy: COMMON.retryStrategy,
        // While a slot moves, ASK and TRYAGAIN take turns: the caller waits, or journals, and not this client.
        maxRedirections: 5,
        retryDelayOnTryAgain: 50,
        lazyConnect: true,
        // A certificate names hosts, so that none is replaced by its address; and the slots come behind its handshake.
        ...(address.tls && { dnsLookup: (host, use) => use(null, host), slotsRefreshTimeout: COMMON.connectTimeout }),
      });
      explainErrors(cluster);
      cluster.on("+node", forgiveAsking);
      // The same commands and events as a single connection, and all that this program uses of it.
      return cluster as unknown as Redis;
    }
  }
}

/**
 * While a slot moves, ioredis sends ASKING before a command and forgets its promise. Where the node goes away, or does not
 * answer, that rejection would be nobody's and end the process. The command behind it is rejected as well.
 */
function forgiveAsking(node: Redis): void {
  const { asking } = Redis.prototype;
  node.asking = () => {
    const asked = asking.call(node);
    asked.catch(() => {});
    return asked;
  };
}
