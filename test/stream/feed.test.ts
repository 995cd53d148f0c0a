/* Following the transitions. */
import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "../../src/stream/connect.ts";
import { createFeed } from "../../src/stream/feed.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { createMessages } from "../../src/stream/messages.ts";
import type { RedisAddress } from "../../src/stream/redisUrl.ts";
import { settle } from "../../src/stream/settle.ts";
import type { Transition } from "../../src/stream/store.ts";
import { eventWith } from "../support/event.ts";
import { until } from "../support/until.ts";
import { accepted, onRedis, owner, postAndTake, redisNow } from "./fixture.ts";

const TAG = tagOf(0);
const START = "0-0";
const on = onRedis();

const unfollow: (() => void)[] = [];
afterEach(() => {
  for (const stop of unfollow.splice(0)) stop();
});

interface Follower {
  seen: Transition[];
  stop(): void;
}

function follow(since: string | undefined, partitions = 1, address: RedisAddress = on.server.address): Follower {
  const seen: Transition[] = [];
  const stop = createFeed(() => connect(address, "blocking"), partitions).follow(since, (one) => seen.push(one));
  unfollow.push(stop);
  return { seen, stop };
}

async function post(id: string): Promise<string> {
  return until(`${id} is accepted`, async () => {
    const posted = await on.ingress().post(eventWith(id));
    return posted.kind === "accepted" ? posted.messageId : "";
  });
}

describe("a follower", () => {
  test("sees each transition as it happens, with what there is to say about it", async () => {
    const { seen } = follow(START);
    const claim = await postAndTake(on, "evt_1", "a");
    await settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason: "550 no | such user" }]);
    await until("all are seen", () => seen.length === 3);
    const { messageId } = claim;
    const common = { id: expect.stringMatching(/^\d+-\d+$/), at: expect.any(Number), messageId };
    expect(seen).toEqual([
      { ...common, state: "queued", reason: "posted" },
      { ...common, state: "sending", attempt: 1 },
      { ...common, state: "dead", attempt: 1, reason: "550 no | such user" },
    ]);
    expect(Math.abs((seen[0]?.at ?? 0) - Date.now())).toBeLessThan(10_000);
  });

  test("sees from now on where no position is given", async () => {
    await post("evt_before");
    const { seen } = follow(undefined);
    let n = 0;
    await until("it sees something", async () => {
      await post(`evt_${n++}`);
      return seen.length > 0;
    });
    const before = accepted(await on.ingress().post(eventWith("evt_before"))).messageId;
    expect(seen.map(({ messageId }) => messageId)).not.toContain(before);
  });

  test("goes on from any position, neither missing one nor seeing it twice", async () => {
    for (let i = 0; i < 20; i++) await post(`evt_${i}`);
    const all = follow(START);
    await until("all are seen", () => all.seen.length === 20);
    for (const at of [0, 7, 18]) {
      const rest = follow(all.seen[at]?.id);
      await until("the rest is seen", () => rest.seen.length >= 19 - at);
      expect(rest.seen).toEqual(all.seen.slice(at + 1));
      rest.stop();
    }
  });

  test("of four partitions goes on from a position in each", async () => {
    const ingress = on.ingress({ partitions: 4 });
    await Promise.all(Array.from({ length: 40 }, (_, i) => ingress.post(eventWith(`evt_${i}`))));
    const all = follow([START, START, START, START].join(), 4);
    await until("all are seen", () => all.seen.length === 40);
    const rest = follow(all.seen[14]?.id, 4);
    await until("the rest is seen", () => rest.seen.length >= 25);
    const ids = (list: Transition[]) => list.map(({ messageId }) => messageId).sort();
    expect(ids(rest.seen)).toEqual(ids(all.seen.slice(15)));
  });

  test("of four partitions is given positions to go on from, also where a partition was empty", async () => {
    const ingress = on.ingress({ partitions: 4 });
    const fresh = follow(undefined, 4);
    let n = 0;
    await until("it sees something", async () => {
      await ingress.post(eventWith(`evt_${n++}`));
      return fresh.seen.length > 0;
    });
    const [first] = fresh.seen as [Transition];
    expect(first.id).toMatch(/^\d+-\d+(,\d+-\d+){3}$/);
    fresh.stop();
    const rest = follow(first.id, 4);
    const ids = () => rest.seen.map(({ messageId }) => messageId);
    const after = await Promise.all(Array.from({ length: 20 }, (_, i) => ingress.post(eventWith(`evt_after_${i}`))));
    await until("the rest is seen", () => after.every((posted) => ids().includes(accepted(posted).messageId)));
    expect(ids()).not.toContain(first.messageId);
  });

  test.each(["", "x", "1-1,1-1", "1-1 ", "+", "$", "-1-1", "99999999999999999-1"])(
    "with a position that is none (%j) sees from now on",
    async (since) => {
      await post("evt_before");
      const { seen } = follow(since);
      let n = 0;
      await until("it sees something", async () => {
        await post(`evt_${n++}`);
        return seen.length > 0;
      });
      expect(seen.every(({ state }) => state === "queued")).toBeTrue();
      expect(seen.length).toBeLessThanOrEqual(n);
    },
  );

  test("sees each transition at the time that the message's timeline has", async () => {
    const { seen } = follow(START);
    const ingress = on.ingress();
    await Promise.all(Array.from({ length: 500 }, (_, i) => ingress.post(eventWith(`evt_${i}`))));
    await until("all are seen", () => seen.length === 500);
    const messages = createMessages(on.redis, 1);
    const times = await Promise.all(
      seen.map(async ({ messageId }) => (await messages.byId(messageId))?.timeline[0]?.at),
    );
    expect(seen.map(({ at }) => at)).toEqual(times as number[]);
  });

  test("goes on when Redis's clock was put back", async () => {
    const { seen } = follow(START);
    await post("evt_1");
    const ahead = `${(await redisNow(on.redis)) + 3_600_000}-0`;
    await on.server.raw.xadd(key.feed(TAG), ahead, "t", "msg_ahead|queued||\n");
    const messageId = await post("evt_2");
    await until("it is seen", () => seen.length === 3);
    expect(seen.at(-1)?.messageId).toBe(messageId);
  });

  test("sees nothing more once it has stopped, and leaves no connection", async () => {
    const { seen, stop } = follow(START);
    await post("evt_1");
    await until("it is seen", () => seen.length === 1);
    const clients = async () =>
      String(await on.server.raw.client("LIST"))
        .trim()
        .split("\n").length;
    const before = await clients();
    stop();
    stop();
    await until("its connection is closed", async () => (await clients()) === before - 1);
    await post("evt_2");
    expect(seen.length).toBe(1);
  });

  test("that stops before it has started is gone too", async () => {
    const { seen, stop } = follow(START);
    stop();
    await post("evt_1");
    expect(seen).toEqual([]);
  });
});

describe("a follower goes on", () => {
  test("after Redis was killed with kill -9 and is back", async () => {
    const { seen } = follow(START);
    const before = await post("evt_1");
    await until("the first is seen", () => seen.length === 1);
    await on.server.kill();
    await on.server.start();
    const after = await post("evt_2");
    await until("the second is seen", () => seen.length >= 2);
    expect(seen.map(({ messageId }) => messageId)).toEqual([before, after]);
  });

  test("after its connection was cut", async () => {
    const { seen } = follow(START, 1, on.wire.address);
    await post("evt_1");
    await until("the first is seen", () => seen.length === 1);
    on.wire.cut();
    await post("evt_2");
    await until("the second is seen", () => seen.length === 2);
  });

  test("after its connection went dead without a word", async () => {
    const { seen } = follow(START, 1, on.wire.address);
    await post("evt_1");
    await until("the first is seen", () => seen.length === 1);
    on.wire.freeze();
    await post("evt_2");
    await until("the second is seen", () => seen.length === 2);
  });

  test("after a failover broke into its read (UNBLOCKED)", async () => {
    const { seen } = follow(START);
    await post("evt_1");
    await until("the first is seen", () => seen.length === 1);
    const { raw } = on.server;
    await until("it waits for more", async () => /^blocked_clients:1/m.test(await raw.info("clients")));
    await raw.replicaof("127.0.0.1", 1);
    try {
      await until("it was told", async () => (await raw.info("errorstats")).includes("errorstat_UNBLOCKED"));
    } finally {
      await raw.replicaof("NO", "ONE");
    }
    await post("evt_2");
    await until("the second is seen", () => seen.length === 2);
  });
});
