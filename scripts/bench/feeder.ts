/* Child of the interference bench: owes mails, straight into Redis, beside the service. */
import pino from "pino";
import { connect } from "../../src/stream/connect.ts";
import { createIngress } from "../../src/stream/ingress.ts";
import { answerParent } from "./child.ts";
import { benchEvent, withInFlight } from "./measure.ts";
import { pace } from "./poster.ts";

export interface Feed {
  count: number;
  /** Undefined: as fast as it goes. */
  perSecond?: number;
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

async function feed(): Promise<void> {
  const posted = await ingress.post(benchEvent(`feed-${fed++}`));
  if (posted.kind !== "accepted") throw new Error(`not accepted: ${JSON.stringify(posted)}`);
}

answerParent<Feed>("ready", async ({ count, perSecond }) => {
  if (perSecond === undefined) await withInFlight(count, 200, feed);
  else await pace(perSecond, count / perSecond, feed);
});
