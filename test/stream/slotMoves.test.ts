/* A partition's slot moves to another node of a cluster, key by key: no script starts before all of it has arrived. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import type { Redis } from "ioredis";
import { STATES, type State } from "../../src/domain/lifecycle.ts";
import { connect } from "../../src/stream/connect.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { writeFault } from "../../src/stream/durability.ts";
import { awayOf, SlotMoves } from "../../src/stream/fault.ts";
import { gateOf, key, tagOf } from "../../src/stream/keys.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { createQueues } from "../../src/stream/queues.ts";
import { adoptLayout, readLayout } from "../../src/stream/relayout.ts";
import { settle } from "../../src/stream/settle.ts";
import { take } from "../../src/stream/take.ts";
import { beginMove, startCluster, type TestCluster } from "../support/cluster.ts";
import { eventWith } from "../support/event.ts";
import { openIngress } from "../support/ingress.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { until } from "../support/until.ts";
import { accepted, DAY_MS, owner, takeAll } from "./fixture.ts";

const TAG = tagOf(0);

let cluster: TestCluster;
let redis: Redis;
beforeAll(async () => {
  cluster = await startCluster(2);
});
beforeEach(async () => {
  redis = connect(cluster.address, "worker");
  redis.on("error", () => {});
  await redis.connect();
});
afterEach(async () => {
  redis.disconnect();
  for (const { raw } of cluster.nodes) await raw.flushall();
});
afterAll(() => cluster.stop());
failOnLeaks();

/** A message in each state that a message can wait in, and one that is done. Returns their ids, by state. */
async function fillPartition(): Promise<Map<State, string>> {
  const ids = new Map<State, string>();
  const post = async (name: State, options = {}) => {
    const event = eventWith(`evt_${name}`, { delayMs: 0, ...options });
    ids.set(name, accepted(await openIngress(redis, { delayMs: 0 }).post(event)).messageId);
  };
  const taken = async (name: State) => {
    await post(name);
    const [claim] = await takeAll(redis, "a");
    if (claim === undefined) throw new Error(`${name} was not taken`);
    return claim;
  };
  await settle(owner(redis, TAG, "a"), "sent", [{ ...(await taken("sent")), reply: "250 ok" }]);
  await settle(owner(redis, TAG, "a"), "deferred", [
    { ...(await taken("deferred")), delayMs: DAY_MS, reason: "451 busy" },
  ]);
  await settle(owner(redis, TAG, "a"), "dead", [{ ...(await taken("dead")), reason: "550 no" }]);
  await settle(owner(redis, TAG, "a"), "unknown", [
    { ...(await taken("unknown")), resendDelayMs: undefined, reason: "lost" },
  ]);
  await taken("sending");
  await post("held", { hold: true });
  await post("scheduled", { delayMs: DAY_MS });
  await post("cancelled", { delayMs: DAY_MS });
  await openIngress(redis, {}).rollback("evt_cancelled");
  await post("queued");
  await createQueues(redis, 1).pause("low");
  await adoptLayout(redis, 1);
  // More chunks of what was posted, as full ones would begin them.
  await redis.rpush(key.posted(TAG), "2", "3");
  await redis.set(key.postedChunk(TAG, "2"), "");
  await redis.set(TAG, "set by hand"); // the first key of the gate: it does not open by that
  return ids;
}

/** All that can be read of the partition. Of messages the states. */
async function readAll(ids: ReadonlyMap<State, string>) {
  const messages = createMessages(redis, 1);
  const states = async (found: ReturnType<typeof messages.byId>[]) =>
    (await Promise.all(found)).map((one) => one?.state);
  const names = [...ids.keys()];
  const listed = names.map((state) => messages.list({ state, limit: 100 }));
  const dead = createDeadLetters(redis, 1, DAY_MS);
  const queues = createQueues(redis, 1);
  return {
    byId: await states([...ids.values()].map((id) => messages.byId(id))),
    byEvent: await states(names.map((name) => messages.byEvent(`evt_${name}`))),
    byState: (await Promise.all(listed)).map(({ items }) => items.length),
    ofRecipient: (await messages.list({ recipient: "an@example.com", limit: 100 })).items.map(({ id }) => id),
    dead: (await dead.list({ limit: 100 })).items.map(({ id }) => id),
    groups: await dead.groups(),
    depths: await queues.depths(),
    counts: await queues.counts(),
    layout: await readLayout(redis),
  };
}

test("while it moves each script is refused and each message is found; then all goes on, on the other node", async () => {
  const ids = await fillPartition();
  expect([...ids.keys()].sort()).toEqual(STATES.filter((state) => state !== "bounced").sort());
  const unmoved = await readAll(ids);
  const names = [...ids.keys()];
  expect([unmoved.byId, unmoved.byEvent]).toEqual([names, names]);
  expect(unmoved.ofRecipient.length).toBe(ids.size);

  const move = await beginMove(cluster, TAG);
  const keys = await move.keys();
  expect(keys.length).toBeGreaterThan(ids.size + 8);

  // None of them gets arguments: one that is started fails otherwise than by being refused.
  const scripts = Object.keys(redis).filter((name) => name.startsWith("pp_"));
  expect(scripts.length).toBeGreaterThan(20);
  const callable = redis as unknown as Record<string, (...keys: string[]) => Promise<unknown>>;
  const refusalOf = (name: string) =>
    callable[name]?.(...gateOf(TAG)).then(
      () => `${name} ran`,
      ({ message }: Error) => (awayOf(new Error(message)) instanceof SlotMoves ? undefined : `${name}: ${message}`),
    );
  for (const key of [undefined, ...keys]) {
    if (key !== undefined) await move.migrate(key);
    // Every script at each end of the way, some in between: each answer takes its turns.
    const some = key === undefined || key === keys.at(-1) ? scripts : scripts.slice(0, 2);
    expect((await Promise.all(some.map(refusalOf))).filter((problem) => problem !== undefined)).toEqual([]);
    expect(await readAll(ids)).toEqual(unmoved);
  }
  const ingress = openIngress(redis, { delayMs: 0 });
  for (const answer of [
    await ingress.post(eventWith("evt_new")),
    await ingress.post(eventWith("evt_queued", { delayMs: 0 })),
    await ingress.rollback("evt_held"),
    await ingress.commit("evt_held"),
  ]) {
    expect(answer).toEqual({ kind: "unavailable", reason: new SlotMoves(TAG).message });
  }

  await move.end();
  expect(accepted(await ingress.post(eventWith("evt_queued", { delayMs: 0 }))).duplicate).toBe(true);
  expect(accepted(await ingress.post(eventWith("evt_new"))).duplicate).toBe(false);
  const claims = await take(redis, TAG, "b", 10, [10, 0, 0]);
  expect(claims.map(({ messageId }) => messageId).sort()).toEqual(
    [ids.get("queued"), accepted(await ingress.post(eventWith("evt_new"))).messageId].sort() as string[],
  );
  expect(await ingress.commit("evt_held")).toMatchObject({ kind: "committed" });
  expect(await createDeadLetters(redis, 1, DAY_MS).replay(ids.get("dead") ?? "", {})).toBe("replayed");
  expect(await move.source.raw.dbsize()).toBe(0);
});

test("the node that takes the slot in hangs, or is killed: a post is answered in time, and nothing else ends by that", async () => {
  const posting = connect(cluster.address, "ingress");
  posting.on("error", () => {});
  await posting.connect();
  try {
    const ingress = openIngress(posting);
    const { messageId } = accepted(await ingress.post(eventWith("evt_1")));
    const move = await beginMove(cluster, TAG);
    expect((await ingress.post(eventWith("evt_2"))).kind).toBe("unavailable");
    // The others on the same server take posts.
    expect([await writeFault(posting, 1), await writeFault(posting, 8)]).toEqual([
      new SlotMoves(TAG).message,
      undefined,
    ]);
    move.target.signal("SIGSTOP");
    const startedAt = performance.now();
    expect((await ingress.post(eventWith("evt_2"))).kind).toBe("unavailable");
    expect(performance.now() - startedAt).toBeLessThan(1_800);
    const [last] = await Promise.all([ingress.post(eventWith("evt_2")), move.target.kill()]);
    expect(last.kind).toBe("unavailable");
    await move.target.start();
    await until("the cluster is up", async () => String(await move.target.raw.cluster("INFO")).includes("state:ok"));
    await move.end();
    await until("it takes posts again", async () => (await ingress.post(eventWith("evt_2"))).kind === "accepted");
    expect((await createMessages(posting, 1).byId(messageId))?.state).toBe("queued");
  } finally {
    posting.disconnect();
  }
});
