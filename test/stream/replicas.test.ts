/* What MIN_REPLICAS promises, on a master with a replica that is stopped, comes back, and takes over. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Redis } from "ioredis";
import type { Ingress } from "../../src/domain/ingress.ts";
import { type ConnectionKind, connect } from "../../src/stream/connect.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { eventWith, eventWithOwn } from "../support/event.ts";
import { startGroup, type TestGroup, type TestNode } from "../support/group.ts";
import { openIngress } from "../support/ingress.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { until } from "../support/until.ts";

const SHORT = {
  kind: "unavailable",
  reason: "0 of 1 replicas have it (MIN_REPLICAS)",
  writtenOver: expect.any(Number),
};

let group: TestGroup;
let [master, replica]: TestNode[] = [];
let redis: Redis;
const opened: Redis[] = [];

beforeAll(async () => {
  // A disk that stalls for half a second would be a replica that is short.
  group = await startGroup(1, "--appendfsync", "no");
  [master, replica] = group.nodes;
});
beforeEach(async () => {
  await group.settled();
  await master?.raw.flushall();
  await group.settled();
  redis = await open("ingress");
});
afterEach(() => {
  replica?.signal("SIGCONT");
  for (const one of opened.splice(0)) one.disconnect();
});
afterAll(() => group.stop());
failOnLeaks();

async function open(kind: ConnectionKind): Promise<Redis> {
  const one = connect(master?.address ?? { kind: "unix", path: "" }, kind);
  one.on("error", () => {});
  opened.push(one);
  await one.connect();
  return one;
}

const replicating = (on: Redis = redis, partitions = 1): Ingress => openIngress(on, { minReplicas: 1, partitions });
const hash = (eventId: string) => key.message(tagOf(0), messageIdOf(eventId, 0));

describe("with its replica", () => {
  test("a post is replicated: the replica has it when it is answered, and so has it a commit and a rollback", async () => {
    const ingress = replicating();
    for (let n = 0; n < 50; n++) {
      const posted = await ingress.post(eventWith(`evt_${n}`, { hold: true }));
      expect(posted).toMatchObject({ kind: "accepted", durability: "replicated", duplicate: false });
      expect(await replica?.raw.hget(hash(`evt_${n}`), "s")).toBe("held");
      const decided = await (n % 2 === 0 ? ingress.commit(`evt_${n}`) : ingress.rollback(`evt_${n}`));
      expect(decided).toMatchObject({ kind: n % 2 === 0 ? "committed" : "cancelled" });
      expect(await replica?.raw.hget(hash(`evt_${n}`), "s")).toBe(n % 2 === 0 ? "queued" : "cancelled");
    }
    expect(await ingress.post(eventWith("evt_0", { hold: true }))).toMatchObject({
      duplicate: true,
      durability: "replicated",
    });
  });

  test("posts of one turn, of many partitions too, share their waits", async () => {
    const ingress = replicating(redis, 16);
    const waits = async () =>
      Number(/cmdstat_wait:calls=(\d+)/.exec((await master?.raw.info("commandstats")) ?? "")?.[1] ?? 0);
    let before = 0;
    // Again, where a busy machine let the replica wait for half a second.
    await until("the posts of a turn are all replicated", async () => {
      before = await waits();
      const posts = Array.from({ length: 500 }, (_, n) => ingress.post(eventWith(`evt_${n}`)));
      const posted = await Promise.all(posts);
      return posted.every((one) => one.kind === "accepted" && one.durability === "replicated");
    });
    expect((await waits()) - before).toBeLessThan(20);
  });

  test("scripts that Redis has lost are written before they are waited for", async () => {
    const ingress = replicating();
    await ingress.post(eventWith("evt_0"));
    for (let n = 1; n < 10; n++) {
      await master?.raw.script("FLUSH");
      expect(await ingress.post(eventWith(`evt_${n}`))).toMatchObject({ durability: "replicated" });
      expect(await replica?.raw.exists(hash(`evt_${n}`))).toBe(1);
    }
  });
});

describe("while its replica is stopped", () => {
  test("posts and decisions say within a second that it has too little, also those that come behind", async () => {
    const ingress = replicating(redis, 8);
    await ingress.post(eventWith("evt_0", { hold: true }));
    replica?.signal("SIGSTOP");
    const startedAt = performance.now();
    const first = Array.from({ length: 40 }, (_, n) => ingress.post(eventWith(`evt_a${n}`)));
    await until("they are written", async () => ((await master?.raw.keys("*msg_*")) ?? []).length > 20);
    const behind = [ingress.post(eventWith("evt_b")), ingress.commit("evt_0"), ingress.rollback("evt_c")];
    for (const answer of await Promise.all([...first, ...behind]))
      expect(answer).toMatchObject({ kind: "unavailable", reason: SHORT.reason });
    expect(performance.now() - startedAt).toBeLessThan(1_200);
    expect(await ingress.commit("evt_nobody")).toEqual({ kind: "not_found" });
  });

  test("the same post again is not replicated either, over another connection too, until the replica is back", async () => {
    replica?.signal("SIGSTOP");
    expect(await openIngress(await open("ingress")).post(eventWith("evt_1"))).toMatchObject({ durability: "written" });
    const ingress = replicating();
    expect(await ingress.post(eventWith("evt_1"))).toEqual(SHORT as never);
    replica?.signal("SIGCONT");
    const again = await until("it is replicated", async () => {
      const posted = await ingress.post(eventWith("evt_1"));
      return posted.kind === "accepted" ? posted : undefined;
    });
    expect(again).toMatchObject({ duplicate: true, durability: "replicated" });
    expect(await replica?.raw.exists(hash("evt_1"))).toBe(1);
  });

  test("the same body with its fields in another order is not replicated either, and another body is a conflict", async () => {
    replica?.signal("SIGSTOP");
    const withSeat = (seat: object) => eventWithOwn("evt_1", { seat });
    await openIngress(await open("ingress")).post(withSeat({ row: 4, letter: "A" }));
    const ingress = replicating();
    expect(await ingress.post(withSeat({ letter: "A", row: 4 }))).toEqual(SHORT as never);
    expect(await ingress.post(withSeat({ letter: "A", row: 5 }))).toMatchObject({ kind: "conflict" });
  });

  test("a connection that is made anew meanwhile does not make it replicated", async () => {
    const ingress = replicating();
    await ingress.post(eventWith("evt_0"));
    replica?.signal("SIGSTOP");
    const posting = [ingress.post(eventWith("evt_1"))];
    await until("it is written", async () => await master?.raw.exists(hash("evt_1")));
    posting.push(ingress.post(eventWith("evt_2")), ingress.post(eventWith("evt_3")));
    await master?.raw.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    for (const posted of await Promise.all(posting)) expect(posted.kind).toBe("unavailable");
  });

  test("a master that becomes a replica meanwhile is away", async () => {
    const ingress = replicating();
    await ingress.post(eventWith("evt_0"));
    replica?.signal("SIGSTOP");
    const posting = ingress.post(eventWith("evt_1"));
    await until("it is written", async () => await master?.raw.exists(hash("evt_1")));
    await master?.raw.replicaof("127.0.0.1", replica?.port ?? 0);
    expect(await posting).toEqual({ kind: "unavailable", reason: expect.stringContaining("UNBLOCKED") });
    await master?.raw.replicaof("NO", "ONE");
  });
});
