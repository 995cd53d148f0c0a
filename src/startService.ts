/*
 * ROLE=all and ROLE=api: the HTTP service, over the journal, over Redis. With ROLE=all it starts the worker as a
 * child process, and redis-server too when REDIS_URL is unset.
 */
import { lookup } from "node:dns/promises";
import { resolve } from "node:path";
import { openAlert } from "./alert.ts";
import { type Config, ConfigError } from "./config.ts";
import { openCredentials } from "./credentials.ts";
import { time, within } from "./domain/time.ts";
import { type Host, hintAfterMs, openLayout, openRedis, ownDirectory, type Running } from "./host.ts";
import { createApp } from "./http/app.ts";
import { createHostCheck, type Fetch, forHosts } from "./http/hosts.ts";
import { createRefusals } from "./http/refusals.ts";
import { createFallback } from "./journal/fallback.ts";
import { Journal } from "./journal/journal.ts";
import { checkPort } from "./mail/catcher.ts";
import { createMetrics } from "./metrics.ts";
import { orJournaled } from "./orJournaled.ts";
import { createDeadLetters } from "./stream/dead.ts";
import { countDelayedSyncs, writeFault } from "./stream/durability.ts";
import { startEmbeddedRedis } from "./stream/embedded.ts";
import { createFeed } from "./stream/feed.ts";
import { createIngress } from "./stream/ingress.ts";
import { tagOf } from "./stream/keys.ts";
import { homeOf } from "./stream/layout.ts";
import { messageIdOf } from "./stream/messageId.ts";
import { createMessages } from "./stream/messages.ts";
import { createNews } from "./stream/news.ts";
import { createPartitions } from "./stream/partitions.ts";
import { createQueues } from "./stream/queues.ts";
import type { RedisAddress } from "./stream/redisUrl.ts";
import { watchDurability } from "./stream/watchDurability.ts";
import { startWorkerChild } from "./worker/child.ts";

/** As long as an orphaned worker may take. */
const CATCHER_WAIT_MS = 6_000;
/** On top of the deadline: the worker's own last settlements. */
const CHILD_GRACE_MS = 3_000;
/** A Redis that takes longer does not hold up the start: what is posted meanwhile is journaled. */
const CONNECT_WAIT_MS = 3_000;

/** @throws ConfigError, or an Error when a port or the folder is taken */
export async function startService(config: Config, host: Host): Promise<Running & { url: string }> {
  const { log } = host;
  await checkHost(config.HOST);
  const lock = await ownDirectory(config.DATA_DIR, "service", log);
  const credentials = openCredentials(config, log);
  // The worker needs it: nobody should have to find that out from its log.
  if (config.ROLE === "all" && config.SMTP_URL === undefined) await checkPort(config.CATCHER_PORT, CATCHER_WAIT_MS);
  const embedded = config.REDIS_URL === undefined ? await startEmbeddedRedis(config.DATA_DIR, log) : undefined;
  const address = embedded?.address ?? (config.REDIS_URL as RedisAddress);
  const redis = openRedis(address, "ingress", log, hintAfterMs(address, config.DATA_DIR));
  // A wait for replicas holds up what is sent behind it.
  const posting = config.MIN_REPLICAS > 0 ? openRedis(address, "ingress", log) : redis;

  const durability = watchDurability(posting, config.MIN_REPLICAS, log);
  // It goes on trying; with sentinels that are away, without an end.
  const connecting = [posting.connect().then(durability.refresh), ...(posting === redis ? [] : [redis.connect()])];
  await within(CONNECT_WAIT_MS, Promise.allSettled(connecting));

  const layout = await openLayout(redis, config, host);
  const queues = createQueues(redis, layout.now);
  const dead = createDeadLetters(redis, layout.now, config.RETENTION_MS, log);
  const metrics = createMetrics(queues, dead, () => journal.stats(), {
    countDelayedSyncs: () => countDelayedSyncs(redis),
    writeFault: () => writeFault(redis, layout.now),
  });
  const stream = createIngress(posting, {
    partitions: layout.now,
    refreshLayout: (moved) => layout.refresh(moved),
    delayMs: config.DELAY_MS,
    dedupTtlMs: config.DEDUP_TTL_MS,
    retentionMs: config.RETENTION_MS,
    firstCheckMs: config.CHECK_BACKS[0] ?? 0,
    maxBacklog: config.MAX_BACKLOG,
    durability: durability.of,
    minReplicas: config.MIN_REPLICAS,
    log,
  });
  const journal = new Journal(config.DATA_DIR, config.JOURNAL_MAX_BYTES, log);
  const ingress = createFallback({
    inner: stream,
    journal,
    messageIdOf: (eventId) => messageIdOf(eventId, homeOf(eventId, layout.now)),
    partitions: () => layout.now().partitions,
    partitionOf: (eventId) => homeOf(eventId, layout.now),
    delayMs: config.DELAY_MS,
    firstCheckMs: config.CHECK_BACKS[0] ?? 0,
    log,
    now: () => time.epochMs(),
    random: () => time.random(),
  });
  const alert = openAlert(config, log);
  const refusals = createRefusals(log, metrics.refused);
  const app = createApp({
    ingress: metrics.counted(ingress),
    messages: orJournaled(createMessages(redis, layout.now), journal),
    dead,
    queues,
    partitions: createPartitions(redis, layout),
    feed: createFeed(() => openRedis(address, "blocking", log), layout.now),
    async ready() {
      return journal.hasRoom() ? undefined : writeFault(redis, layout.now);
    },
    ...credentials,
    stripeSecrets: config.STRIPE_WEBHOOK_SECRETS ?? [],
    sendsTestEvents: config.STRIPE_TEST_EVENTS === "send" || config.SMTP_URL === undefined,
    stripe: {
      count: metrics.stripeEvent,
      isNews: createNews(redis),
      alert: (outcome) => alert?.(outcome, "stripe_event.new_kind"),
    },
    refusals,
    log,
    now: () => time.epochMs(),
    metrics: () => metrics.render(),
  });
  const isOurHost = createHostCheck(config.HOST, config.PUBLIC_HOSTS ?? []);
  const server = listen(config, forHosts(isOurHost, refusals, app.fetch as Fetch));
  const child =
    config.ROLE === "all"
      ? startWorkerChild(host.command, { ...host.env, ...childEnvironment(config, embedded?.address.path) }, log)
      : undefined;
  const now = posting.status === "ready" ? await durability.of(tagOf(0)) : "journaled";
  log.info({ url: server.url.href, role: config.ROLE, durability: now }, "service started");

  return {
    url: server.url.href,
    async stop(deadlineMs) {
      await within(Math.min(deadlineMs, 2_000), server.stop());
      await server.stop(true);
      await child?.stop(deadlineMs + CHILD_GRACE_MS);
      durability.stop();
      layout.stop();
      await ingress.stop();
      journal.close();
      redis.disconnect();
      posting.disconnect();
      await embedded?.stop();
      lock.release();
      log.info("service stopped");
    },
  };
}

function listen(config: Config, fetch: Fetch) {
  try {
    return Bun.serve({
      hostname: config.HOST,
      port: config.PORT,
      // HTTP/1.0 may come without Host, and then the URL without an origin.
      fetch: (request, server) =>
        fetch(request.url.startsWith("/") ? new Request(`http://localhost${request.url}`, request) : request, server),
      development: false,
      reusePort: false, // or a second service on this port would get a part of what is meant for the first
      idleTimeout: 60,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER, // the routes have limits of their own, and problems to say so
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EINVAL" || code === "EADDRNOTAVAIL") throw badHost(config.HOST, message);
    throw new Error(`cannot listen on HOST ${config.HOST}, PORT ${config.PORT}: ${message}`, {
      cause: error,
    });
  }
}

/** Bun.serve blames the port for a name that does not resolve. @throws ConfigError */
async function checkHost(host: string): Promise<void> {
  await lookup(host).catch((error: Error) => {
    throw badHost(host, error.message);
  });
}

function badHost(host: string, why: string): ConfigError {
  const allowed = "an address of this machine, or a host name that resolves to one";
  return new ConfigError(`HOST is ${JSON.stringify(host)}, allowed: ${allowed} (${why})`);
}

function childEnvironment(config: Config, socket: string | undefined): Record<string, string> {
  const redis = socket === undefined ? {} : { REDIS_URL: `unix:${socket}` };
  // PARTITIONS may have changed since this service compared it: the worker goes by Redis.
  return { ROLE: "worker", POSTPAID_CHILD: "1", PARTITIONS: "", DATA_DIR: resolve(config.DATA_DIR), ...redis };
}
