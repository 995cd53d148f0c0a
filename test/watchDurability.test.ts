import { expect, test } from "bun:test";
import { watchDurability } from "../src/watchDurability.ts";
import { onRedis } from "./stream/fixture.ts";
import { keepLines } from "./support/log.ts";
import { until } from "./support/until.ts";

const on = onRedis();

test("a reading belongs to its connection: nothing is promised from its end until the next one was read", async () => {
  const redis = await on.open("ingress", on.wire.address);
  const watch = watchDurability(redis, keepLines().log);
  expect(watch.now()).toBe("volatile");
  await watch.refresh();
  expect(watch.now()).toBe("fsynced");
  const closed = new Promise<void>((resolve) => redis.once("close", resolve));
  on.wire.cut();
  await closed;
  expect(watch.now()).toBe("volatile");
  await until("it was read again", () => watch.now() === "fsynced");
  watch.stop();
});
