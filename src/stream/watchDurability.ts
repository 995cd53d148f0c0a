/*
 * What the service promises. A reading belongs to the connection that it was made on: behind the next one there may be
 * another server, after a failover.
 *   - The masters are read when the connection is ready, and every INTERVAL_MS. An answer that comes before its own
 *     connection was read waits a moment for it.
 *   - What holds is what the server said that has the partition's keys, whatever the others of a cluster say.
 *   - The log has a line for each weakness of a master once, and one when it is gone.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import type { Durability } from "../domain/ingress.ts";
import { every, within } from "../domain/time.ts";
import { mastersOf, type Reading, readServer } from "./durability.ts";
import { nodesOf, ownerOf } from "./nodes.ts";

const INTERVAL_MS = 10_000;
/** A post waits no longer for the reading of its connection. */
const PATIENCE_MS = 300;

export interface DurabilityWatch {
  /** Of what the partition's server answers now. `volatile` where it could not be read. */
  of(tag: string): Durability | Promise<Durability>;
  /** Reads all masters again. Never rejects. */
  refresh(): Promise<void>;
  stop(): void;
}

/**
 * @param redis where posts go, just opened
 * @param minReplicas that have each answered post: then the disk does not matter, but eviction does
 */
export function watchDurability(redis: Redis, minReplicas: number, log: Logger): DurabilityWatch {
  const isCluster = nodesOf(redis, "all") !== undefined;
  /** By the socket of a connection. Written by `read` alone. */
  const readings = new WeakMap<object, Reading>();
  const underWay = new WeakMap<object, Promise<Reading | undefined>>();
  /** The weakness of each master that the log has told of. */
  const told = new Map<string, string>();

  function promiseOf({ durability, keepsKeys }: Reading): Durability {
    if (minReplicas === 0) return durability;
    return keepsKeys ? "replicated" : "volatile";
  }

  function read(node: Redis): Promise<Reading | undefined> {
    const { stream } = node;
    const begun = stream && underWay.get(stream);
    if (begun) return begun;
    const reading = readServer(node).then((found) => {
      if (stream) underWay.delete(stream);
      // Another connection's, or one that has ended under way: nothing is known of the one that follows.
      if (found === undefined || (stream && node.stream !== stream) || node.status !== "ready") return undefined;
      readings.set(node.stream, found);
      tell(node, found);
      return found;
    });
    if (stream) underWay.set(stream, reading);
    return reading;
  }

  function tell(node: Redis, { durability, weakness }: Reading): void {
    const server = isCluster ? `${node.options.host}:${node.options.port}` : "";
    const before = told.get(server);
    if (before === weakness) return;
    const fields = { durability, ...(isCluster && { server }) };
    if (weakness === undefined) {
      told.delete(server);
      log.warn(fields, "this redis keeps what it acknowledges again");
      return;
    }
    told.set(server, weakness);
    if (durability === "volatile") log.error(fields, `${weakness}; accepted events may die with it`);
    else log.warn(fields, weakness);
  }

  async function refresh(): Promise<void> {
    // One that was never used is connected by it; one that is away is read when it is back.
    const there = mastersOf(redis).filter(({ status }) => status === "ready" || status === "wait");
    await Promise.all(there.map(read));
  }

  redis.on("ready", () => void refresh());
  const timer = every(INTERVAL_MS, () => void refresh());

  return {
    of(tag) {
      const node = ownerOrNobody(redis, tag);
      const known = node?.stream && readings.get(node.stream);
      if (known) return promiseOf(known);
      if (node === undefined) return "volatile";
      return within(PATIENCE_MS, read(node)).then((found) => (found ? promiseOf(found) : "volatile"));
    },
    refresh,
    stop: () => timer.cancel(),
  };
}

function ownerOrNobody(redis: Redis, tag: string): Redis | undefined {
  try {
    return ownerOf(redis, tag);
  } catch {
    return undefined;
  }
}
