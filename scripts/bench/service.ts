/* Child of the post bench: the HTTP service, with the real ingress or with one that answers at once. */
import type { Ingress } from "../../src/domain/ingress.ts";
import { createApp } from "../../src/http/app.ts";
import { createRefusals } from "../../src/http/refusals.ts";
import { createLog } from "../../src/log.ts";
import { LogFile } from "../../src/logFile.ts";
import { createMetrics } from "../../src/metrics.ts";
import { connect } from "../../src/stream/connect.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { createFeed } from "../../src/stream/feed.ts";
import { LayoutWatch } from "../../src/stream/layoutWatch.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { createPartitions } from "../../src/stream/partitions.ts";
import { createQueues } from "../../src/stream/queues.ts";
import { openIngress } from "../../test/support/ingress.ts";
import { answerParent } from "./child.ts";

const [path = "", variant, key = ""] = process.argv.slice(2);
const address = { kind: "unix", path } as const;
const redis = connect(address, "ingress");
redis.on("error", (error) => console.error(error.message));
await redis.connect();

const log = createLog({ by: "service", level: "info", plain: false, destination: new LogFile("/dev/null") });

const instant: Ingress = {
  post: async () => ({
    kind: "accepted",
    messageId: "msg_0123456789abcdefghjkmnpqrs00",
    state: "scheduled",
    dueAt: Date.now() + 10_000,
    duplicate: false,
    durability: "written",
  }),
  commit: async () => ({ kind: "not_found" }),
  learn: async () => ({ kind: "unpaid" }),
  rollback: async () => ({ kind: "unavailable", reason: "this one keeps nothing" }),
};
const real = openIngress(redis, { delayMs: 10_000, log });

const queues = createQueues(redis, 1);
const journal = { depth: 0, bytes: 0, full: false, rejected: 0, oldestAt: undefined };
const metrics = createMetrics(queues, { groups: async () => [] }, () => journal, {
  countDelayedSyncs: async () => 0,
  writeFault: async () => undefined,
});
const app = createApp({
  ingress: metrics.counted(variant === "enqueue" ? real : instant),
  messages: createMessages(redis, 1),
  dead: createDeadLetters(redis, 1, 86_400_000),
  queues,
  partitions: createPartitions(
    redis,
    new LayoutWatch(redis, { adopts: true, wanted: 1, assumed: 1, onRefused: () => {}, log }),
  ),
  feed: createFeed(() => connect(address, "blocking"), 1),
  ready: async () => undefined,
  ingestKeys: [key],
  adminToken: "bench-admin",
  stripeSecrets: [],
  sendsTestEvents: false,
  stripe: { count: metrics.stripeEvent, isNews: async () => false, alert: () => {} },
  refusals: createRefusals(log, metrics.refused),
  log,
  now: Date.now,
  metrics: () => metrics.render(),
});
const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: app.fetch, development: false, idleTimeout: 60 });
answerParent(server.url.href, () => process.cpuUsage());
