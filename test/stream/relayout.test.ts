/* The number of partitions changes while services work on it: nobody loses or doubles an event. */
import { describe, expect, test } from "bun:test";
import type { Ingress } from "../../src/domain/ingress.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { type Layout, layoutOf, parseLayout, servedBy, textOf } from "../../src/stream/layout.ts";
import { LayoutWatch } from "../../src/stream/layoutWatch.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { createPartitions } from "../../src/stream/partitions.ts";
import { createQueues } from "../../src/stream/queues.ts";
import { adoptLayout, changeLayout, readLayout } from "../../src/stream/relayout.ts";
import { take } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { openIngress } from "../support/ingress.ts";
import { keepLines } from "../support/log.ts";
import { accepted, onRedis } from "./fixture.ts";

const on = onRedis("--appendonly", "no");
const IDS = Array.from({ length: 40 }, (_, n) => `evt_${n}`);

/** A service that reads the layout when it is told to, and when Redis says that it has moved. */
async function service(
  assumed = 1,
  options = {},
): Promise<{ watch: LayoutWatch; ingress: Ingress; refused: string[] }> {
  const refused: string[] = [];
  const log = keepLines().log;
  const watch = new LayoutWatch(on.redis, {
    wanted: undefined,
    assumed,
    adopts: true,
    onRefused: (why) => refused.push(why),
    log,
    ...options,
  });
  await watch.refresh();
  const refreshLayout = (moved?: string) => watch.refresh(moved);
  const ingress = openIngress(on.redis, { partitions: watch.now, refreshLayout, delayMs: 60_000 });
  return { watch, ingress, refused };
}

/** All messages, by event: how many each has. */
async function messagesByEvent(layout: () => Layout): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  const { items } = await createMessages(on.redis, layout).list({ recipient: "an@example.com", limit: 200 });
  for (const { eventId } of items) counts.set(eventId, (counts.get(eventId) ?? 0) + 1);
  return counts;
}

describe("a layout", () => {
  test("is read back as it was written, and nothing else is one", () => {
    const layout: Layout = { version: 3, partitions: 4, earlier: [{ partitions: 8, endedAt: 17 }] };
    expect(parseLayout(textOf(layout))).toEqual(layout);
    expect([undefined, null, "", "3", "3 {}", "x {}", "3 [1]"].map(parseLayout)).toEqual(Array(7).fill(undefined));
    expect([servedBy(layout), servedBy(layoutOf(2))]).toEqual([8, 2]);
  });

  test("is made by the first who asks, and is what all others find", async () => {
    const made = await Promise.all([adoptLayout(on.redis, 4), adoptLayout(on.redis, 2), adoptLayout(on.redis, 4)]);
    expect(new Set(made.map(({ partitions }) => partitions)).size).toBe(1);
    expect(await readLayout(on.redis)).toEqual(made[0] as Layout);
  });

  test("of another number than is wanted is refused, with what to do; a later change is not", async () => {
    await adoptLayout(on.redis, 1);
    const { refused } = await service(4, { wanted: 4 });
    expect(refused).toEqual(["Redis has 1: `postpaid partitions 4` changes it while it runs"]);
    const right = await service(1, { wanted: 1 });
    await changeLayout(on.redis, 4);
    await right.watch.refresh();
    expect([right.refused, right.watch.now().partitions]).toEqual([[], 4]);
  });

  test("is not made up where Redis has messages in more partitions than are wanted", async () => {
    await Promise.all(IDS.map((id) => openIngress(on.redis, { partitions: 4 }).post(eventWith(id))));
    const { refused } = await service(1);
    expect(refused).toEqual([
      "Redis has messages of 4: start with PARTITIONS=4, then `postpaid partitions 1` changes it while it runs",
    ]);
  });

  test("that is changed twice at once ends in one of the two, and both know it", async () => {
    await adoptLayout(on.redis, 1);
    const [four, eight] = await Promise.all([changeLayout(on.redis, 4), changeLayout(on.redis, 8)]);
    expect([four.partitions, eight.partitions]).toEqual([4, 8]);
    const { partitions, earlier } = (await readLayout(on.redis)) as Layout;
    expect([4, 8]).toContain(partitions);
    expect(earlier.map((one) => one.partitions).sort()).toEqual(partitions === 4 ? [1, 8] : [1, 4]);
  });
});

describe.each([
  [1, 4],
  [4, 1],
  [3, 5],
])("from %p to %p partitions", (from, to) => {
  test("events that were posted before are found, deduplicated, committed and rolled back where they are", async () => {
    const { watch, ingress } = await service(from);
    const ids = new Map<string, string>();
    for (const id of IDS) ids.set(id, accepted(await ingress.post(eventWith(id, { hold: true }))).messageId);
    await createQueues(on.redis, watch.now).pause("low");
    await changeLayout(on.redis, to);
    // This one does not know yet: Redis says so.
    for (const id of IDS) {
      const again = accepted(await ingress.post(eventWith(id, { hold: true })));
      expect([again.messageId, again.duplicate]).toEqual([ids.get(id) as string, true]);
    }
    expect(watch.now().partitions).toBe(to);
    const messages = createMessages(on.redis, watch.now);
    for (const id of IDS) {
      expect((await messages.byEvent(id))?.id).toBe(ids.get(id) as string);
      expect((await messages.byId(ids.get(id) as string))?.eventId).toBe(id);
    }
    for (const [n, id] of IDS.entries()) {
      const answer = await (n % 2 === 0 ? ingress.commit(id) : ingress.rollback(id));
      expect([id, answer.kind]).toEqual([id, n % 2 === 0 ? "committed" : "cancelled"]);
    }
    expect((await createQueues(on.redis, watch.now).depths()).map(({ queued, paused }) => [queued, paused])).toEqual([
      [20, false],
      [0, false],
      [0, true],
    ]);
    const counts = await messagesByEvent(watch.now);
    expect([...counts.values()]).toEqual(Array(IDS.length).fill(1));
  });

  test("a decision of who does not know of the change finds its event, whichever came first", async () => {
    // Each of them learns of it with its first call.
    const slow = await Promise.all(IDS.map(() => service(from)));
    const quick = await service(from);
    await changeLayout(on.redis, to);
    await quick.watch.refresh();
    for (const [n, id] of IDS.entries()) {
      const { ingress } = slow[n] as (typeof slow)[number];
      if (n % 3 === 0) {
        expect((await ingress.rollback(id)).kind).toBe("cancelled");
        expect(accepted(await quick.ingress.post(eventWith(id))).state).toBe("cancelled");
        continue;
      }
      const { messageId } = accepted(await quick.ingress.post(eventWith(id, { hold: true })));
      const answer = await (n % 3 === 1 ? ingress.rollback(id) : ingress.commit(id));
      expect(answer).toMatchObject({ kind: n % 3 === 1 ? "cancelled" : "committed", messageId });
      const found = await createMessages(on.redis, quick.watch.now).byEvent(id);
      expect(found?.state).toBe(n % 3 === 1 ? "cancelled" : "queued");
    }
    expect([...(await messagesByEvent(quick.watch.now)).values()]).toEqual(Array(IDS.length).fill(1));
  });

  test("posts under way during the change are taken once each, by a service that is slow to learn of it, too", async () => {
    const services = [await service(from), await service(from)];
    const posts: Promise<unknown>[] = [];
    const changing = changeLayout(on.redis, to);
    for (let round = 0; round < 5; round++) {
      for (const id of IDS) for (const { ingress } of services) posts.push(ingress.post(eventWith(`${id}_${round}`)));
      await Bun.sleep(0);
    }
    await changing;
    for (const one of (await Promise.all(posts)) as never[]) accepted(one);
    const counts = await messagesByEvent(services[0]?.watch.now as () => Layout);
    expect([counts.size, Math.max(...counts.values())]).toEqual([IDS.length * 5, 1]);
  });

  test("a change that its maker did not complete is completed by the next who reads the layout", async () => {
    const { ingress } = await service(from);
    await ingress.post(eventWith("evt_before"));
    const { version } = (await readLayout(on.redis)) as Layout;
    const next = { version: version + 1, partitions: to, earlier: [{ partitions: from, endedAt: 0 }] };
    await on.server.raw.set(key.layoutNext(tagOf(0)), textOf(next)); // killed right behind the proposal
    for (let partition = Math.max(from, to) - 1; partition > 0; partition--)
      await on.server.raw.set(key.layout(tagOf(partition)), textOf(next)); // or before the last fence
    expect(accepted(await ingress.post(eventWith("evt_before"))).duplicate).toBe(true);
    accepted(await ingress.post(eventWith("evt_after")));
    const layout = await readLayout(on.redis);
    expect(layout).toEqual({ ...next, earlier: [{ partitions: from, endedAt: expect.any(Number) }] });
    expect(layout?.earlier[0]?.endedAt).toBeGreaterThan(0);
    expect(await on.server.raw.exists(key.layoutNext(tagOf(0)))).toBe(0);
  });

  test("people see what waits where", async () => {
    const { watch, ingress } = await service(from);
    for (const id of IDS) await ingress.post(eventWith(id, { hold: true }));
    const partitioning = createPartitions(on.redis, watch);
    const { partitions, items } = await partitioning.change(to);
    expect([partitions, items.length]).toEqual([to, Math.max(from, to)]);
    expect(items.map(({ draining }) => draining)).toEqual(items.map(({ number }) => number >= to));
    expect(items.reduce((sum, { held }) => sum + held, 0)).toBe(IDS.length);
    expect(await take(on.redis, tagOf(0), "a", 1, [1, 0, 0])).toEqual([]);
  });
});
