/* Child of the interference bench: owes mails, straight into Redis, beside the service. */
import { connect } from "../../src/stream/connect.ts";
import { openIngress } from "../../test/support/ingress.ts";
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
const ingress = openIngress(redis);

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
