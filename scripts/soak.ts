/*
 * Posts at a steady rate through three phases: Redis there, Redis killed with -9 for minutes while the service is
 * killed with -9 twice a minute, Redis back on its data. A post that got no answer is repeated with the same id, as
 * a producer does. Each twentieth event is rolled back at once. In the end each event that was not rolled back has
 * one mail and no other mail was sent, or this exits with 1.
 */
import { eventWith } from "../test/support/event.ts";
import { freePort } from "../test/support/freePort.ts";
import { startRedis } from "../test/support/redis.ts";
import { startRelay } from "../test/support/relay.ts";
import { INGEST_KEY, makeDataDir, startService } from "../test/support/service.ts";

const [minutes, perSecond] = [Number(process.argv[2] ?? 3), Number(process.argv[3] ?? 100)];
if (!(minutes > 0 && perSecond > 0)) {
  console.error("usage: scripts/soak [minutes of absence, default 3] [posts a second, default 100]");
  process.exit(2);
}
const [KILL_EVERY_MS, PRESENT_MS] = [30_000, 10_000];

const redis = await startRedis();
const relay = await startRelay();
const directory = makeDataDir();
const port = freePort();
const launch = () =>
  startService(directory.path, {
    REDIS_URL: `unix:${redis.address.path}`,
    SMTP_URL: relay.url,
    DELAY_MS: "0",
    PORT: String(port),
  });
let service = await launch();

const accepted = new Set<string>();
const cancelled = new Set<string>();
const answers = new Map<string, number>();
const timesMs: number[] = [];
let [repeated, kills, next] = [0, 0, 0];

/** The answer to a request that is repeated until there is one, within a minute. */
async function ask(path: string, body?: unknown): Promise<Record<string, string>> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const startedAt = performance.now();
    try {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${INGEST_KEY}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer = (await response.json()) as Record<string, string>;
      if (!response.ok) {
        const log = service.lines.filter(({ level }) => Number(level) >= 40).slice(-10);
        throw new Error(
          `${path}: ${response.status} ${JSON.stringify(answer)}\n${log.map((one) => JSON.stringify(one)).join("\n")}`,
        );
      }
      if (body !== undefined) timesMs.push(performance.now() - startedAt);
      return answer;
    } catch (error) {
      // The service was killed, or is starting.
      if (performance.now() > deadline || String(error).startsWith("Error: /v1")) throw error;
      repeated++;
      await Bun.sleep(50);
    }
  }
}

async function postOne(): Promise<void> {
  const n = next++;
  const posted = await ask("/v1/events", eventWith(`evt_${n}`));
  const id = posted["id"] ?? "";
  accepted.add(id);
  const word = posted["durability"] ?? "";
  answers.set(word, (answers.get(word) ?? 0) + 1);
  if (n % 20 !== 0) return;
  const { result } = await ask(`/v1/events/evt_${n}/rollback`);
  if (result === "cancelled" || (result === "journaled" && word === "journaled")) cancelled.add(id);
}

const inFlight = new Set<Promise<void>>();
async function load(forMs: number): Promise<void> {
  const startedAt = performance.now();
  for (let n = 0; performance.now() - startedAt < forMs; n++) {
    const one = postOne().finally(() => inFlight.delete(one));
    inFlight.add(one);
    await Bun.sleep(Math.max(0, startedAt + ((n + 1) * 1_000) / perSecond - performance.now()));
  }
}

async function killNowAndThen(forMs: number): Promise<void> {
  const endAt = performance.now() + forMs;
  while (performance.now() + KILL_EVERY_MS < endAt) {
    await Bun.sleep(KILL_EVERY_MS);
    kills++;
    await service.kill();
    service = await launch();
  }
}

await load(PRESENT_MS);
await redis.kill();
const awayAt = performance.now();
await Promise.all([load(minutes * 60_000), killNowAndThen(minutes * 60_000)]);
await redis.start();
const backAt = performance.now();
console.log(`Redis was away for ${((backAt - awayAt) / 1_000).toFixed(0)} s`);
const drained = service.line(({ msg }) => msg === "journal drained").then(() => performance.now() - backAt);
await load(PRESENT_MS);
await Promise.all(inFlight);
console.log(`the journal was empty ${((await drained) / 1_000).toFixed(1)} s after Redis was back`);

const wanted = new Set([...accepted].filter((id) => !cancelled.has(id)));
const mailed = new Map<string, number>();
let read = 0;
function readMails(): void {
  for (; read < relay.received.length; read++) {
    const id = /^Message-ID: <(.+)@/m.exec(String(relay.received[read]?.raw))?.[1] ?? "none";
    mailed.set(id, (mailed.get(id) ?? 0) + 1);
  }
}
const deadline = performance.now() + 120_000;
while (mailed.size < wanted.size && performance.now() < deadline) {
  await Bun.sleep(100);
  readMails();
}
await service.stop();
readMails();
const missing = [...wanted].filter((id) => !mailed.has(id));
const twice = [...mailed].filter(([, count]) => count > 1);
const unwanted = [...mailed.keys()].filter((id) => !wanted.has(id));
timesMs.sort((a, b) => a - b);
const percentile = (p: number) => (timesMs[Math.floor(timesMs.length * p)] ?? 0).toFixed(1);
console.log(`posts ${accepted.size}: ${[...answers].map(([word, count]) => `${count} ${word}`).join(", ")}`);
console.log(`a post took ${percentile(0.5)} ms at p50, ${percentile(0.99)} at p99, ${percentile(0.99999)} at most`);
console.log(`kill -9 of the service: ${kills}; requests repeated meanwhile: ${repeated}`);
console.log(`rolled back: ${cancelled.size}; mails: ${read} for ${wanted.size} events that stand`);
console.log(`missing ${missing.length}, sent twice ${twice.length}, sent for nothing ${unwanted.length}`);
if (twice.length > 0) console.log("twice:", twice.slice(0, 5));

await relay.stop();
await redis.stop();
directory.remove();
process.exit(missing.length + twice.length + unwanted.length === 0 ? 0 : 1);
