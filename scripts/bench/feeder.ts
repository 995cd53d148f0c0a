/* Child of the interference bench: owes mails, straight into Redis, beside the service. */
import pino from "pino";
import { connect } from "../../src/stream/connect.ts";
import { createIngress } from "../../src/stream/ingress.ts";
import { answerParent } from "./child.ts";
import { benchEvent, withInFlight } from "./measure.ts";

export interface Feed {
  count: number;
  /** When they are due: the first one `afterMs` from now, the others at this pace. Undefined: at once. */
  due?: { afterMs: number; perSecond: number };
}

const redis = connect({ kind: "unix", path: process.argv[2] ?? "" }, "ingress");
redis.on("error", (error) => console.error(error.message));
await redis.connect();
const ingress = createIngress(redis, {
  partitions: 1,
  delayMs: 0,
  dedupTtlMs: 86_400_000,
  retentionMs: 86_400_000,
  firstCheckMs: 10_000,
  maxBacklog: 5_000_000,
  durability: () => "written",
  log: pino({ level: "silent" }),
});

let fed = 0;

answerParent<Feed>("ready", async ({ count, due }) => {
  const startedAt = performance.now();
  await withInFlight(count, 200, async (i) => {
    const dueMs = due === undefined ? 0 : due.afterMs + (i * 1000) / due.perSecond;
    const delayMs = Math.max(0, Math.round(startedAt + dueMs - performance.now()));
    const posted = await ingress.post(benchEvent(`feed-${fed++}`, delayMs));
    if (posted.kind !== "accepted") throw new Error(`not accepted: ${JSON.stringify(posted)}`);
  });
});
