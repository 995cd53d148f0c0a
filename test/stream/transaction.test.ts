/* Hold, commit and rollback: no mail for a booking that did not happen, and a definitive answer. */
import { describe, expect, test } from "bun:test";
import type { State } from "../../src/domain/lifecycle.ts";
import { attemptsOf } from "../../src/domain/lifecycle.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { reclaim } from "../../src/stream/lease.ts";
import { messageIdOf } from "../../src/stream/messageId.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { createQueues } from "../../src/stream/queues.ts";
import { settle } from "../../src/stream/settle.ts";
import { promote, type Taken } from "../../src/stream/take.ts";
import { check, leaveUndecided, type Undecided } from "../../src/stream/transaction.ts";
import { eventWith } from "../support/event.ts";
import { keepLines } from "../support/log.ts";
import {
  accepted,
  DAY_MS,
  endDedupWindow,
  onRedis,
  owner,
  postAndTake,
  redisNow,
  streams,
  takeAll,
} from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis("--appendonly", "no");
const reason = "451 4.3.0 busy";

async function hold(id: string, delayMs?: number): Promise<string> {
  const options = { hold: true, ...(delayMs === undefined ? {} : { delayMs }) };
  return accepted(await on.ingress().post(eventWith(id, options))).messageId;
}

async function stateOf(messageId: string): Promise<State | undefined> {
  return (await createMessages(on.redis, 1).byId(messageId))?.state;
}

async function nothingIsOwed(messageId: string): Promise<void> {
  const { raw } = on.server;
  expect(await takeAll(on.redis, "a")).toEqual([]);
  expect(await streams(on)).toEqual({ entries: [], pending: 0 });
  expect(await raw.zscore(key.due(TAG), messageId)).toBeNull();
  expect(await raw.zscore(key.held(TAG), messageId)).toBeNull();
  expect((await createDeadLetters(on.redis, 1, DAY_MS).list({ limit: 5 })).items).toEqual([]);
  expect(await createDeadLetters(on.redis, 1, DAY_MS).groups()).toEqual([]);
}

describe("a held event", () => {
  test("waits, and is neither promoted nor taken", async () => {
    const before = await redisNow(on.redis);
    const posted = accepted(await on.ingress({ firstCheckMs: 20_000 }).post(eventWith("evt_1", { hold: true })));
    expect(posted.state).toBe("held");
    expect(posted.dueAt - before).toBeGreaterThanOrEqual(20_000);
    expect((await promote(on.redis, TAG, 10)).messages).toEqual([]);
    expect(await takeAll(on.redis, "a")).toEqual([]);
    expect((await createMessages(on.redis, 1).list({ state: "held", limit: 5 })).items.length).toBe(1);
  });

  test("is queued by its commit, at once, or after the delay that was asked for", async () => {
    const ingress = on.ingress({ delayMs: 60_000 });
    const atOnce = await hold("evt_1");
    expect(await ingress.commit("evt_1")).toMatchObject({ kind: "committed", messageId: atOnce, state: "queued" });
    expect((await takeAll(on.redis, "a")).map(({ messageId }) => messageId)).toEqual([atOnce]);
    const later = await hold("evt_2", 30_000);
    const committed = await ingress.commit("evt_2");
    expect(committed).toMatchObject({ kind: "committed", messageId: later, state: "scheduled" });
    expect(committed.kind === "committed" && committed.dueAt - Date.now()).toBeGreaterThan(25_000);
    expect(await on.server.raw.zcard(key.held(TAG))).toBe(0);
  });

  test("is committed once, and says how far it has come when it is committed again", async () => {
    await hold("evt_1");
    const results = await Promise.all([1, 2, 3].map(() => on.ingress().commit("evt_1")));
    expect(results.map(({ kind }) => kind)).toEqual(["committed", "committed", "committed"]);
    expect((await takeAll(on.redis, "a")).length).toBe(1);
    expect(await on.ingress().commit("evt_1")).toMatchObject({ kind: "committed", state: "sending" });
  });

  test("that was rolled back stays so, whatever is committed afterwards", async () => {
    const messageId = await hold("evt_1");
    expect(await on.ingress().rollback("evt_1")).toEqual({ kind: "cancelled", messageId, state: "cancelled" });
    expect(await on.ingress().commit("evt_1")).toEqual({ kind: "cancelled", messageId });
    await nothingIsOwed(messageId);
  });

  test("may be committed and rolled back at the same time: one of them wins, and both say so", async () => {
    for (let i = 0; i < 10; i++) {
      const messageId = await hold(`evt_${i}`);
      const other = await on.open("ingress");
      const [committed, rolledBack] = await Promise.all([
        on.ingress().commit(`evt_${i}`),
        on.ingress({}, other).rollback(`evt_${i}`),
      ]);
      expect(rolledBack.kind).toBe("cancelled");
      expect(["committed", "cancelled"]).toContain(committed.kind);
      expect(await stateOf(messageId)).toBe("cancelled");
    }
    expect(await takeAll(on.redis, "a")).toEqual([]);
  });

  test("that was never posted cannot be committed", async () => {
    expect(await on.ingress().commit("evt_nobody")).toEqual({ kind: "not_found" });
  });

  test("is committed after its dedup window too: it waits until somebody decides", async () => {
    const messageId = await hold("evt_1");
    await endDedupWindow(on, messageIdOf("evt_1", 0));
    expect(await on.ingress().commit("evt_1")).toMatchObject({ kind: "committed", messageId });
  });

  test("counts for the backlog", async () => {
    const ingress = on.ingress({ maxBacklog: 1 });
    await hold("evt_1");
    expect((await ingress.post(eventWith("evt_2"))).kind).toBe("full");
  });
});

describe("a check-back", () => {
  test("comes when it is due, is counted, and after the last one leaves the decision to a person", async () => {
    await on.ingress({ firstCheckMs: 0 }).post(eventWith("evt_1", { hold: true }));
    const asked: number[] = [];
    for (let i = 0; i < 3; i++) {
      const { undecided } = await check(on.redis, TAG, 10, [0, 0, 0]);
      for (const one of undecided) {
        asked.push(one.asked);
        expect(JSON.parse(one.json).id).toBe("evt_1");
        expect(await leaveUndecided(on.redis, TAG, one, i === 2)).toBeTrue();
      }
    }
    expect(asked).toEqual([1, 2, 3]);
    expect(await check(on.redis, TAG, 10, [0, 0, 0])).toEqual({ undecided: [], nextMs: undefined });
    expect((await on.ingress().commit("evt_1")).kind).toBe("committed");
  });

  test("whose answer nobody got to act on comes again, also the last one", async () => {
    await on.ingress({ firstCheckMs: 0 }).post(eventWith("evt_1", { hold: true }));
    for (let i = 0; i < 3; i++) {
      const { undecided } = await check(on.redis, TAG, 10, [0]);
      expect(undecided.map(({ asked }) => asked)).toEqual([1]);
    }
  });

  test("that comes to nothing after the decision changes nothing", async () => {
    const ingress = on.ingress({ firstCheckMs: 0 });
    await ingress.post(eventWith("evt_1", { hold: true }));
    const [undecided] = (await check(on.redis, TAG, 10, [0])).undecided;
    await ingress.commit("evt_1");
    expect(await leaveUndecided(on.redis, TAG, undecided as Undecided, true)).toBeFalse();
    expect(await on.server.raw.zcard(key.held(TAG))).toBe(0);
  });

  test("says when the next one is due, and does not come before", async () => {
    await on.ingress({ firstCheckMs: 30_000 }).post(eventWith("evt_1", { hold: true }));
    const { undecided, nextMs } = await check(on.redis, TAG, 10, [30_000]);
    expect(undecided).toEqual([]);
    expect(nextMs).toBeGreaterThan(25_000);
  });

  test("does not come for what was decided", async () => {
    const ingress = on.ingress({ firstCheckMs: 0 });
    for (const id of ["evt_1", "evt_2"]) await ingress.post(eventWith(id, { hold: true }));
    await ingress.commit("evt_1");
    await ingress.rollback("evt_2");
    expect((await check(on.redis, TAG, 10, [0])).undecided).toEqual([]);
  });
});

test("the log calls a decision a transition once, and only where it was one", async () => {
  const { log, lines } = keepLines();
  const ingress = on.ingress({ log });
  await hold("evt_held");
  await ingress.commit("evt_held");
  await ingress.commit("evt_held");
  await ingress.commit("evt_nobody");
  const taken = (await takeAll(on.redis, "a"))[0] as Taken;
  await ingress.rollback("evt_held");
  await settle(owner(on.redis, TAG, "a"), "sent", [{ ...taken, reply: "250 ok" }]);
  await ingress.rollback("evt_held");
  await hold("evt_2");
  for (const id of ["evt_2", "evt_2", "evt_before", "evt_before"]) await ingress.rollback(id);
  expect(lines.map((line) => [line["eventId"], line["msg"], line["kind"]])).toEqual([
    ["evt_held", "message committed", "committed"],
    ["evt_held", "commit changed no state", "committed"],
    ["evt_nobody", "commit changed no state", "not_found"],
    ["evt_held", "rollback changed no state", "in_flight"],
    ["evt_held", "rollback changed no state", "too_late"],
    ["evt_2", "message rolled back", "cancelled"],
    ["evt_2", "rollback changed no state", "cancelled"],
    ["evt_before", "message rolled back", "cancelled"],
    ["evt_before", "rollback changed no state", "cancelled"],
  ]);
});

describe("a rollback wins", () => {
  test("before its event: what is posted afterwards is cancelled, and never sent", async () => {
    const rolledBack = await on.ingress({ dedupTtlMs: 1_000, retentionMs: 123_000 }).rollback("evt_1");
    expect(rolledBack.kind).toBe("cancelled");
    expect(await on.server.raw.pttl(key.message(TAG, messageIdOf("evt_1", 0)))).toBeWithin(100_000, 123_001);
    const posted = accepted(await on.ingress({ delayMs: 1 }).post(eventWith("evt_1")));
    expect(posted).toMatchObject({ state: "cancelled", duplicate: false });
    expect(rolledBack).toMatchObject({ messageId: posted.messageId });
    await promote(on.redis, TAG, 10);
    await nothingIsOwed(posted.messageId);
    expect(await on.ingress({ delayMs: 1 }).post(eventWith("evt_1"))).toMatchObject({
      state: "cancelled",
      duplicate: true,
    });
    expect((await on.ingress().commit("evt_1")).kind).toBe("cancelled");
  });

  const before: [string, () => Promise<string>][] = [
    ["scheduled", async () => accepted(await on.ingress().post(eventWith("evt_1", { delayMs: 60_000 }))).messageId],
    ["queued", async () => accepted(await on.ingress().post(eventWith("evt_1"))).messageId],
    [
      "deferred",
      async () => {
        const claim = await postAndTake(on, "evt_1", "a");
        await settle(owner(on.redis, TAG, "a"), "deferred", [{ ...claim, delayMs: 60_000, reason }]);
        return claim.messageId;
      },
    ],
    [
      "dead",
      async () => {
        const claim = await postAndTake(on, "evt_1", "a");
        await settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason }]);
        return claim.messageId;
      },
    ],
  ];
  test.each(before)("over a message that is %s, and keeps it for the retention", async (_state, bring) => {
    const messageId = await bring();
    expect(await on.ingress({ retentionMs: 123_000 }).rollback("evt_1")).toEqual({
      kind: "cancelled",
      messageId,
      state: "cancelled",
    });
    await nothingIsOwed(messageId);
    expect(await stateOf(messageId)).toBe("cancelled");
    const ttl = await on.server.raw.pttl(key.message(TAG, messageId));
    expect(ttl).toBeGreaterThan(100_000);
    expect(ttl).toBeLessThanOrEqual(123_000);
    expect(await on.ingress().rollback("evt_1")).toMatchObject({ kind: "cancelled" });
    const counts = await createQueues(on.redis, 1).counts();
    expect(
      Object.entries(counts)
        .filter(([, { now }]) => now !== 0)
        .map(([state]) => state),
    ).toEqual(["cancelled"]);
  });

  test.each(before)(
    "over a message that is %s after its dedup window too: its mail is still owed",
    async (_state, bring) => {
      const messageId = await bring();
      await endDedupWindow(on, messageIdOf("evt_1", 0));
      expect(await on.ingress().rollback("evt_1")).toMatchObject({ kind: "cancelled", messageId });
      expect(await stateOf(messageId)).toBe("cancelled");
      await nothingIsOwed(messageId);
    },
  );

  test("is found by the same event posted after the dedup window", async () => {
    const first = accepted(await on.ingress().post(eventWith("evt_1", { delayMs: 60_000 })));
    await on.ingress().rollback("evt_1");
    await endDedupWindow(on, messageIdOf("evt_1", 0));
    const again = await on.ingress().post(eventWith("evt_1", { delayMs: 60_000 }));
    expect(again).toEqual({ ...first, state: "cancelled", duplicate: true });
  });

  test.each(before)(
    "over a message that is %s, also when its event is posted again after its dedup window",
    async (_state, bring) => {
      const messageId = await bring();
      await endDedupWindow(on, messageIdOf("evt_1", 0));
      const again = await on.ingress().post(eventWith("evt_1", { priority: "low" }));
      expect(again).toEqual({ kind: "conflict", messageId });
      expect(await on.ingress().rollback("evt_1")).toMatchObject({ kind: "cancelled", messageId });
      await nothingIsOwed(messageId);
    },
  );

  test("takes a queued message's place in the backlog away at once", async () => {
    const ingress = on.ingress({ maxBacklog: 1 });
    await ingress.post(eventWith("evt_1"));
    expect((await ingress.post(eventWith("evt_2"))).kind).toBe("full");
    await ingress.rollback("evt_1");
    expect(await streams(on)).toEqual({ entries: [], pending: 0 });
    expect((await ingress.post(eventWith("evt_2"))).kind).toBe("accepted");
  });

  test("when Redis has no memory left: nothing frees more than a mail that is not sent", async () => {
    const { messageId } = accepted(await on.ingress().post(eventWith("evt_1")));
    await on.server.raw.config("SET", "maxmemory", "1");
    try {
      expect(await on.ingress().rollback("evt_1")).toMatchObject({ kind: "cancelled", messageId });
    } finally {
      await on.server.raw.config("SET", "maxmemory", "0");
    }
  });
});

describe("a rollback that comes while the mail is being sent", () => {
  const outcomes: [string, (claim: Taken) => Promise<unknown>, State[]][] = [
    [
      "deferred",
      (claim) => settle(owner(on.redis, TAG, "a"), "deferred", [{ ...claim, delayMs: 0, reason }]),
      ["deferred", "cancelled"],
    ],
    ["dead", (claim) => settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason }]), ["dead", "cancelled"]],
    [
      "unknown",
      (claim) => settle(owner(on.redis, TAG, "a"), "unknown", [{ ...claim, resendDelayMs: 0, reason }]),
      ["unknown", "cancelled"],
    ],
    [
      "held",
      (claim) => settle(owner(on.redis, TAG, "a"), "unknown", [{ ...claim, resendDelayMs: undefined, reason }]),
      ["unknown", "cancelled"],
    ],
    [
      "released",
      (claim) => settle(owner(on.redis, TAG, "a"), "released", [{ ...claim, reason }]),
      ["queued", "cancelled"],
    ],
    [
      "postponed",
      (claim) => settle(owner(on.redis, TAG, "a"), "postponed", [{ ...claim, delayMs: 0, counts: true, reason }]),
      ["scheduled", "cancelled"],
    ],
    ["cancelled", (claim) => settle(owner(on.redis, TAG, "a"), "cancelled", [{ ...claim, reason }]), ["cancelled"]],
    [
      "reclaimed",
      () => reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "resend" }),
      ["unknown", "cancelled"],
    ],
  ];
  test.each(outcomes)("is told so, and no other attempt follows one that was %s", async (_outcome, settle, states) => {
    const claim = await postAndTake(on, "evt_1", "a");
    expect(await on.ingress().rollback("evt_1")).toMatchObject({ kind: "in_flight", messageId: claim.messageId });
    await settle(claim);
    const message = await createMessages(on.redis, 1).byId(claim.messageId);
    expect(message?.timeline.map(({ state }) => state).slice(2)).toEqual(states);
    await promote(on.redis, TAG, 10);
    await nothingIsOwed(claim.messageId);
    expect(await on.server.raw.pttl(key.message(TAG, claim.messageId))).toBeGreaterThan(0);
    const may = states.includes("unknown");
    expect((await on.ingress().rollback("evt_1")).kind).toBe(may ? "too_late" : "cancelled");
    expect(message?.attempt).toBe(attemptsOf(message?.timeline ?? []).length);
  });

  test("is not undone by a commit, unless the mail has left", async () => {
    const ingress = on.ingress();
    const messageId = await hold("evt_1");
    await ingress.commit("evt_1");
    const [claim] = (await takeAll(on.redis, "a")) as [Taken];
    expect(await ingress.commit("evt_1")).toMatchObject({ kind: "committed", state: "sending" });
    expect((await ingress.rollback("evt_1")).kind).toBe("in_flight");
    expect(await ingress.commit("evt_1")).toEqual({ kind: "cancelled", messageId });
    await settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }]);
    expect(await ingress.commit("evt_1")).toMatchObject({ kind: "committed", messageId, state: "sent" });
  });

  test("is too late when the mail has left, then and later", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    expect((await on.ingress().rollback("evt_1")).kind).toBe("in_flight");
    await settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }]);
    expect(await on.ingress().rollback("evt_1")).toEqual({
      kind: "too_late",
      messageId: claim.messageId,
      state: "sent",
    });
    expect(await stateOf(claim.messageId)).toBe("sent");
  });

  test("no other attempt follows one that was sent, also when the event is posted again after its dedup window", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await on.ingress().rollback("evt_1");
    await settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }]);
    await endDedupWindow(on, claim.messageId);
    expect(await on.ingress().post(eventWith("evt_1"))).toMatchObject({ state: "sent", duplicate: true });
    expect(await takeAll(on.redis, "a")).toEqual([]);
  });
});

describe("a rollback is too late", () => {
  test("for a mail that has left, also after its dedup window", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }]);
    expect(await on.ingress().rollback("evt_1")).toMatchObject({ kind: "too_late", state: "sent" });
    await endDedupWindow(on, messageIdOf("evt_1", 0));
    expect(await on.ingress({ retentionMs: 7 * DAY_MS }).rollback("evt_1")).toMatchObject({
      kind: "too_late",
      state: "sent",
    });
    expect(await on.server.raw.pttl(key.message(TAG, claim.messageId))).toBeGreaterThan(6 * DAY_MS);
    expect(await on.ingress().post(eventWith("evt_1"))).toMatchObject({ state: "sent", duplicate: true });
    expect(await takeAll(on.redis, "a")).toEqual([]);
  });

  test("for a mail that may have left, and still no other attempt follows", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await settle(owner(on.redis, TAG, "a"), "unknown", [{ ...claim, resendDelayMs: 0, reason }]);
    expect(await on.ingress().rollback("evt_1")).toMatchObject({ kind: "too_late", state: "cancelled" });
    await promote(on.redis, TAG, 10);
    await nothingIsOwed(claim.messageId);
  });

  test("but not because of what a relay wrote into its reply", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await settle(owner(on.redis, TAG, "a"), "dead", [{ ...claim, reason: "550 user|unknown|here" }]);
    expect((await on.ingress().rollback("evt_1")).kind).toBe("cancelled");
  });
});

test("a message is found by its event for as long as it is kept, also after its dedup window", async () => {
  const claim = await postAndTake(on, "evt_1", "a");
  await settle(owner(on.redis, TAG, "a", 7 * DAY_MS), "sent", [{ ...claim, reply: "250 ok" }]);
  await endDedupWindow(on, messageIdOf("evt_1", 0));
  expect((await createMessages(on.redis, 1).byEvent("evt_1"))?.id).toBe(claim.messageId);
});
