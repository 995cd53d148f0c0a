/*
 * A master with replicas and a sentinel: the master is replaced again and again under load, as planned by the sentinel's
 * own command or after kill -9, and comes back as a replica each time.
 */
import { freePort } from "../../test/support/freePort.ts";
import { startSentinelGroup } from "../../test/support/group.ts";
import { startRelay } from "../../test/support/relay.ts";
import { makeDataDir, startService } from "../../test/support/service.ts";
import { until } from "../../test/support/until.ts";
import { createLoad } from "./load.ts";

/** The load before and after each failover; what waits for a lease that ended has its mail before the end, too. */
const [BETWEEN_MS, LEASE_MS, SETTLE_MS] = [2_000, 5_000, 60_000];

export interface FailoverOptions {
  failovers: number;
  perSecond: number;
  replicas: number;
  minReplicas: number;
  /** kill -9 of the master, in place of a planned failover. */
  kill: boolean;
}

/** Resolves with whether all is well. */
export async function failover(options: FailoverOptions): Promise<boolean> {
  const group = await startSentinelGroup(options.replicas);
  const relay = await startRelay();
  const directory = makeDataDir();
  const port = freePort();
  const service = await startService(directory.path, {
    REDIS_URL: group.url,
    MIN_REPLICAS: String(options.minReplicas),
    SMTP_URL: relay.url,
    LEASE_MS: String(LEASE_MS),
    PORT: String(port),
  });
  const load = createLoad(port, options.perSecond, relay, () => service);

  async function replaceMaster(): Promise<void> {
    if (!options.kill) return void (await group.failOver());
    const before = await group.master();
    await before.kill();
    await until("another node is master", () => group.master().catch(() => undefined), SETTLE_MS);
    await before.start();
  }

  let over = false;
  const posting = (async () => {
    while (!over) await load.run(500);
  })();
  for (let n = 0; n < options.failovers; n++) {
    await Bun.sleep(BETWEEN_MS);
    const startedAt = performance.now();
    await replaceMaster();
    await group.settled();
    console.log(`failover ${n + 1} took ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
  }
  await Bun.sleep(BETWEEN_MS);
  over = true;
  await posting;
  await load.finish();
  // What a failover made look unsent is sent again when its lease has ended: a second mail comes after that.
  await Bun.sleep(2 * LEASE_MS);
  const isWell = await load.check(SETTLE_MS);
  await relay.stop();
  await group.stop();
  directory.remove();
  return isWell;
}
