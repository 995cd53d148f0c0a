/*
 * Puts the parts together. One process for the HTTP service, one for the worker; with ROLE=all the first
 * starts the second as its child, and redis-server too when REDIS_URL is unset.
 */
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Logger } from "pino";
import { type Config, ConfigError } from "./config.ts";
import type { Durability } from "./domain/ingress.ts";
import { createApp } from "./http/app.ts";
import { createFallback } from "./journal/fallback.ts";
import { openJournal } from "./journal/journal.ts";
import { type DirectoryLock, lockDirectory } from "./journal/lock.ts";
import { openOutbox } from "./journal/outbox.ts";
import { openRollbackReader } from "./journal/reader.ts";
import { keptSecret } from "./journal/secret.ts";
import { startCatcher } from "./mail/catcher.ts";
import { createRenderer } from "./mail/render.ts";
import { createMailer } from "./mail/transport.ts";
import { createMetrics } from "./metrics.ts";
import { type ConnectionKind, connect, type RedisAddress } from "./stream/connect.ts";
import { createDeadLetters } from "./stream/dead.ts";
import { readDurability, writeFault } from "./stream/durability.ts";
import { socketPathOf, startEmbeddedRedis } from "./stream/embedded.ts";
import { RedisAway } from "./stream/fault.ts";
import { createFeed } from "./stream/feed.ts";
import { createIngress } from "./stream/ingress.ts";
import { partitionOf } from "./stream/keys.ts";
import { messageIdOf } from "./stream/messageId.ts";
import { createMessages } from "./stream/messages.ts";
import { createQueues } from "./stream/queues.ts";
import { startWorkerChild } from "./worker/child.ts";
import { startWorker, type Worker } from "./worker/worker.ts";

/** What a role needs of the process that it runs in. */
export interface Host {
  env: Readonly<Record<string, string | undefined>>;
  /** Starts this program again: the worker's child process. */
  command: readonly string[];
  log: Logger;
}

export interface Running {
  /** `deadlineMs`: how long mails under way may take to end. */
  stop(deadlineMs: number): Promise<void>;
}

/** A predecessor may still be ending what it has in flight. */
const LOCK_WAIT_MS = 15_000;
/** On top of the deadline: the worker's own last settlements. */
const CHILD_GRACE_MS = 3_000;
const DURABILITY_INTERVAL_MS = 10_000;

/** ROLE=all and ROLE=api. */
export async function startService(config: Config, host: Host): Promise<Running & { url: string }> {
  const { log } = host;
  const lock = await ownDirectory(config.DATA_DIR, "service");
  const embedded = config.REDIS_URL === undefined ? await startEmbeddedRedis(config.DATA_DIR, log) : undefined;
  const address = embedded?.address ?? (config.REDIS_URL as RedisAddress);
  const redis = open(address, "ingress", log);

  let durability: Durability = "written";
  const refreshDurability = async () => {
    const now = await readDurability(redis).catch(() => durability);
    if (now === "volatile" && durability !== now) log.error("this redis has no AOF: accepted events die with it");
    durability = now;
  };
  redis.on("ready", () => void refreshDurability());
  const durabilityTimer = setInterval(() => void refreshDurability(), DURABILITY_INTERVAL_MS);
  await redis.connect().catch(() => {}); // it goes on trying
  await refreshDurability();

  const queues = createQueues(redis, config.PARTITIONS);
  const metrics = createMetrics(queues, () => journal.stats());
  const stream = createIngress(redis, {
    partitions: config.PARTITIONS,
    delayMs: config.DELAY_MS,
    dedupTtlMs: config.DEDUP_TTL_MS,
    retentionMs: config.RETENTION_MS,
    firstCheckMs: config.CHECK_BACKS[0] ?? 0,
    maxBacklog: config.MAX_BACKLOG,
    durability: () => durability,
    log,
  });
  const journal = openJournal(config.DATA_DIR, config.JOURNAL_MAX_BYTES, log);
  const ingress = createFallback({
    inner: stream,
    journal,
    messageIdOf: (eventId) => messageIdOf(eventId, partitionOf(eventId, config.PARTITIONS)),
    delayMs: config.DELAY_MS,
    firstCheckMs: config.CHECK_BACKS[0] ?? 0,
    log,
    now: Date.now,
    random: Math.random,
  });
  const app = createApp({
    ingress: metrics.counted(ingress),
    messages: createMessages(redis, config.PARTITIONS),
    dead: createDeadLetters(redis, config.PARTITIONS, config.RETENTION_MS),
    queues,
    feed: createFeed(() => open(address, "blocking", log), config.PARTITIONS),
    async ready() {
      if (journal.stats().bytes < config.JOURNAL_MAX_BYTES) return undefined;
      return writeFault(redis).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    },
    ingestKeys: config.INGEST_KEYS ?? [keptSecret(config.DATA_DIR, "ingest.key", "ppi_")],
    adminToken: config.ADMIN_TOKEN ?? keptSecret(config.DATA_DIR, "admin.token", "ppa_"),
    log,
    now: Date.now,
    metrics: () => metrics.render(),
  });
  const server = listen(config, app.fetch);
  const child =
    config.ROLE === "all"
      ? startWorkerChild(host.command, { ...host.env, ...childEnvironment(config, embedded?.address.path) }, log)
      : undefined;
  log.info({ url: server.url.href, role: config.ROLE, durability }, "service started");

  return {
    url: server.url.href,
    async stop(deadlineMs) {
      await Promise.race([server.stop(), Bun.sleep(Math.min(deadlineMs, 2_000))]);
      await server.stop(true);
      await child?.stop(deadlineMs + CHILD_GRACE_MS);
      clearInterval(durabilityTimer);
      await ingress.stop();
      journal.close();
      redis.disconnect();
      await embedded?.stop();
      lock.release();
      log.info("service stopped");
    },
  };
}

/** ROLE=worker, on its own or as the child of ROLE=all. */
export async function startWorkerRole(config: Config, host: Host): Promise<Running> {
  const { log } = host;
  const lock = await ownDirectory(config.DATA_DIR, "worker");
  const address = config.REDIS_URL ?? ({ kind: "unix", path: socketPathOf(config.DATA_DIR) } as const);
  const redis = open(address, "worker", log);
  const catcher =
    config.SMTP_URL === undefined
      ? await startCatcher({ port: config.CATCHER_PORT, directory: join(config.DATA_DIR, "caught"), log })
      : undefined;
  const smtpUrl = config.SMTP_URL ?? `smtp://127.0.0.1:${catcher?.port}`;

  const outbox = openOutbox(config.DATA_DIR, log);
  const rollbacks = openRollbackReader(config.DATA_DIR);
  let stopping = false;
  const start = async (): Promise<Worker | undefined> => {
    while (!stopping) {
      try {
        return await startWorker({
          redis,
          openBlocking: () => open(address, "blocking", log),
          readsPartitionsTogether: address.kind !== "cluster",
          partitions: config.PARTITIONS,
          consumer: keptSecret(config.DATA_DIR, "worker.id", "worker-").slice(0, 23),
          concurrency: config.CONCURRENCY,
          leaseMs: config.LEASE_MS,
          dedupTtlMs: config.DEDUP_TTL_MS,
          retentionMs: config.RETENTION_MS,
          priorityOrder: config.PRIORITY_ORDER,
          policy: {
            maxRetries: config.MAX_RETRIES,
            retryDelaysMs: config.RETRY_DELAYS,
            onUnknown: config.ON_UNKNOWN,
          },
          render: createRenderer({ from: config.MAIL_FROM }),
          mailer: createMailer({ smtpUrl, from: config.MAIL_FROM, maxConnections: config.CONCURRENCY }),
          booking: { store: undefined, delaysMs: config.CHECK_BACKS, maxAsks: config.BOOKING_MAX_ASKS },
          outbox,
          isRolledBack: rollbacks.isRolledBack,
          log,
          random: Math.random,
        });
      } catch (error) {
        if (!(error instanceof RedisAway)) throw error;
        await Bun.sleep(200);
      }
    }
    return undefined;
  };
  const started = start();
  void started.then((worker) => worker && log.info({ concurrency: config.CONCURRENCY }, "worker started"));

  return {
    async stop(deadlineMs) {
      stopping = true;
      await (await started)?.stop(deadlineMs);
      redis.disconnect();
      rollbacks.close();
      await catcher?.stop();
      lock.release();
    },
  };
}

/** @throws ConfigError when DATA_DIR cannot be used, Error when another process has it */
async function ownDirectory(dataDir: string, role: "service" | "worker"): Promise<DirectoryLock> {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ConfigError(`DATA_DIR is ${JSON.stringify(dataDir)}, allowed: a folder that can be written (${error})`);
  }
  for (const deadline = performance.now() + LOCK_WAIT_MS; performance.now() < deadline; await Bun.sleep(50)) {
    const lock = lockDirectory(dataDir, role);
    if (lock !== undefined) return lock;
  }
  throw new Error(`another ${role} runs on ${resolve(dataDir)}: give each a DATA_DIR of its own`);
}

function open(address: RedisAddress, kind: ConnectionKind, log: Logger) {
  const redis = connect(address, kind);
  let away = false;
  redis.on("error", (error) => {
    if (!away) log.error({ err: error, connection: kind }, "redis is away");
    away = true;
  });
  redis.on("ready", () => {
    if (away) log.warn({ connection: kind }, "redis is back");
    away = false;
  });
  return redis;
}

function listen(config: Config, fetch: (request: Request) => Response | Promise<Response>) {
  try {
    return Bun.serve({
      hostname: config.HOST,
      port: config.PORT,
      fetch,
      development: false,
      idleTimeout: 60,
      maxRequestBodySize: 16 * 1024 * 1024,
    });
  } catch (error) {
    throw new Error(`cannot listen on HOST ${config.HOST}, PORT ${config.PORT}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function childEnvironment(config: Config, socket: string | undefined): Record<string, string> {
  const redis = socket === undefined ? {} : { REDIS_URL: `unix:${socket}` };
  return { ROLE: "worker", POSTPAID_CHILD: "1", DATA_DIR: resolve(config.DATA_DIR), ...redis };
}
