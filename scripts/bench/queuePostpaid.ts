/*
 * Child of the queue bench: our ingress and worker, all states, timeline and fences, with a mailer that does nothing.
 * Without a log, as BullMQ is.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Event } from "../../src/domain/event.ts";
import { openOutbox } from "../../src/journal/outbox.ts";
import { createLog } from "../../src/log.ts";
import { LogFile } from "../../src/logFile.ts";
import { connect } from "../../src/stream/connect.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { startWorker } from "../../src/worker/worker.ts";
import { openIngress } from "../../test/support/ingress.ts";
import { answerJobs, IN_FLIGHT } from "./queueJob.ts";

const address = { kind: "unix", path: process.argv[2] ?? "" } as const;
const [producer, consumer] = [connect(address, "ingress"), connect(address, "worker")];
for (const redis of [producer, consumer]) redis.on("error", (error) => console.error(error.message));
await Promise.all([producer.connect(), consumer.connect()]);
const directory = mkdtempSync(join(tmpdir(), "pp-bench-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const log = createLog({ by: "worker", level: "warn", plain: false, destination: new LogFile("/dev/null") });
const ingress = openIngress(producer, { log });
const MAIL = {
  messageIdHeader: "m",
  to: { address: "an@example.com" },
  subject: "s",
  text: "t",
  html: "h",
  language: "en",
};

async function add(event: Event): Promise<void> {
  const posted = await ingress.post(event);
  if (posted.kind !== "accepted" || posted.duplicate) throw new Error(`not accepted: ${JSON.stringify(posted)}`);
}

answerJobs({
  add,
  addBulk: (events) => Promise.all(events.map(add)),
  async drain(count) {
    let sent = 0;
    const allSent = Promise.withResolvers<void>();
    const worker = await startWorker({
      redis: consumer,
      openBlocking: () => connect(address, "blocking"),
      readsPartitionsTogether: true,
      partitions: 1,
      consumer: "bench",
      concurrency: IN_FLIGHT,
      leaseMs: 30_000,
      retentionMs: 7 * 86_400_000,
      booking: { store: undefined, delaysMs: [10_000], maxAsks: 24 },
      outbox: openOutbox(directory, log),
      rollbacks: { isRolledBack: () => false, hasChangedSince: () => false },
      priorityOrder: "weighted",
      policy: { maxRetries: 10, retryDelaysMs: [30_000], onUnknown: "resend" },
      render: () => MAIL,
      mailer: {
        async send() {
          if (++sent === count) allSent.resolve();
          return { kind: "sent" as const, reply: "250 2.0.0 queued" };
        },
        probe: async () => undefined,
        close: async () => {},
        abort() {},
      },
      log,
      random: Math.random,
    });
    await allSent.promise;
    while ((await producer.xlen(key.queue(tagOf(0), 0))) > 0) await Bun.sleep(1);
    return () => worker.stop(1_000);
  },
});
