import { afterEach, expect, test } from "bun:test";
import { key, tagOf } from "../../src/stream/keys.ts";
import { startJanitor } from "../../src/worker/janitor.ts";
import type { Loop } from "../../src/worker/loop.ts";
import { onRedis } from "../stream/fixture.ts";
import { eventWith } from "../support/event.ts";
import { keepLines } from "../support/log.ts";
import { until } from "../support/until.ts";

const TAG = tagOf(0);
const on = onRedis("--appendonly", "no");
let janitor: Loop | undefined;
afterEach(() => janitor?.stop());

test("one round forgets all chunks of what was posted whose messages have expired, and none after them", async () => {
  const ingress = on.ingress();
  await Promise.all(Array.from({ length: 1_600 }, (_, n) => ingress.post(eventWith(`evt_${n}`))));
  const chunks = await on.server.raw.lrange(key.posted(TAG), 0, -1);
  expect(chunks.length).toBeGreaterThan(4);
  for (const chunk of chunks.slice(0, 3)) {
    const text = (await on.server.raw.get(`${key.posted(TAG)}:${chunk}`)) ?? "";
    const ids = [...text.matchAll(/^([^|\n]+)\|/gm)].map(([, id]) => id ?? "");
    await on.server.raw.del(...ids.map((id) => key.message(TAG, id))); // as time does
  }
  janitor = startJanitor(on.redis, TAG, keepLines().log);
  const left = () => on.server.raw.lrange(key.posted(TAG), 0, -1);
  await until("three chunks are gone", async () => (await left()).length === chunks.length - 3);
  expect(await left()).toEqual(chunks.slice(3));
});
