/* Who does not know the layout yet, and a Redis that has lost it, or came back older. */
import { describe, expect, test } from "bun:test";
import { key, tagOf } from "../../src/stream/keys.ts";
import type { Layout } from "../../src/stream/layout.ts";
import { LayoutWatch } from "../../src/stream/layoutWatch.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { adoptLayout, changeLayout, readLayout } from "../../src/stream/relayout.ts";
import { eventWith } from "../support/event.ts";
import { openIngress } from "../support/ingress.ts";
import { keepLines } from "../support/log.ts";
import { accepted, onRedis } from "./fixture.ts";

const on = onRedis("--appendonly", "no");
const IDS = Array.from({ length: 40 }, (_, n) => `evt_${n}`);

function service(options = {}) {
  const refused: string[] = [];
  const lines = keepLines();
  const watch = new LayoutWatch(on.redis, {
    wanted: undefined,
    assumed: 1,
    adopts: true,
    onRefused: (why) => refused.push(why),
    log: lines.log,
    ...options,
  });
  const ingress = openIngress(on.redis, {
    partitions: watch.now,
    refreshLayout: (tag?: string) => watch.refresh(tag),
    delayMs: 60_000,
  });
  return { watch, ingress, refused, lines };
}

async function expectFound(layout: () => Layout, ids: ReadonlyMap<string, string>): Promise<void> {
  const messages = createMessages(on.redis, layout);
  for (const [eventId, id] of ids) {
    expect([(await messages.byEvent(eventId))?.id, (await messages.byId(id))?.eventId]).toEqual([id, eventId]);
  }
}

describe("a service that has not read the layout", () => {
  test("takes no post by the number that it assumed: it reads the layout first", async () => {
    await adoptLayout(on.redis, 4);
    const { watch, ingress } = service();
    const ids = new Map<string, string>();
    for (const id of IDS) ids.set(id, accepted(await ingress.post(eventWith(id))).messageId);
    expect(watch.now().partitions).toBe(4);
    await expectFound(watch.now, ids);
  });

  test("decides nothing by it either", async () => {
    const knowing = service();
    await adoptLayout(on.redis, 4);
    await knowing.watch.refresh();
    for (const id of IDS) await knowing.ingress.post(eventWith(id, { hold: true }));
    for (const [n, id] of IDS.entries()) {
      const { ingress } = service();
      if (n % 2 === 0) expect((await ingress.commit(id)).kind).toBe("committed");
      else expect((await ingress.rollback(id)).kind).toBe("cancelled");
    }
  });

  test("and was meant for another number posts nothing at all", async () => {
    await adoptLayout(on.redis, 4);
    const { ingress, refused } = service({ wanted: 2 });
    expect((await ingress.post(eventWith("evt_1"))).kind).toBe("unavailable");
    expect(refused).toHaveLength(1);
    expect(await createMessages(on.redis, 4).byEvent("evt_1")).toBeUndefined();
  });

  test("writes one into an empty Redis before its first post; a worker that was given no number leaves that to others", async () => {
    const worker = service({ adopts: false });
    await worker.watch.refresh();
    expect(await readLayout(on.redis)).toBeUndefined();
    const { ingress, watch } = service({ wanted: 4 });
    accepted(await ingress.post(eventWith("evt_1")));
    await worker.watch.refresh();
    expect([watch.now().partitions, worker.watch.now().partitions]).toEqual([4, 4]);
  });
});

describe("a Redis", () => {
  test("that has lost the layout and nothing else is given it again, with the earlier numbers", async () => {
    const { watch, ingress, lines, refused } = service();
    await watch.refresh();
    const ids = new Map<string, string>();
    for (const id of IDS) ids.set(id, accepted(await ingress.post(eventWith(id))).messageId);
    await changeLayout(on.redis, 4);
    await watch.refresh();
    await on.server.raw.del([0, 1, 2, 3].map((partition) => key.layout(tagOf(partition))));
    await watch.refresh();
    expect(refused).toEqual([]);
    expect(lines.lines.some(({ msg }) => msg === "redis has lost the number of partitions, it is written again")).toBe(
      true,
    );
    await expectFound(watch.now, ids);
    for (const id of IDS) expect(accepted(await ingress.post(eventWith(id))).duplicate).toBe(true);
  });

  test("that came back from before a change goes on with the number that is in use, and finds what it had", async () => {
    const { watch, ingress } = service();
    await watch.refresh();
    const ids = new Map<string, string>();
    for (const id of IDS) ids.set(id, accepted(await ingress.post(eventWith(id))).messageId);
    const before = await on.server.raw.get(key.layout(tagOf(0)));
    await changeLayout(on.redis, 4);
    await watch.refresh();
    for (const partition of [1, 2, 3]) await on.server.raw.del(key.layout(tagOf(partition)));
    await on.server.raw.set(key.layout(tagOf(0)), before ?? "");
    await watch.refresh();
    expect(watch.now().partitions).toBe(4);
    expect(watch.now().earlier.map(({ partitions }) => partitions)).toEqual([1]);
    await expectFound(watch.now, ids);
    // One that starts now sees the same.
    const later = service({ wanted: 4 });
    await later.watch.refresh();
    expect(later.refused).toEqual([]);
  });

  test("whose first partition alone came back older is mended by what the others' fences say, by who never saw it", async () => {
    await adoptLayout(on.redis, 4);
    const before = await on.server.raw.get(key.layout(tagOf(0)));
    await changeLayout(on.redis, 3);
    await on.server.raw.set(key.layout(tagOf(0)), before ?? "");
    const { watch, ingress } = service();
    await watch.refresh();
    for (const id of IDS) accepted(await ingress.post(eventWith(id)));
    expect([watch.now().partitions, (await readLayout(on.redis))?.partitions]).toEqual([3, 3]);
  });

  test("whose first partition alone lost it is mended at the start", async () => {
    await adoptLayout(on.redis, 1);
    await changeLayout(on.redis, 4);
    await on.server.raw.del(key.layout(tagOf(0)));
    const { watch, refused } = service();
    await watch.refresh();
    expect([refused, watch.now().partitions, watch.now().earlier.length]).toEqual([[], 4, 1]);
  });

  test("that has something else in the layout's place stops no service that runs", async () => {
    const { watch, ingress, refused, lines } = service();
    await watch.refresh();
    accepted(await ingress.post(eventWith("evt_1")));
    await on.server.raw.del(key.layout(tagOf(0)));
    await on.server.raw.hset(key.layout(tagOf(0)), { a: "hash" });
    await watch.refresh();
    await watch.refresh();
    expect(refused).toEqual([]);
    expect(lines.lines.filter(({ msg }) => msg === "the number of partitions cannot be read")).toHaveLength(1);
  });
});

describe("messages from before there was a layout", () => {
  const postBy = async (partitions: number) => {
    for (const id of IDS) await openIngress(on.redis, { partitions }).post(eventWith(id));
  };

  test.each([
    [1, 4],
    [2, 4],
    [4, 5],
    [4, 1],
  ])("of %p partitions are not taken for those of %p", async (were, wanted) => {
    await postBy(were);
    const { watch, refused } = service({ wanted });
    await watch.refresh();
    expect(refused).toHaveLength(1);
    expect(refused[0]).toContain(`PARTITIONS=${were}`);
    expect(refused[0]).toContain(`postpaid partitions ${wanted}`);
    expect(await readLayout(on.redis)).toBeUndefined();
  });

  test.each([1, 2, 4])("of %p partitions are taken over under that number", async (were) => {
    await postBy(were);
    const { watch, refused } = service({ wanted: were });
    await watch.refresh();
    expect([refused, (await readLayout(on.redis))?.partitions]).toEqual([[], were]);
  });
});
