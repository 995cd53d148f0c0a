/* Ingress, worker and relay on one Redis, in this process: what the worker's tests need of the whole. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import type { Event } from "../../src/domain/event.ts";
import type { State } from "../../src/domain/lifecycle.ts";
import { openOutbox } from "../../src/journal/outbox.ts";
import { createRenderer } from "../../src/mail/render.ts";
import { createMailer } from "../../src/mail/transport.ts";
import { connect } from "../../src/stream/connect.ts";
import { createFeed } from "../../src/stream/feed.ts";
import { createMessages } from "../../src/stream/messages.ts";
import type { RedisAddress } from "../../src/stream/redisUrl.ts";
import type { Transition } from "../../src/stream/store.ts";
import { startWorker, type Worker, type WorkerOptions } from "../../src/worker/worker.ts";
import { openIngress } from "./ingress.ts";
import { keepLines } from "./log.ts";

const FROM = "Shop <shop@example.org>";

export interface Pipeline {
  redis: Redis;
  lines: ReturnType<typeof keepLines>;
  messages: ReturnType<typeof createMessages>;
  /** Posts and returns the message's id. */
  post(event: Event): Promise<string>;
  startWorker(smtpUrl: string, options?: Partial<WorkerOptions>): Promise<Worker>;
  /** Resolves with the transition when the message enters the state. */
  entered(messageId: string, state: State, attempt?: number): Promise<Transition>;
  stop(): Promise<void>;
}

export async function startPipeline(server: { address: RedisAddress }): Promise<Pipeline> {
  const lines = keepLines();
  const redis = quiet(connect(server.address, "worker"));
  await redis.connect();
  const ingress = openIngress(redis, { durability: () => "fsynced", log: lines.log });
  const seen: Transition[] = [];
  const waiting: { wanted: (t: Transition) => boolean; resolve: (t: Transition) => void }[] = [];
  const unfollow = createFeed(() => connect(server.address, "blocking"), 1).follow("0-0", (transition) => {
    seen.push(transition);
    for (const one of waiting.filter(({ wanted }) => wanted(transition))) {
      waiting.splice(waiting.indexOf(one), 1);
      one.resolve(transition);
    }
  });
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  const workers: Worker[] = [];
  const connections: Redis[] = [redis];

  return {
    redis,
    lines,
    messages: createMessages(redis, 1),
    async post(event) {
      const posted = await ingress.post(event);
      if (posted.kind !== "accepted") throw new Error(`not accepted: ${JSON.stringify(posted)}`);
      return posted.messageId;
    },
    async startWorker(smtpUrl, options = {}) {
      const { consumer = "worker-test" } = options;
      const folder = join(directory, consumer); // each has its own, and the next one of its name has it again
      mkdirSync(folder, { recursive: true });
      const own = quiet(connect(server.address, "worker"));
      connections.push(own);
      await own.connect();
      const worker = await startWorker({
        redis: own,
        openBlocking: () => quiet(connect(server.address, "blocking")),
        readsPartitionsTogether: true,
        partitions: 1,
        consumer,
        concurrency: 4,
        leaseMs: 30_000,
        retentionMs: 86_400_000,
        booking: { store: undefined, delaysMs: [100], maxAsks: 3 },
        outbox: openOutbox(folder, lines.log),
        rollbacks: { isRolledBack: () => false, hasChangedSince: () => false },
        priorityOrder: "weighted",
        policy: { maxRetries: 3, retryDelaysMs: [1], onUnknown: "resend" },
        render: createRenderer({ from: FROM }),
        mailer: createMailer({ smtpUrl, from: FROM, maxConnections: 4 }),
        log: lines.log,
        random: () => 0,
        ...options,
      });
      workers.push(worker);
      return worker;
    },
    entered(messageId, state, attempt) {
      const wanted = (t: Transition) =>
        t.messageId === messageId && t.state === state && (attempt === undefined || t.attempt === attempt);
      const past = seen.find(wanted);
      return past ? Promise.resolve(past) : new Promise((resolve) => waiting.push({ wanted, resolve }));
    },
    async stop() {
      unfollow();
      await Promise.all(workers.map((worker) => worker.stop(0)));
      for (const connection of connections) connection.disconnect();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function quiet(redis: Redis): Redis {
  redis.on("error", () => {}); // some tests take the server away
  return redis;
}
