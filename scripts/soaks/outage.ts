/*
 * Three phases: Redis there, Redis killed with -9 for minutes while the service is killed with -9 twice a minute, Redis
 * back on its data.
 */
import { freePort } from "../../test/support/freePort.ts";
import { startRedis } from "../../test/support/redis.ts";
import { startRelay } from "../../test/support/relay.ts";
import { makeDataDir, startService } from "../../test/support/service.ts";
import { createLoad } from "./load.ts";

const [KILL_EVERY_MS, PRESENT_MS, SETTLE_MS] = [30_000, 10_000, 120_000];

/** Resolves with whether all is well. */
export async function outage(minutes: number, perSecond: number): Promise<boolean> {
  const redis = await startRedis();
  const relay = await startRelay();
  const directory = makeDataDir();
  const port = freePort();
  const launch = () =>
    startService(directory.path, {
      REDIS_URL: `unix:${redis.address.path}`,
      SMTP_URL: relay.url,
      PORT: String(port),
    });
  let service = await launch();
  let kills = 0;
  const load = createLoad(port, perSecond, relay, () => service);

  async function killNowAndThen(forMs: number): Promise<void> {
    const endAt = performance.now() + forMs;
    while (performance.now() + KILL_EVERY_MS < endAt) {
      await Bun.sleep(KILL_EVERY_MS);
      kills++;
      await service.kill();
      service = await launch();
    }
  }

  await load.run(PRESENT_MS);
  await redis.kill();
  const awayAt = performance.now();
  await Promise.all([load.run(minutes * 60_000), killNowAndThen(minutes * 60_000)]);
  await redis.start();
  const backAt = performance.now();
  console.log(`Redis was away for ${((backAt - awayAt) / 1_000).toFixed(0)} s; kill -9 of the service: ${kills}`);
  const drained = service.line(({ msg }) => msg === "journal drained").then(() => performance.now() - backAt);
  await load.run(PRESENT_MS);
  await load.finish();
  console.log(`the journal was empty ${((await drained) / 1_000).toFixed(1)} s after Redis was back`);
  const isWell = await load.check(SETTLE_MS);
  await relay.stop();
  await redis.stop();
  directory.remove();
  return isWell;
}
