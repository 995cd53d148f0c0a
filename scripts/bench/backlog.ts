/*
 * With a million messages waiting, a post and a take cost what they cost with a thousand: two servers, one
 * with each backlog, asked in turn. And what a waiting message takes in memory.
 */
import pino from "pino";
import { startRedis, type TestRedis } from "../../test/support/redis.ts";
import type { Ingress } from "../../src/domain/ingress.ts";
import { connect } from "../../src/stream/connect.ts";
import { createIngress } from "../../src/stream/ingress.ts";
import { sent } from "../../src/stream/settle.ts";
import { take } from "../../src/stream/take.ts";
import { benchEvent, median, quick, readInfo, report, settleRedis, withInFlight } from "./measure.ts";

const FEW = 1_000;
const MANY = quick ? 100_000 : 1_000_000;
const ROUNDS = 30;
const POSTS = 100;
const BATCH = 50;
const TAG = "{pp:0}";
const LATER_MS = 86_400_000;
const SHAPES = { scheduled: LATER_MS, queued: 0 } as const;
type Shape = keyof typeof SHAPES;

class Backlog {
  readonly postUs: number[] = [];
  readonly takeUs: number[] = [];
  bytesEach = Number.NaN;
  private posted = 0;

  private constructor(
    readonly server: TestRedis,
    private readonly redis: ReturnType<typeof connect>,
    private readonly ingress: Ingress,
    private readonly shape: Shape,
  ) {}

  static async open(shape: Shape, waiting: number): Promise<Backlog> {
    const server = await startRedis("--appendfsync", "everysec");
    const redis = connect(server.address, "worker");
    redis.on("error", (error) => console.error(error.message));
    await redis.connect();
    const ingress = createIngress(redis, {
      partitions: 1,
      delayMs: 0,
      dedupTtlMs: LATER_MS, retentionMs: 86_400_000, firstCheckMs: 10_000,
      maxBacklog: 5_000_000,
      durability: () => "written",
      log: pino({ level: "silent" }),
    });
    const backlog = new Backlog(server, redis, ingress, shape);
    const before = Number(await readInfo(server.raw, "memory", "used_memory"));
    await withInFlight(waiting, 200, () => backlog.post(SHAPES[shape]));
    await settleRedis(server.raw);
    backlog.bytesEach = (Number(await readInfo(server.raw, "memory", "used_memory")) - before) / waiting;
    return backlog;
  }

  private async post(delayMs: number): Promise<void> {
    const posted = await this.ingress.post(benchEvent(`evt-${this.posted++}`, delayMs));
    if (posted.kind !== "accepted") throw new Error(`not accepted: ${JSON.stringify(posted)}`);
  }

  /** Leaves as many waiting as there were, give or take a round. */
  async round(keep: boolean): Promise<void> {
    const startedAt = performance.now();
    for (let i = 0; i < POSTS; i++) await this.post(SHAPES[this.shape]);
    const postUs = ((performance.now() - startedAt) * 1000) / POSTS;
    if (SHAPES[this.shape] > 0) for (let i = 0; i < POSTS; i++) await this.post(0);
    let takeMs = 0;
    for (let i = 0; i < POSTS; i += BATCH) {
      const takenAt = performance.now();
      const taken = await take(this.redis, TAG, "bench", BATCH, [BATCH, 0, 0]);
      const settled = await sent(this.redis, TAG, "bench", LATER_MS, taken.map((one) => ({ ...one, reply: "250 ok" })));
      takeMs += performance.now() - takenAt;
      if (settled.filter(Boolean).length !== BATCH) throw new Error("not all were ours");
    }
    if (!keep) return;
    this.postUs.push(postUs);
    this.takeUs.push((takeMs * 1000) / POSTS);
  }

  async close(): Promise<void> {
    this.redis.disconnect();
    await this.server.stop();
  }
}

const jsonBytes = Buffer.byteLength(JSON.stringify(benchEvent("evt-123456", LATER_MS)));
const rows: (string | number)[][] = [];
const targets: { claim: string; value: number; atMost: number }[] = [];

for (const shape of Object.keys(SHAPES) as Shape[]) {
  const few = await Backlog.open(shape, FEW);
  const many = await Backlog.open(shape, MANY);
  for (let i = 0; i < ROUNDS; i++) for (const backlog of [few, many]) await backlog.round(i >= 3);
  const post = median(many.postUs) / median(few.postUs);
  const taking = median(many.takeUs) / median(few.takeUs);
  const memory = many.bytesEach / jsonBytes;
  rows.push([`${FEW.toLocaleString("en")} ${shape}`, median(few.postUs), "", median(few.takeUs), "", "", ""]);
  rows.push([`${MANY.toLocaleString("en")} ${shape}`, median(many.postUs), post, median(many.takeUs), taking, many.bytesEach, memory]);
  targets.push(
    { claim: `post, ${shape}`, value: post, atMost: 1.3 },
    { claim: `take and settle, ${shape}`, value: taking, atMost: 1.3 },
    { claim: `memory of a ${shape} message, times its event's JSON`, value: memory, atMost: 3 },
  );
  await Promise.all([few.close(), many.close()]);
}

const redis = await startRedis();
await report(redis.raw, {
  title: "A large backlog",
  method: `${ROUNDS} rounds in turn of ${POSTS} posts one by one and of ${POSTS} messages taken and settled in batches of ${BATCH}; medians. The event has ${jsonBytes} bytes of JSON.`,
  header: ["waiting", "post, µs", "ratio", "take + settle, µs each", "ratio", "bytes each", "times the JSON"],
  rows,
  targets,
});
await redis.stop();
