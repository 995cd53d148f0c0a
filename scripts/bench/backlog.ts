import { connect } from "../../src/stream/connect.ts";
import { settle } from "../../src/stream/settle.ts";
import { take } from "../../src/stream/take.ts";
import { openIngress } from "../../test/support/ingress.ts";
import { benchEvent, benchRedis, median, quick, readInfo, report, withInFlight } from "./measure.ts";

const FEW = 1_000;
const MANY = quick ? 100_000 : 1_000_000;
const ROUNDS = 40;
const WARM_UP = 5;
const POSTS = 100;
const BATCH = 50;
const TAG = "{pp:0}";
const LATER_MS = 86_400_000;
/** Where the messages wait: in the due set, or in the stream. */
const DELAYS_MS = { scheduled: LATER_MS, queued: 0 } as const;

async function lay(waiting: number, delayMs: number) {
  const server = await benchRedis("everysec", "--auto-aof-rewrite-percentage", "0");
  const redis = connect(server.address, "worker");
  redis.on("error", (error) => console.error(error.message));
  await redis.connect();
  const ingress = openIngress(redis);
  let posted = 0;
  const post = async (delay: number) => {
    const reply = await ingress.post(benchEvent(`evt-${posted++}`, delay));
    if (reply.kind !== "accepted") throw new Error(`not accepted: ${JSON.stringify(reply)}`);
  };
  const takeAndSettle = async () => {
    const taken = await take(redis, TAG, "bench", BATCH, [BATCH, 0, 0]);
    const claims = taken.map((one) => ({ ...one, reply: "250 2.0.0 ok" }));
    const settled = await settle({ redis, tag: TAG, consumer: "bench", retentionMs: LATER_MS }, "sent", claims);
    if (settled.filter(Boolean).length !== BATCH) throw new Error("not all of them were ours");
  };

  const memory = async () => Number(await readInfo(server.raw, "memory", "used_memory"));
  const before = await memory();
  await withInFlight(waiting, 200, () => post(delayMs));
  const bytesEach = ((await memory()) - before) / waiting;

  const postUs: number[] = [];
  const takeUs: number[] = [];
  return {
    postUs,
    takeUs,
    bytesEach,
    /** What is waiting stays as it was: as many are taken as are posted. */
    async round(): Promise<void> {
      postUs.push(await timedUs(POSTS, () => post(delayMs)));
      if (delayMs > 0) await withInFlight(POSTS, POSTS, () => post(0));
      takeUs.push((await timedUs(POSTS / BATCH, takeAndSettle)) / BATCH);
    },
    async close(): Promise<void> {
      redis.disconnect();
      await server.stop();
    },
  };
}

/** One call after the other. */
async function timedUs(count: number, call: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  for (let i = 0; i < count; i++) await call();
  return ((performance.now() - startedAt) * 1000) / count;
}

const jsonBytes = Buffer.byteLength(JSON.stringify(benchEvent("evt-123456", LATER_MS)));
const rows: (string | number)[][] = [];
const targets: { claim: string; value: number; atMost: number }[] = [];

for (const [state, delayMs] of Object.entries(DELAYS_MS)) {
  const few = await lay(FEW, delayMs);
  const many = await lay(MANY, delayMs);
  for (let i = 0; i < ROUNDS; i++) for (const backlog of [few, many]) await backlog.round();
  const of = (samples: number[]) => median(samples.slice(WARM_UP));
  const post = of(many.postUs) / of(few.postUs);
  const taking = of(many.takeUs) / of(few.takeUs);
  const memory = many.bytesEach / jsonBytes;
  rows.push([`${FEW.toLocaleString("en")} ${state}`, of(few.postUs), "", of(few.takeUs), "", "", ""]);
  const name = `${MANY.toLocaleString("en")} ${state}`;
  rows.push([name, of(many.postUs), post, of(many.takeUs), taking, many.bytesEach, memory]);
  targets.push(
    { claim: `post, ${name} against few`, value: post, atMost: 1.3 },
    { claim: `take and settle, ${name} against few`, value: taking, atMost: 1.3 },
    { claim: `memory of a ${state} message, times its event's JSON`, value: memory, atMost: 3 },
  );
  await Promise.all([few.close(), many.close()]);
}

const redis = await benchRedis();
await report(redis.raw, {
  title: "A large backlog",
  method: `${ROUNDS} rounds in turn of ${POSTS} posts one by one and of ${POSTS} messages taken and settled in batches of ${BATCH}; medians. The event has ${jsonBytes} bytes of JSON.`,
  header: ["waiting", "post, µs", "ratio", "take + settle, µs each", "ratio", "bytes each", "times the JSON"],
  rows,
  targets,
});
await redis.stop();
