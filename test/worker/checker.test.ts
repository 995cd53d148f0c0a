/* Held events that nobody decided, on a real Redis: who decides them, and what their timeline says of it. */
import { expect, test } from "bun:test";
import type { BookingStatus } from "../../src/booking/store.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { eventWith } from "../support/event.ts";
import { until } from "../support/until.ts";
import { onPipeline } from "./fixture.ts";

const on = onPipeline("--appendonly", "no");
const HELD = key.held(tagOf(0));

async function held(status: BookingStatus | undefined, isRolledBack = false, names = true): Promise<string> {
  const store = status && { statusOf: async () => status, close: async () => {} };
  const relay = await on.relayWith();
  await on.pipeline.startWorker(relay.url, {
    booking: { store, delaysMs: [10, 10], maxAsks: 3 },
    rollbacks: { isRolledBack: () => isRolledBack, hasChangedSince: () => false },
  });
  const event = eventWith("evt_1", { hold: true });
  if (!names) event.data.booking = {};
  const id = await on.pipeline.post(event);
  await on.server.raw.zadd(HELD, "XX", 1, id); // its first check-back is due, as time would have it
  return id;
}

const timelineOf = async (id: string) =>
  (await on.pipeline.messages.byId(id))?.timeline.map(({ state, reason }) => [state, reason]);

test("whose booking is paid is queued, and says so", async () => {
  const id = await held({ kind: "paid" });
  await on.pipeline.entered(id, "sent");
  expect((await timelineOf(id))?.slice(0, 2)).toEqual([
    ["held", "posted"],
    ["queued", "the booking is paid"],
  ]);
});

test("whose booking is cancelled is cancelled, and says so", async () => {
  const id = await held({ kind: "cancelled" });
  await on.pipeline.entered(id, "cancelled");
  expect((await timelineOf(id))?.at(-1)).toEqual(["cancelled", "the booking is cancelled"]);
});

test("whose rollback waits in the journal is cancelled, and says so", async () => {
  const id = await held({ kind: "paid" }, true);
  await on.pipeline.entered(id, "cancelled");
  expect((await timelineOf(id))?.at(-1)).toEqual(["cancelled", "rolled back while Redis was away"]);
});

test.each([[undefined], [{ kind: "pending" }], [{ kind: "not_found" }]] as const)(
  "that the store cannot decide (%j) waits for a person in the end, and is told of once",
  async (status) => {
    const id = await held(status);
    const told = () =>
      on.pipeline.lines.lines.filter(({ msg }) => String(msg).startsWith("held event waits for a person"));
    await until("a person is told", () => told().length > 0);
    expect((await timelineOf(id))?.map(([state]) => state)).toEqual(["held"]);
    expect(await on.server.raw.zscore(HELD, id)).toBe("inf");
    expect(told()).toHaveLength(1);
  },
);

test("that names no booking waits for a person, as nobody can be asked about it", async () => {
  const id = await held({ kind: "paid" }, false, false);
  await until("a person is told", () => on.pipeline.lines.lines.some(({ status }) => status === "nobody to ask"));
  expect((await timelineOf(id))?.map(([state]) => state)).toEqual(["held"]);
});

test("is asked for again and again while its store is away, and nobody is told", async () => {
  const id = await held({ kind: "unavailable", reason: "connection refused" });
  const asked = () => on.pipeline.lines.lines.filter(({ msg }) => String(msg).startsWith("message still held"));
  await until("it was asked more often than there are check-backs", () => asked().length > 3);
  expect((await on.pipeline.messages.byId(id))?.state).toBe("held");
  expect(Number(await on.server.raw.zscore(HELD, id))).toBeLessThan(Number.POSITIVE_INFINITY);
});
