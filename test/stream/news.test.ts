/* What people are told of once, whichever process finds it. */
import { expect, test } from "bun:test";
import { key, tagOf } from "../../src/stream/keys.ts";
import { createNews } from "../../src/stream/news.ts";
import { onRedis } from "./fixture.ts";

const on = onRedis();

test("a name is new once, for every process, until it was not heard of for a week", async () => {
  const [one, other] = [createNews(on.redis), createNews(on.redis)];
  expect(await one("no_address")).toBe(true);
  expect(await one("no_address")).toBe(false);
  expect(await other("no_address")).toBe(false);
  expect(await other("bad_address")).toBe(true);
  const name = key.news(tagOf(0), "no_address");
  await on.server.raw.pexpire(name, 60_000);
  expect(await other("no_address")).toBe(false);
  expect(Number(await on.server.raw.pttl(name))).toBeGreaterThan(6 * 86_400_000);
  await on.server.raw.del(name);
  expect(await one("no_address")).toBe(true);
});

test("while Redis is away this process remembers", async () => {
  const redis = await on.open("ingress");
  const isNews = createNews(redis);
  redis.disconnect();
  expect(await isNews("no_address")).toBe(true);
  expect(await isNews("no_address")).toBe(false);
});
