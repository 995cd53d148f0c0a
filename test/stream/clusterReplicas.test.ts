/* MIN_REPLICAS on a cluster of two masters, each with a replica: a partition's post waits for the replica of its own master. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import type { Redis } from "ioredis";
import { connect } from "../../src/stream/connect.ts";
import { key, partitionOf, slotOf, tagOf, tagsOf } from "../../src/stream/keys.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { ownerOf } from "../../src/stream/nodes.ts";
import { startCluster, type TestCluster, type TestNode } from "../support/cluster.ts";
import { eventWith } from "../support/event.ts";
import { openIngress } from "../support/ingress.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { until } from "../support/until.ts";

const PARTITIONS = 8;
const MIDDLE = 8_192;

let cluster: TestCluster;
let nodes: TestNode[];
let redis: Redis;

beforeAll(async () => {
  cluster = await startCluster(2, { replicas: true });
  nodes = cluster.nodes;
  redis = connect(cluster.address, "ingress");
  redis.on("error", () => {});
  await redis.connect();
});
afterEach(() => {
  for (const node of nodes) node.signal("SIGCONT");
});
afterAll(async () => {
  redis.disconnect();
  await cluster.stop();
});
failOnLeaks();

const isOnFirst = (eventId: string) => slotOf(tagOf(partitionOf(eventId, PARTITIONS))) < MIDDLE;
const ingress = () => openIngress(redis, { partitions: PARTITIONS, minReplicas: 1 });

function hashOf(eventId: string): string {
  const partition = partitionOf(eventId, PARTITIONS);
  return key.message(tagOf(partition), messageIdOf(eventId, partition));
}

/** What this very node has, its master's keys included. */
async function has(node: TestNode | undefined, name: string): Promise<boolean> {
  await node?.raw.call("READONLY");
  return (await node?.raw.exists(name)) === 1;
}

/** The replicas are up to date, and the client knows the nodes, which it may be finding out after a failover. */
beforeEach(async () => {
  const isReady = async () => {
    const posts = await Promise.all(Array.from({ length: 40 }, (_, n) => ingress().post(eventWith(`evt_${n}`))));
    return posts.every(({ kind }) => kind === "accepted");
  };
  await until("posts are replicated", isReady);
});

test("a tag's slot is the one that Redis finds", async () => {
  for (const tag of tagsOf(64)) expect(slotOf(tag)).toBe(Number(await nodes[0]?.raw.cluster("KEYSLOT", tag)));
});

test("posts are replicated where their partition is", async () => {
  const ids = Array.from({ length: 80 }, (_, n) => `evt_a${n}`);
  const posts = await Promise.all(ids.map((id) => ingress().post(eventWith(id))));
  for (const posted of posts) expect(posted).toMatchObject({ kind: "accepted", durability: "replicated" });
  for (const id of ids) expect(await has(isOnFirst(id) ? nodes[2] : nodes[3], hashOf(id))).toBe(true);
});

test("a replica that is stopped takes the promise from its own master's partitions alone", async () => {
  nodes[3]?.signal("SIGSTOP");
  const ids = Array.from({ length: 80 }, (_, n) => `evt_b${n}`);
  const posts = await Promise.all(ids.map((id) => ingress().post(eventWith(id))));
  const kinds = posts.map((posted) => (posted.kind === "accepted" ? posted.durability : posted.kind));
  expect(kinds).toEqual(ids.map((id) => (isOnFirst(id) ? "replicated" : "unavailable")));
  expect(await ingress().rollback("evt_b0")).toMatchObject({ kind: isOnFirst("evt_b0") ? "cancelled" : "unavailable" });
});

test("after a failover the new master's replica is waited for, once it is known", async () => {
  const moved = Array.from({ length: 40 }, (_, n) => `evt_c${n}`).filter((id) => !isOnFirst(id));
  const before = ownerOf(redis, tagOf(partitionOf(moved[0] ?? "", PARTITIONS)));
  const failOver = () =>
    nodes[3]?.raw.call("CLUSTER", "FAILOVER").then(
      () => true,
      () => false,
    );
  await until("the replica may take over", failOver);
  await until("it has", async () => String(await nodes[3]?.raw.role()).startsWith("master"));
  for (const id of moved) {
    await until(`${id} is replicated`, async () => {
      const posted = await ingress().post(eventWith(id));
      return posted.kind === "accepted" && posted.durability === "replicated";
    });
    expect(await has(nodes[1], hashOf(id))).toBe(true);
  }
  expect(ownerOf(redis, tagOf(partitionOf(moved[0] ?? "", PARTITIONS)))).not.toBe(before);
});
