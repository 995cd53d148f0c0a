/*
 * kill -9 between the relay's 250 and its settlement. Redis is stopped for that moment, so that the settlement
 * cannot get through; what the worker knows is on its own disk by then.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { serviceOn, setUp } from "../support/surroundings.ts";
import { until } from "../support/until.ts";

const ROUNDS = 5;
const AT_ONCE = 40;

const cleanups = cleanUpAfterEach();

test(`${ROUNDS * AT_ONCE} mails whose 250 was read, their worker killed before it could settle: none is sent twice`, async () => {
  const on = await setUp(cleanups, { dot: "keep, hang" });
  const { redis, relay, directory } = on;
  const service = await serviceOn(cleanups, on, { CONCURRENCY: String(AT_ONCE), RETRY_DELAYS: "1ms" });

  for (let round = 0; round < ROUNDS; round++) {
    const posts = Array.from({ length: AT_ONCE }, (_, n) => service.post(eventWith(`evt_${round}_${n}`)));
    const replies = await Promise.all(posts.map(async (post) => (await post).json() as Promise<{ id: string }>));
    const ids = replies.map(({ id }) => id);
    await relay.until(({ received }) => received.length === (round + 1) * AT_ONCE);
    redis.signal("SIGSTOP");
    relay.closeConnections("250 2.0.0 queued");
    await until("the worker has read each 250", () => ids.every((id) => isFact(directory, id)));
    const workers = service.lines.filter(({ msg }) => msg === "worker process started");
    process.kill(Number(workers.at(-1)?.["pid"]), "SIGKILL");
    redis.signal("SIGCONT");
    const sent = async () => {
      const { states } = (await (await service.get("/v1/queues")).json()) as { states: { sent: { total: number } } };
      return states.sent.total === (round + 1) * AT_ONCE;
    };
    await until("they are settled after the restart", sent, 20_000);
  }
  expect(relay.received).toHaveLength(ROUNDS * AT_ONCE);
}, 180_000);

function isFact(directory: string, messageId: string): boolean {
  const lines = readFileSync(join(directory, "outbox.jsonl"), "utf8").split("\n");
  return lines.some((line) => line.includes(`"${messageId}","attempt":1,"reply":"250`));
}
