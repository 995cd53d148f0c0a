/*
 * What it costs to wait for a replica: posts without HTTP, over a master with one replica that sync each write, with
 * MIN_REPLICAS=1 and 0 in turn.
 */
import { connect } from "../../src/stream/connect.ts";
import { startGroup } from "../../test/support/group.ts";
import { openIngress } from "../../test/support/ingress.ts";
import { benchEvent, median, percentile, quick, report, withInFlight } from "./measure.ts";

const ROUNDS = quick ? 3 : 7;
const COUNT = 20_000;
const LOADS = [1, 64, 500];

const group = await startGroup(1, "--auto-aof-rewrite-percentage", "0");
process.once("exit", () => {
  for (const node of group.nodes) void node.kill(); // they do not outlive a bench that fails
});
const master = await group.master();
const redis = connect(master.address, "ingress");
redis.on("error", (error) => console.error(error.message));
await redis.connect();
let run = 0;

interface Figures {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
}

async function measure(minReplicas: number, inFlight: number): Promise<Figures> {
  await master.raw.flushall();
  const ingress = openIngress(redis, { minReplicas });
  const ms: number[] = [];
  const name = `r${run++}`;
  const count = inFlight === 1 ? COUNT / 20 : COUNT;
  const startedAt = performance.now();
  await withInFlight(count, inFlight, async (i) => {
    const postedAt = performance.now();
    const posted = await ingress.post(benchEvent(`${name}-${i}`));
    if (posted.kind !== "accepted") throw new Error(`not accepted: ${JSON.stringify(posted)}`);
    ms.push(performance.now() - postedAt);
  });
  const seconds = (performance.now() - startedAt) / 1_000;
  return { perSecond: count / seconds, p50Ms: percentile(ms, 0.5), p99Ms: percentile(ms, 0.99) };
}

const rows: (string | number)[][] = [];
for (const inFlight of LOADS) {
  const rounds: [Figures, Figures][] = [];
  for (let i = 0; i <= ROUNDS; i++) {
    const round: [Figures, Figures] = [await measure(0, inFlight), await measure(1, inFlight)];
    if (i > 0) rounds.push(round); // the first one warms up
  }
  const of = (variant: 0 | 1, figure: keyof Figures) => median(rounds.map((round) => round[variant][figure]));
  rows.push([
    `${inFlight} in flight`,
    ...[of(0, "perSecond"), of(1, "perSecond"), of(1, "perSecond") / of(0, "perSecond")],
    ...[of(0, "p50Ms"), of(1, "p50Ms"), of(0, "p99Ms"), of(1, "p99Ms")],
  ]);
}
await report(master.raw, {
  title: "Waiting for a replica",
  method: `${COUNT} posts without HTTP (a twentieth with 1 in flight), ${ROUNDS} rounds in turn, appendfsync always on both; medians.`,
  header: ["", "posts/s", "with MIN_REPLICAS=1", "ratio", "p50 ms", "with", "p99 ms", "with"],
  rows,
  targets: [],
});
redis.disconnect();
await group.stop();
