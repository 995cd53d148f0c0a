/*
 * A post over HTTP, 200 a second, while mail is sent, against the same while none is sent. Phases of both
 * take turns. The posts that are timed are due much later, so that they send no mail themselves.
 *   flat out   a backlog was laid up while the queue was paused; the busy phase is the queue resumed
 *   300/s      laid up before, too, with due times 1/300 s apart
 */
import { createQueues } from "../../src/stream/queues.ts";
import { startChild } from "./child.ts";
import type { Feed } from "./feeder.ts";
import { benchEvent, median, percentile, quick, report, settleRedis } from "./measure.ts";
import { pace } from "./poster.ts";
import { startWhole } from "./whole.ts";

const FLAT_OUT_ROUNDS = quick ? 3 : 6;
/** More, since a p99 scatters more than a p50. */
const STEADY_ROUNDS = quick ? 3 : 12;
const SECONDS = quick ? 2 : 4;
const POSTS_PER_SECOND = 200;
const MAILS_PER_SECOND = 300;
/** More than is sent in a phase. */
const BACKLOG = SECONDS * 12_000;
/** For laying up what is due at a steady pace. */
const LAY_UP_MS = 1_000;
const STEADY_MS = 300;
/** So many are sent, then it is at full speed. */
const FULL_SPEED = 1_000;
const LATER_MS = 86_400_000;

interface Phase {
  p50: number;
  p99: number;
  mailsPerSecond: number;
}

const whole = await startWhole();
const feeder = await startChild<string>("feeder.ts", whole.redis.address.path);
const feed = (order: Feed) => feeder.ask(order);
const queues = createQueues(whole.redis.raw, 1);
let posted = 0;

async function probe(seconds = SECONDS): Promise<Phase> {
  const { count } = await whole.sink.ask("count");
  const replies = await pace(POSTS_PER_SECOND, seconds, () =>
    whole.poster.post(benchEvent(`probe-${posted++}`, LATER_MS)),
  );
  const sent = (await whole.sink.ask("count")).count - count;
  const ms = replies.map((reply) => reply.ms);
  return { p50: percentile(ms, 0.5), p99: percentile(ms, 0.99), mailsPerSecond: sent / seconds };
}

async function flatOut(): Promise<[Phase, Phase]> {
  await queues.pause("critical");
  const queued = async () => (await queues.depths()).reduce((sum, depth) => sum + depth.queued, 0);
  await feed({ count: Math.max(0, BACKLOG - (await queued())) });
  await settleRedis(whole.redis.raw);
  const idle = await probe();
  const { count } = await whole.sink.ask("count");
  await queues.resume("critical");
  while ((await whole.sink.ask("count")).count < count + FULL_SPEED) await Bun.sleep(10);
  const busy = await probe();
  if ((await queued()) === 0) throw new Error("the backlog was too small");
  await queues.pause("critical");
  return [idle, busy];
}

async function drainBacklog(): Promise<void> {
  await queues.resume("critical");
  while ((await queues.depths()).some((depth) => depth.queued + depth.sending > 0)) await Bun.sleep(50);
}

async function steady(): Promise<[Phase, Phase]> {
  await settleRedis(whole.redis.raw);
  const idle = await probe();
  await settleRedis(whole.redis.raw); // as before the idle phase: what a rewrite leaves behind is in both
  const startedAt = performance.now();
  const owed = MAILS_PER_SECOND * (SECONDS + (2 * STEADY_MS) / 1000);
  const { count } = await whole.sink.ask("count");
  await feed({ count: owed, due: { afterMs: LAY_UP_MS, perSecond: MAILS_PER_SECOND } });
  await Bun.sleep(startedAt + LAY_UP_MS + STEADY_MS - performance.now());
  const busy = await probe();
  while ((await whole.sink.ask("count")).count < count + owed) await Bun.sleep(10);
  return [idle, busy];
}

async function rounds(count: number, round: () => Promise<[Phase, Phase]>): Promise<[Phase, Phase][]> {
  const results: [Phase, Phase][] = [];
  for (let i = 0; i < count; i++) results.push(await round());
  return results;
}

function rowsOf(label: string, phases: [Phase, Phase][]) {
  const of = (which: 0 | 1, figure: keyof Phase) => median(phases.map((pair) => pair[which][figure]));
  const ratios = { p50: of(1, "p50") / of(0, "p50"), p99: of(1, "p99") / of(0, "p99") };
  return {
    ratios,
    rows: [
      [`no mail, before ${label}`, of(0, "mailsPerSecond"), of(0, "p50"), "", of(0, "p99"), ""],
      [label, of(1, "mailsPerSecond"), of(1, "p50"), ratios.p50, of(1, "p99"), ratios.p99],
    ],
  };
}

try {
  await probe(1);
  await flatOut(); // warm
  const flat = rowsOf("flat out", await rounds(FLAT_OUT_ROUNDS, flatOut));
  await drainBacklog();
  const steadily = rowsOf(`${MAILS_PER_SECOND} mails/s`, await rounds(STEADY_ROUNDS, steady));
  await report(whole.redis.raw, {
    title: "A post while mail is sent",
    method: `${POSTS_PER_SECOND} posts a second, ${FLAT_OUT_ROUNDS} phases of ${SECONDS} s of each kind flat out, ${STEADY_ROUNDS} at ${MAILS_PER_SECOND} mails/s, in turn; ROLE=all, everysec; medians of the phases.`,
    header: ["", "mails/s", "p50, ms", "to idle", "p99, ms", "to idle"],
    rows: [...flat.rows, ...steadily.rows],
    targets: [
      { claim: "p50 while mail is sent flat out, against idle", value: flat.ratios.p50, atMost: 1.3 },
      { claim: `p99 at ${MAILS_PER_SECOND} mails a second, against idle`, value: steadily.ratios.p99, atMost: 1.5 },
    ],
  });
} finally {
  await feeder.stop();
  await whole.stop();
}
