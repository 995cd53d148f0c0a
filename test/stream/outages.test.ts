/* A Redis that does not answer, that dies, or that is cut off: nothing accepted is lost, no post waits for long. */
import { describe, expect, test } from "bun:test";
import type { Ingress } from "../../src/domain/ingress.ts";
import { connect } from "../../src/stream/connect.ts";
import { RedisAway } from "../../src/stream/fault.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { take } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { until } from "../support/until.ts";
import { onRedis } from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis();

async function timed<T>(action: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const startedAt = performance.now();
  const result = await action();
  return { result, ms: performance.now() - startedAt };
}

async function postUntilAccepted(ingress: Ingress, id: string) {
  return until(`${id} is accepted`, async () => {
    const posted = await ingress.post(eventWith(id));
    return posted.kind === "accepted" ? posted : undefined;
  });
}

describe("a reply that is lost", () => {
  test("is asked for by the same post again, which finds the first one", async () => {
    const ingress = on.ingress({}, await on.open("ingress", on.wire.address));
    await ingress.post(eventWith("evt_0"));
    on.wire.swallowReplies();
    const posting = ingress.post(eventWith("evt_1"));
    await until("the event has arrived", () => on.server.raw.exists(key.message(TAG, messageIdOf("evt_1", 0))));
    on.wire.cut();
    expect(await posting).toMatchObject({ kind: "unavailable" });
    const again = await postUntilAccepted(ingress, "evt_1");
    expect(again.duplicate).toBeTrue();
    expect(await on.server.raw.xlen(key.queue(TAG, 0))).toBe(2);
  });

  test("because Redis killed the connection at whatever moment makes one message of each event", async () => {
    const redis = await on.open("ingress");
    const ingress = on.ingress({}, redis);
    const kinds: string[] = [];
    for (let i = 0; i < 20; i++) {
      await postUntilAccepted(ingress, "evt_warm");
      const id = await redis.client("ID");
      const posting = ingress.post(eventWith(`evt_${i}`));
      await new Promise(setImmediate); // it is written
      await on.server.raw.client("KILL", "ID", id);
      kinds.push((await posting).kind);
      const first = await postUntilAccepted(ingress, `evt_${i}`);
      expect((await postUntilAccepted(ingress, `evt_${i}`)).messageId).toBe(first.messageId);
    }
    expect(kinds.filter((kind) => kind !== "accepted" && kind !== "unavailable")).toEqual([]);
    expect(await on.server.raw.xlen(key.queue(TAG, 0))).toBe(21);
  });
});

describe("a Redis that is there and does not answer", () => {
  test("lets a post answer within two seconds, and the same post finds what came of it", async () => {
    const ingress = on.ingress({}, await on.open("ingress"));
    await ingress.post(eventWith("evt_0"));
    on.server.signal("SIGSTOP");
    try {
      const { result, ms } = await timed(() => Promise.all([1, 2, 3].map((i) => ingress.post(eventWith(`evt_${i}`)))));
      expect(result.map(({ kind }) => kind)).toEqual(["unavailable", "unavailable", "unavailable"]);
      expect(ms).toBeLessThan(2_000);
    } finally {
      on.server.signal("SIGCONT");
    }
    for (const i of [1, 2, 3]) await postUntilAccepted(ingress, `evt_${i}`);
    expect(await on.server.raw.xlen(key.queue(TAG, 0))).toBe(4);
  });

  test("has its connection closed once, however many calls wait on it", async () => {
    const redis = await on.open("ingress");
    let closings = 0;
    const disconnect = redis.disconnect.bind(redis);
    redis.disconnect = (reconnect) => {
      closings += 1;
      disconnect(reconnect);
    };
    on.server.signal("SIGSTOP");
    try {
      const calls = Array.from({ length: 20 }, (_, i) => take(redis, TAG, `w${i}`, 1, [0, 0, 0]));
      const results = await Promise.allSettled(calls);
      expect(results.filter(({ status }) => status === "rejected")).toHaveLength(20);
      expect(closings).toBe(1);
    } finally {
      on.server.signal("SIGCONT");
    }
    const taken = await until("it is connected again", () =>
      take(redis, TAG, "w", 1, [0, 0, 0]).catch(() => undefined),
    );
    expect(taken).toEqual([]);
  });

  test("because it is paused lets a post answer within two seconds, and takes it once afterwards", async () => {
    const ingress = on.ingress({}, await on.open("ingress"));
    await ingress.post(eventWith("evt_0"));
    await on.server.raw.client("PAUSE", 1_500, "ALL");
    const { result, ms } = await timed(() => ingress.post(eventWith("evt_1")));
    expect(result).toEqual({ kind: "unavailable", reason: expect.any(String) });
    expect(ms).toBeLessThan(2_000);
    await postUntilAccepted(ingress, "evt_1");
    await postUntilAccepted(ingress, "evt_1");
    expect(await on.server.raw.xlen(key.queue(TAG, 0))).toBe(2);
  });

  test("on a half-open connection: the post answers in time, and a new connection takes the next ones", async () => {
    const redis = await on.open("ingress", on.wire.address);
    const ingress = on.ingress({}, redis);
    await ingress.post(eventWith("evt_0"));
    on.wire.freeze();
    const { result, ms } = await timed(() => ingress.post(eventWith("evt_1")));
    expect(result.kind).toBe("unavailable");
    expect(ms).toBeLessThan(2_000);
    expect((await postUntilAccepted(ingress, "evt_1")).duplicate).toBeFalse();
  });
});

describe("a Redis that is not there", () => {
  test("is said to be away at once, also between two tries to connect", async () => {
    const redis = connect({ kind: "unix", path: `${on.server.address.path}.none` }, "ingress");
    redis.on("error", () => {});
    let pauseMs = 0;
    redis.on("reconnecting", (delayMs: number) => {
      pauseMs = delayMs;
    });
    await redis.connect().catch(() => {});
    await until("the next try is not soon", () => pauseMs >= 800);
    const { result, ms } = await timed(() => on.ingress({}, redis).post(eventWith("evt_1")));
    redis.disconnect();
    expect(result.kind).toBe("unavailable");
    expect(ms).toBeLessThan(700);
  });

  test("tells the worker that it is away", async () => {
    const worker = await on.open("worker", on.wire.address);
    on.wire.freeze();
    const taking = take(worker, TAG, "a", 1, [0, 0, 0]);
    on.wire.cut();
    expect(taking).rejects.toBeInstanceOf(RedisAway);
    await taking.catch(() => {});
    await until("the worker is connected again", () =>
      take(worker, TAG, "a", 1, [0, 0, 0]).then(
        () => true,
        () => false,
      ),
    );
  });

  test("because of kill -9, with posts in flight: each settles, and each that was accepted is there afterwards", async () => {
    const ingress = on.ingress({}, await on.open("ingress"));
    const ids: string[] = [];
    const known = new Map<string, string>();
    let dead = false;
    let settled = 0;
    const producer = async (name: string) => {
      for (let i = 0; !dead; i++) {
        const id = `${name}_${i}`;
        ids.push(id);
        const posted = await ingress.post(eventWith(id));
        settled += 1;
        if (posted.kind === "accepted") known.set(id, posted.messageId);
        else expect(posted.kind).toBe("unavailable");
        if (posted.kind !== "accepted") await Bun.sleep(1);
      }
    };
    const producers = Array.from({ length: 50 }, (_, i) => producer(`p${i}`));
    await until("some are accepted", () => known.size > 500);
    await on.server.kill();
    dead = true;
    const { ms } = await timed(() => Promise.all(producers));
    expect(ms).toBeLessThan(2_000);
    expect(settled).toBe(ids.length);

    await on.server.start();
    await until("the connection is back", () => postUntilAccepted(ingress, "after"));
    const messages = createMessages(on.redis, 1);
    await until("it can be read again", () => messages.byEvent("after").catch(() => undefined));
    for (const [id, messageId] of known) expect((await messages.byEvent(id))?.id).toBe(messageId);
    // The rest were in flight: posted again they are accepted, and none makes a second message.
    for (const id of ids) await postUntilAccepted(ingress, id);
    expect(await on.server.raw.xlen(key.queue(TAG, 0))).toBe(ids.length + 1);
  });

  test("and comes back is found by all three kinds of connection, without anybody's doing", async () => {
    const [ingress, worker, blocking] = [await on.open("ingress"), await on.open("worker"), await on.open("blocking")];
    const reading = blocking.xread("BLOCK", 10_000, "STREAMS", key.queue(TAG, 0), "0-0");
    await on.server.kill();
    await on.server.start();
    const posted = await postUntilAccepted(on.ingress({}, ingress), "evt_1");
    const taken = await until("it is taken", async () => {
      const [claim] = await take(worker, TAG, "a", 1, [0, 0, 0]).catch(() => []);
      return claim;
    });
    expect(taken.messageId).toBe(posted.messageId);
    expect((await reading)?.length).toBe(1);
  });
});
