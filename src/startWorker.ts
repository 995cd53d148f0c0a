/* ROLE=worker, on its own or as the child of ROLE=all. */
import { join } from "node:path";
import type { Logger } from "pino";
import { openAlert } from "./alert.ts";
import { openBookingStore } from "./booking/open.ts";
import type { BookingStore } from "./booking/store.ts";
import type { Config } from "./config.ts";
import { sleep, time, within } from "./domain/time.ts";
import { type Host, hintAfterMs, openLayout, openRedis, ownDirectory, type Running } from "./host.ts";
import { openOutbox } from "./journal/outbox.ts";
import { openRollbackReader } from "./journal/reader.ts";
import { keptSecret } from "./journal/secret.ts";
import { startCatcher } from "./mail/catcher.ts";
import { createRenderer } from "./mail/render.ts";
import { createMailer } from "./mail/transport.ts";
import { socketPathOf } from "./stream/embedded.ts";
import { RedisAway } from "./stream/fault.ts";
import { startWorker, type Worker } from "./worker/worker.ts";

/** @throws ConfigError, or an Error when the folder or the catcher's port is taken */
export async function startWorkerRole(config: Config, host: Host): Promise<Running> {
  const { log } = host;
  const lock = await ownDirectory(config.DATA_DIR, "worker", log);
  const address = config.REDIS_URL ?? ({ kind: "unix", path: socketPathOf(config.DATA_DIR) } as const);
  const redis = openRedis(address, "worker", log, hintAfterMs(address, config.DATA_DIR));
  const catcher =
    config.SMTP_URL === undefined
      ? await startCatcher({ port: config.CATCHER_PORT, directory: join(config.DATA_DIR, "caught"), log })
      : undefined;
  const smtpUrl = config.SMTP_URL ?? `smtp://127.0.0.1:${catcher?.port}`;

  const layout = await openLayout(redis, config, host);
  const outbox = openOutbox(config.DATA_DIR, log);
  const store = openStore(config, log);
  const rollbacks = openRollbackReader(config.DATA_DIR, log);
  const render = createRenderer({ from: config.MAIL_FROM });
  const mailer = createMailer({ smtpUrl, from: config.MAIL_FROM, maxConnections: config.CONCURRENCY });
  let stopping = false;
  const start = async (): Promise<Worker | undefined> => {
    for (let tries = 0; !stopping; tries++) {
      try {
        return await startWorker({
          redis,
          openBlocking: () => openRedis(address, "blocking", log),
          readsPartitionsTogether: address.kind !== "cluster",
          partitions: layout.now,
          consumer: keptSecret(config.DATA_DIR, "worker.id", "worker-").slice(0, 23),
          concurrency: config.CONCURRENCY,
          leaseMs: config.LEASE_MS,
          retentionMs: config.RETENTION_MS,
          priorityOrder: config.PRIORITY_ORDER,
          policy: {
            maxRetries: config.MAX_RETRIES,
            retryDelaysMs: config.RETRY_DELAYS,
            onUnknown: config.ON_UNKNOWN,
          },
          render,
          mailer,
          booking: { store, delaysMs: config.CHECK_BACKS, maxAsks: config.BOOKING_MAX_ASKS },
          outbox,
          rollbacks,
          alert: openAlert(config, log),
          log,
          random: () => time.random(),
        });
      } catch (error) {
        if (!(error instanceof RedisAway)) throw error;
        if (tries === 0) log.error({ reason: error.message }, "worker waits for redis, nothing is sent");
        await sleep(200);
      }
    }
    return undefined;
  };
  const started = start();
  void started.then((worker) => worker && log.info({ concurrency: config.CONCURRENCY }, "worker started"));

  return {
    async stop(deadlineMs) {
      stopping = true;
      // While Redis is away it may not have started, and has nothing to stop.
      await (await within(deadlineMs, started))?.stop(deadlineMs);
      layout.stop();
      redis.disconnect();
      rollbacks.close();
      await store?.close();
      await catcher?.stop();
      lock.release();
    },
  };
}

/** Undefined: nobody is to be asked, the event is trusted. */
function openStore(config: Config, log: Logger): BookingStore | undefined {
  const timeoutMs = config.BOOKING_TIMEOUT_MS;
  const reports = {
    onDown: (reason: string) => log.error({ reason }, "booking store is away"),
    onUp: (awayMs: number) => log.warn({ awayMs }, "booking store is back"),
  };
  switch (config.BOOKING_STORE) {
    case "none":
      return undefined;
    case "sql": {
      const [url = "", query = ""] = [config.BOOKING_SQL_URL, config.BOOKING_SQL_QUERY];
      return openBookingStore({ kind: "sql", url, query, timeoutMs }, reports);
    }
    case "http": {
      const [urlTemplate = "", key = ""] = [config.BOOKING_HTTP_URL, config.BOOKING_HTTP_KEY];
      return openBookingStore({ kind: "http", urlTemplate, key, timeoutMs }, reports);
    }
  }
}
