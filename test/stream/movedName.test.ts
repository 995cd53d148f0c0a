/*
 * A failover behind one address (a name, a load balancer): who is connected stays connected to the old master, which is a
 * replica now. Two real servers and REPLICAOF.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ConnectionKind, connect } from "../../src/stream/connect.ts";
import { RedisAway } from "../../src/stream/fault.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { heartbeat } from "../../src/stream/lease.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { startGroup, type TestGroup } from "../support/group.ts";
import { openIngress } from "../support/ingress.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { until } from "../support/until.ts";
import { startWire } from "../support/wire.ts";

let group: TestGroup;
beforeAll(async () => {
  group = await startGroup();
});
afterAll(() => group.stop());
failOnLeaks();
const cleanups = cleanUpAfterEach();

/** Connected by way of an address that leads to the master, and to the next one after `failOver`. */
async function connected(kind: ConnectionKind) {
  const before = await group.settled();
  const after = group.nodes.find((node) => node !== before) ?? before;
  const wire = await startWire(before.address.path);
  const redis = connect(wire.address, kind);
  redis.on("error", () => {});
  cleanups.push(
    () => wire.stop(),
    () => redis.disconnect(),
  );
  await redis.connect();
  async function failOver() {
    wire.leadTo(after.address.path);
    await after.raw.replicaof("NO", "ONE");
    await before.raw.replicaof("127.0.0.1", after.port);
    return after;
  }
  return { redis, failOver };
}

test("a post that finds the old master to be a replica is refused once, and the next one reaches the new master", async () => {
  const { redis, failOver } = await connected("ingress");
  const ingress = openIngress(redis);
  await ingress.post(eventWith("evt_before"));
  const master = await failOver();
  expect(await ingress.post(eventWith("evt_1"))).toMatchObject({ kind: "unavailable" });
  await until("a post is accepted", async () => (await ingress.post(eventWith("evt_1"))).kind === "accepted");
  expect(await master.raw.exists(key.message(tagOf(0), messageIdOf("evt_1", 0)))).toBe(1);
});

test("so does what a worker writes", async () => {
  const { redis, failOver } = await connected("worker");
  const claim = { tag: tagOf(0), rank: "0", entryId: "1-0", messageId: "msg_1", attempt: 1 };
  const beat = () => heartbeat(redis, tagOf(0), "a", [claim]);
  expect(await beat()).toEqual([false]);
  await failOver();
  await expect(beat()).rejects.toBeInstanceOf(RedisAway);
  await until("a heartbeat is written", () =>
    beat().then(
      () => true,
      () => false,
    ),
  );
});
