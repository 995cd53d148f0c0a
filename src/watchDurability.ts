/* What the service promises now: a reading belongs to the connection that it was made on. */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import type { Durability } from "./domain/ingress.ts";
import { type Reading, readDurability } from "./stream/durability.ts";

const INTERVAL_MS = 10_000;

export interface DurabilityWatch {
  /** `volatile` until it was read: after a failover it may be another server. */
  now(): Durability;
  /** Reads it again. Never rejects. */
  refresh(): Promise<void>;
  stop(): void;
}

export function watchDurability(redis: Redis, log: Logger): DurabilityWatch {
  let reading: Reading | undefined;
  /** What the log has said last. */
  let said: string | undefined;
  /** Counts connections, so that an answer that comes late is not taken for the next server's. */
  let connection = 0;

  function forget(): void {
    connection += 1;
    reading = undefined;
  }

  async function refresh(): Promise<void> {
    const asked = connection;
    const found = await readDurability(redis).catch(() => undefined);
    if (asked !== connection) return;
    reading = found;
    if (found === undefined || (found.weakness === undefined && found.durability === "volatile")) return;
    const { durability, weakness } = found;
    if (weakness === said) return;
    if (weakness === undefined) log.warn({ durability }, "this redis keeps what it acknowledges again");
    else if (durability === "volatile") log.error({ durability }, `${weakness}; accepted events may die with it`);
    else log.warn({ durability }, weakness);
    said = weakness;
  }

  const readAnew = () => {
    forget();
    void refresh();
  };
  redis.on("close", forget);
  // A cluster has one connection a node: whenever the nodes change it may be another master.
  for (const event of ["ready", "+node", "-node"] as const) redis.on(event, readAnew);
  const timer = setInterval(() => void refresh(), INTERVAL_MS);
  return { now: () => reading?.durability ?? "volatile", refresh, stop: () => clearInterval(timer) };
}
