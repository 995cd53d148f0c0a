/* An earlier number of partitions is remembered for as long as somebody may need it, and no longer. */
import { expect, test } from "bun:test";
import { forgetEarlier } from "../../src/stream/forget.ts";
import { key, partitionOf, tagOf } from "../../src/stream/keys.ts";
import { type Layout, servedBy } from "../../src/stream/layout.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { createQueues } from "../../src/stream/queues.ts";
import { adoptLayout, changeLayout, readLayout } from "../../src/stream/relayout.ts";
import { settle } from "../../src/stream/settle.ts";
import { eventWith } from "../support/event.ts";
import { openIngress } from "../support/ingress.ts";
import { captureNotice, sessionNotice } from "../support/notice.ts";
import { until } from "../support/until.ts";
import { accepted, onRedis, owner, takeAll } from "./fixture.ts";

const on = onRedis("--appendonly", "no");
const IDS = Array.from({ length: 40 }, (_, n) => `evt_${n}`);
const DAY_MS = 86_400_000;

/** The earlier number ended so long ago. */
async function endedAgo(ms: number): Promise<Layout> {
  const layout = (await readLayout(on.redis)) as Layout;
  const text = `${layout.version} ${JSON.stringify({
    partitions: layout.partitions,
    earlier: layout.earlier.map((one) => ({ ...one, endedAt: one.endedAt - ms })),
  })}`;
  await on.server.raw.set(key.layout(tagOf(0)), text);
  return (await readLayout(on.redis)) as Layout;
}

async function remembered(): Promise<number[]> {
  return ((await readLayout(on.redis)) as Layout).earlier.map(({ partitions }) => partitions);
}

const posting = (layout: Layout, retentionMs = DAY_MS) =>
  openIngress(on.redis, { partitions: () => layout, delayMs: 0, retentionMs, dedupTtlMs: retentionMs });

test.each([
  [1, 4],
  [4, 1],
  [3, 5],
])(
  "of %p partitions, now %p: while a message of that time is kept it is found, and then the number is forgotten",
  async (from, to) => {
    const before = await adoptLayout(on.redis, from);
    for (const id of IDS) accepted(await posting(before).post(eventWith(id)));
    await changeLayout(on.redis, to);
    let layout = await endedAgo(2 * DAY_MS);
    expect(await forgetEarlier(on.redis, layout, DAY_MS)).toEqual([]);
    for (let partition = 0; partition < from; partition++) {
      const taken = await takeEach(tagOf(partition));
      await settle(
        owner(on.redis, tagOf(partition), "a", 50),
        "sent",
        taken.map((one) => ({ ...one, reply: "250 ok" })),
      );
    }
    await until(
      "all have expired",
      async () => (await createMessages(on.redis, () => layout).byEvent("evt_7")) === undefined,
    );
    await until("they are forgotten", async () => (await forgetEarlier(on.redis, layout, DAY_MS)).length === 1);
    expect(await remembered()).toEqual([]);
    layout = (await readLayout(on.redis)) as Layout;
    expect(servedBy(layout)).toBe(to);
    // What they were counted as is not lost with their partitions.
    expect((await createQueues(on.redis, () => layout).counts()).sent.total).toBe(IDS.length);
  },
);

async function takeEach(tag: string) {
  const all = [];
  for (let some = await takeAll(on.redis, "a", tag); some.length > 0; some = await takeAll(on.redis, "a", tag))
    all.push(...some);
  return all;
}

test("a dead or held message keeps it, and so does a retention that is not over; a message that the present number finds does not", async () => {
  await adoptLayout(on.redis, 1);
  const home = (id: string) => partitionOf(id, 4);
  await changeLayout(on.redis, 4);
  expect(await forgetEarlier(on.redis, (await readLayout(on.redis)) as Layout, DAY_MS)).toEqual([]);
  const layout = await endedAgo(2 * DAY_MS);
  // As if posted before the change, one that stays in its place and one that does not.
  const unfenced = openIngress(on.redis, { partitions: 1, delayMs: 0 });
  const stray = IDS.find((id) => home(id) !== 0) as string;
  const settled = IDS.find((id) => home(id) === 0) as string;
  accepted(await unfenced.post(eventWith(settled, { hold: true })));
  accepted(await unfenced.post(eventWith(stray, { hold: true })));
  expect(await forgetEarlier(on.redis, layout, DAY_MS)).toEqual([]);
  expect((await unfenced.rollback(stray)).kind).toBe("cancelled");
  expect(await forgetEarlier(on.redis, layout, DAY_MS)).toEqual([]); // who posts it again is to get no mail
  const { messageId } = (await unfenced.rollback(stray)) as { messageId: string };
  await on.server.raw.del(key.message(tagOf(0), messageId));
  expect(await forgetEarlier(on.redis, layout, DAY_MS)).toEqual([1]);
});

test("a payment that its session told of, and that nobody has paid yet, keeps it for 60 days", async () => {
  const before = await adoptLayout(on.redis, 1);
  const ids = ["pi_1", "pi_2", "pi_3", "pi_4"];
  for (const id of ids) expect(await posting(before).learn(sessionNotice(id))).toEqual({ kind: "unpaid" });
  await changeLayout(on.redis, 4);
  const layout = await endedAgo(59 * DAY_MS);
  expect(await forgetEarlier(on.redis, layout, DAY_MS)).toEqual([]);
  for (const id of ids)
    expect(await posting(layout).learn(captureNotice(id))).toMatchObject({
      event: { data: { booking: { id: `BK ${id}` } } },
    });
  for (const { messageId } of await takeEach(tagOf(0))) await on.server.raw.del(key.message(tagOf(0), messageId));
  expect(await forgetEarlier(on.redis, layout, DAY_MS)).toEqual([]);
  expect(await forgetEarlier(on.redis, await endedAgo(2 * DAY_MS), DAY_MS)).toEqual([1]);
});

test("a service that still knows the number is told that it is forgotten", async () => {
  await adoptLayout(on.redis, 1);
  await changeLayout(on.redis, 4);
  const layout = await endedAgo(2 * DAY_MS);
  let now = layout;
  const ingress = openIngress(on.redis, {
    partitions: () => now,
    refreshLayout: async () => {
      now = (await readLayout(on.redis)) as Layout;
    },
    delayMs: DAY_MS,
  });
  expect(await forgetEarlier(on.redis, layout, DAY_MS)).toEqual([1]);
  for (const id of IDS) accepted(await ingress.post(eventWith(id)));
  expect([now.version, now.earlier.length]).toEqual([layout.version + 1, 0]);
  for (const id of IDS) expect(await createMessages(on.redis, () => now).byEvent(id)).toBeDefined();
});

test("a change that comes meanwhile is not undone", async () => {
  await adoptLayout(on.redis, 1);
  await changeLayout(on.redis, 4);
  const layout = await endedAgo(2 * DAY_MS);
  await changeLayout(on.redis, 2);
  expect(await forgetEarlier(on.redis, layout, DAY_MS)).toEqual([]);
  expect(await remembered()).toEqual([4, 1]);
});
