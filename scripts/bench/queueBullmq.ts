/*
 * Child of the queue bench: BullMQ, doing the same job with its own means for dedup, retries, priority and retention.
 * The second argument `plain` leaves the priority out: what it costs BullMQ.
 */
import { type JobsOptions, Queue, Worker } from "bullmq";
import type { Event } from "../../src/domain/event.ts";
import { answerJobs, IN_FLIGHT } from "./queueJob.ts";

const [, , path = "", variant] = process.argv;
const connection = { path, maxRetriesPerRequest: null };
const queue = new Queue<Event>("mail", { connection });
await queue.waitUntilReady();

const optionsOf = (event: Event): JobsOptions => ({
  jobId: event.id,
  attempts: 11,
  ...(variant === "plain" ? {} : { priority: 1 }), // critical
  backoff: { type: "exponential", delay: 30_000 },
  removeOnComplete: { age: 7 * 86_400 },
});

answerJobs({
  add: (event) => queue.add(event.type, event, optionsOf(event)),
  addBulk: (events) =>
    queue.addBulk(events.map((event) => ({ name: event.type, data: event, opts: optionsOf(event) }))),
  async drain(count) {
    let completed = 0;
    const all = Promise.withResolvers<void>();
    const worker = new Worker<Event>("mail", async () => "250 2.0.0 queued", { connection, concurrency: IN_FLIGHT });
    worker.on("completed", () => {
      if (++completed === count) all.resolve();
    });
    await all.promise;
    return () => worker.close();
  },
});
