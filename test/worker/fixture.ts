/* A real Redis for a test file, and for each of its tests a pipeline on it, and relays. */
import { afterAll, afterEach, beforeAll, beforeEach } from "bun:test";
import type { Delivery, Mail, Mailer } from "../../src/mail/mailer.ts";
import { type Pipeline, startPipeline } from "../support/pipeline.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { type FakeRelay, type RelayScript, startRelay } from "../support/relay.ts";

export interface OnPipeline {
  server: TestRedis;
  pipeline: Pipeline;
  relayWith(script?: RelayScript): Promise<FakeRelay>;
  /** Those that a message went through. */
  statesOf(messageId: string): Promise<string[]>;
}

/** A mailer without a relay. */
export function mailerThat(send: (mail: Mail) => Promise<Delivery>): Mailer {
  return { send, probe: async () => undefined, close: async () => {}, abort() {} };
}

/** @param extra arguments of redis-server */
export function onPipeline(...extra: string[]): OnPipeline {
  let relays: FakeRelay[] = [];
  const on = {
    async relayWith(script = {}) {
      const relay = await startRelay(script);
      relays.push(relay);
      return relay;
    },
    async statesOf(messageId) {
      return (await on.pipeline.messages.byId(messageId))?.timeline.map(({ state }) => state) ?? [];
    },
  } as OnPipeline;

  beforeAll(async () => {
    on.server = await startRedis(...extra);
  });
  afterAll(() => on.server.stop());
  beforeEach(async () => {
    await on.server.raw.flushall();
    on.pipeline = await startPipeline(on.server);
  });
  afterEach(async () => {
    await on.pipeline.stop();
    await Promise.all(relays.map((relay) => relay.stop()));
    relays = [];
  });
  return on;
}
