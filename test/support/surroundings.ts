import { startRedis, type TestRedis } from "./redis.ts";
import { type FakeRelay, type RelayScript, startRelay } from "./relay.ts";
import { makeDataDir, startService, type TestService } from "./service.ts";

export interface Surroundings {
  redis: TestRedis;
  relay: FakeRelay;
  directory: string;
  env: Record<string, string>;
}

/** What the service needs around it, for one test: its Redis, its relay and its folder. */
export async function setUp(cleanups: (() => unknown)[], script: RelayScript = {}): Promise<Surroundings> {
  const redis = await startRedis();
  const relay = await startRelay(script);
  const { path, remove } = makeDataDir();
  cleanups.push(
    remove,
    () => relay.stop(),
    () => redis.stop(),
  );
  const env = { REDIS_URL: `unix:${redis.address.path}`, SMTP_URL: relay.url, DELAY_MS: "0" };
  return { redis, relay, directory: path, env };
}

/** On the same folder each time. */
export async function serviceOn(cleanups: (() => unknown)[], on: Surroundings, more: Record<string, string> = {}) {
  const service: TestService = await startService(on.directory, { ...on.env, ...more });
  cleanups.push(() => service.stop());
  return service;
}
