/*
 * Three kinds of connection, since what is right for one is wrong for another:
 *   ingress   a request waits: fail within COMMAND_TIMEOUT_MS, queue nothing while Redis is away
 *   worker    the loops' scripts: fail when the connection does, the loop's own back-off tries again
 *   blocking  one dedicated connection for reads that block; its client-side deadline finds half-open sockets
 */
import Redis from "ioredis";
import { backoffMs } from "../domain/backoff.ts";
import { defineScripts } from "./script.ts";
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

/** Where Redis is, as REDIS_URL says. */
export type RedisAddress =
  | { kind: "single"; url: string }
  | { kind: "unix"; path: string }
  | { kind: "sentinel"; hosts: { host: string; port: number }[]; name: string; username?: string; password?: string }
  | { kind: "cluster"; hosts: { host: string; port: number }[]; username?: string; password?: string };

/** Undefined when the text is none of the forms of REDIS_URL. */
export function parseRedisUrl(text: string): RedisAddress | undefined {
  const path = /^unix:(?:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { kind: "unix", path };
  if (/^rediss?:\/\//.test(text)) return isReadable(text) ? { kind: "single", url: text } : undefined;
  const many = /^redis\+(sentinel|cluster):\/\/(?:([^:@/]*):([^@/]*)@)?([^/@]+)(?:\/([^/?#]+))?$/.exec(text);
  if (many === null) return undefined;
  const [, kind, username, password, list, name] = many;
  const hosts = (list ?? "").split(",").map((host) => /^(.+):(\d{1,5})$/.exec(host));
  if (hosts.some((host) => host === null || Number(host[2]) > 65_535 || Number(host[2]) === 0)) return undefined;
  const address = {
    hosts: hosts.flatMap((host) => (host === null ? [] : [{ host: host[1] as string, port: Number(host[2]) }])),
    ...(username ? { username: decodeURIComponent(username) } : {}),
    ...(password ? { password: decodeURIComponent(password) } : {}),
  };
  if (kind === "cluster") return name === undefined ? { kind, ...address } : undefined;
  return name === undefined ? undefined : { kind: "sentinel", name, ...address };
}

/**
 * It names a host, its credentials can be decoded, its path is empty or a database from 0 to 999 (Redis has 16 unless
 * told otherwise), and it has no options: ioredis would put them above ours.
 */
function isReadable(text: string): boolean {
  try {
    const { hostname, port, username, password, pathname, search, hash } = new URL(text);
    if (hostname === "" || port === "0" || search !== "" || hash !== "") return false;
    for (const part of [username, password]) decodeURIComponent(part);
    return /^\/?\d{0,3}$/.test(pathname);
  } catch {
    return false;
  }
}

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
      return new Redis(address.url, options);
    case "unix":
      return new Redis({ ...options, path: address.path });
    case "sentinel": {
      const { hosts: sentinels, kind: _, ...auth } = address;
      return new Redis({ ...options, ...auth, sentinels, failoverDetector: true });
    }
    case "cluster": {
      const { hosts, kind: _, ...auth } = address;
      const cluster = new Redis.Cluster(hosts, {
        redisOptions: { ...options, ...auth },
        enableOfflineQueue: !("enableOfflineQueue" in options),
        clusterRetryStrategy: COMMON.retryStrategy,
        // While a slot moves, ASK and TRYAGAIN take turns: the caller waits, or journals, and not this client.
        maxRedirections: 5,
        retryDelayOnTryAgain: 50,
        lazyConnect: true,
      });
      // The same commands and events as a single connection, and all that this program uses of it.
      return cluster as unknown as Redis;
    }
  }
}
