/* From the POST to the whole mail at the relay, without a delay, 10 a second: one clock on one machine. */
import { benchEvent, percentile, quick, report } from "./measure.ts";
import { pace } from "./poster.ts";
import { startWhole } from "./whole.ts";

const SECONDS = quick ? 5 : 20;
const PER_SECOND = 10;

const whole = await startWhole("arrivals");
try {
  const posts = await pace(PER_SECOND, SECONDS, async (i) => {
    const event = benchEvent(`evt-${i}`, 0);
    const postedAt = performance.timeOrigin + performance.now();
    return { postedAt, ...(await whole.poster.post(event)) };
  });
  await Bun.sleep(500);
  const arrivals: Record<string, number> = await whole.sink.ask("arrivals");
  const ms = posts.map(({ messageId, postedAt }) => (arrivals[messageId] ?? Number.NaN) - postedAt);
  if (ms.some(Number.isNaN)) throw new Error("a mail is missing");
  const replies = posts.map((post) => post.ms);
  await report(whole.redis.raw, {
    title: "From the POST to the mail",
    method: `${PER_SECOND} a second for ${SECONDS} s, the service with ROLE=all, appendfsync everysec, delay 0.`,
    header: ["", "p50, ms", "p99, ms"],
    rows: [
      ["until the 202", percentile(replies, 0.5), percentile(replies, 0.99)],
      ["until the relay has the whole mail", percentile(ms, 0.5), percentile(ms, 0.99)],
    ],
    targets: [],
  });
} finally {
  await whole.stop();
}
