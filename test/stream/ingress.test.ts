/* Posts that share a script call do not share a fault. */
import { describe, expect, test } from "bun:test";
import type { Event } from "../../src/domain/event.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { eventWith } from "../support/event.ts";
import { onRedis, streams } from "./fixture.ts";

const on = onRedis();
const IDS = Array.from({ length: 60 }, (_, n) => `evt_${n}`);
const GUILTY = "evt_20";

/** The ids of the events that were rejected. */
async function rejected(events: readonly Event[]): Promise<string[]> {
  const ingress = on.ingress();
  const posted = await Promise.allSettled(events.map((event) => ingress.post(event)));
  return events.filter((_, n) => posted[n]?.status === "rejected").map(({ id }) => id);
}

describe("of posts that travel together", () => {
  test("only the one whose key holds something else is rejected, and each other one is written once", async () => {
    await on.server.raw.set(key.message(tagOf(0), messageIdOf(GUILTY, 0)), "x");
    expect(await rejected(IDS.map((id) => eventWith(id)))).toEqual([GUILTY]);
    const { entries } = await streams(on);
    const others = IDS.filter((id) => id !== GUILTY).map((id) => messageIdOf(id, 0));
    expect(entries.sort()).toEqual(others.sort());
  });

  test("only the one that cannot be planned is rejected, without a call of its own", async () => {
    const shapeless = { id: GUILTY, type: "payment.completed" } as Event;
    expect(await rejected(IDS.map((id) => (id === GUILTY ? shapeless : eventWith(id))))).toEqual([GUILTY]);
    expect((await streams(on)).entries).toHaveLength(IDS.length - 1);
  });

  test("one that cannot be planned and is alone is rejected, and stops nothing behind it", async () => {
    expect(await rejected([{ id: GUILTY, type: "payment.completed" } as Event])).toEqual([GUILTY]);
    expect(await rejected([eventWith("evt_1")])).toEqual([]);
  });
});
