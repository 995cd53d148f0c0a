/*
 * The real scripts on a real Redis against a small model, under random interleavings: no message is lost, none
 * is in two places, none is settled by a stranger, the idempotency key holds, the counters add up.
 */
import { afterAll, beforeAll, describe, test } from "bun:test";
import fc from "fast-check";
import type { Redis } from "ioredis";
import type { State } from "../../src/domain/lifecycle.ts";
import { PRIORITIES } from "../../src/domain/lifecycle.ts";
import { connect } from "../../src/stream/connect.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { createIngress } from "../../src/stream/ingress.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { heartbeat, reclaim } from "../../src/stream/lease.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { createQueues } from "../../src/stream/queues.ts";
import { settle } from "../../src/stream/settle.ts";
import { promote, type Taken, take } from "../../src/stream/take.ts";
import { check as checkHeld, leaveUndecided } from "../../src/stream/transaction.ts";
import { eventWith } from "../support/event.ts";
import { keepLines } from "../support/log.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { owner } from "./fixture.ts";

const RUNS = Number(Bun.env["MODEL_RUNS"] ?? 2_000);
const TAG = tagOf(0);
const DAY_MS = 86_400_000;
const MAX_RETRIES = 2;
const FIRST_CHECK_MS = 60;
const CHECKS_MS = [FIRST_CHECK_MS, 80, 100];
const CONSUMERS = ["a", "b", "c"] as const;

/** The scripts read their time here instead of from TIME, so that a test can move it. */
const CLOCK = `local function now() return tonumber(redis.call('GET', '${TAG}:clock')) end`;

interface Known {
  state: State;
  attempt: number;
  attemptsBefore: number;
  owner: string;
  dueAt: number;
  laidOut: boolean;
  body: string;
  /** While held: the delay after a commit, and the times its booking store was asked. */
  delayMs: number;
  asked: number;
  rolledBack: boolean;
  /** An attempt ended in UNKNOWN: the mail may have left. */
  mayHaveLeft: boolean;
}

class Model {
  now = 1_000_000;
  messages = new Map<string, Known>();
  /** Idempotency key -> message and body. */
  keys = new Map<string, { messageId: string; body: string }>();
  /** What workers believe that they own, right or wrong: a worker that was reclaimed from still holds its copy. */
  claims: { taken: Taken; consumer: string }[] = [];
}

let server: TestRedis;
let redis: Redis;

beforeAll(async () => {
  server = await startRedis("--appendonly", "no");
  redis = connect(server.address, "worker", CLOCK);
  await redis.connect();
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

const ingressOptions = {
  partitions: 1,
  delayMs: 100,
  dedupTtlMs: DAY_MS,
  retentionMs: 86_400_000,
  firstCheckMs: FIRST_CHECK_MS,
  maxBacklog: 50,
  durability: () => "written" as const,
  minReplicas: 0,
  log: keepLines().log,
};

const ingress = () => createIngress(redis, ingressOptions);

type Step = (model: Model) => Promise<void>;

function post(slot: number, delayMs: number, rank: number, variant: number, hold: boolean): Step {
  return async (model) => {
    const event = eventWith(`e${slot}`, { delayMs, priority: PRIORITIES[rank] ?? "low", hold });
    event.data.booking.title = `variant ${variant}`;
    const body = JSON.stringify(event);
    const posted = await ingress().post(event);
    const known = model.keys.get(event.id);
    if (known === undefined || known.body === "") {
      const state = known !== undefined ? "cancelled" : hold ? "held" : delayMs > 0 ? "scheduled" : "queued";
      check(posted.kind === "accepted" && !posted.duplicate, `a first post was ${JSON.stringify(posted)}`);
      if (posted.kind !== "accepted") return;
      model.keys.set(event.id, { messageId: posted.messageId, body });
      model.messages.set(posted.messageId, {
        state,
        attempt: 0,
        attemptsBefore: 0,
        owner: "",
        dueAt: model.now + (hold ? FIRST_CHECK_MS : delayMs),
        laidOut: false,
        body,
        delayMs,
        asked: 0,
        rolledBack: false,
        mayHaveLeft: false,
      });
    } else if (known.body === body) {
      const state = model.messages.get(known.messageId)?.state;
      const same = posted.kind === "accepted" && posted.duplicate && posted.messageId === known.messageId;
      check(same && posted.state === state, `a second post was ${JSON.stringify(posted)}, the message is ${state}`);
    } else {
      check(
        posted.kind === "conflict" && posted.messageId === known.messageId,
        `another body was ${JSON.stringify(posted)}`,
      );
    }
  };
}

const advance =
  (ms: number): Step =>
  async (model) => {
    model.now += ms;
    await redis.set(`${TAG}:clock`, model.now);
  };

const due =
  (limit: number): Step =>
  async (model) => {
    const { messages } = await promote(redis, TAG, limit);
    const waiting = [...model.messages].filter(
      ([, m]) => ["scheduled", "deferred"].includes(m.state) || (m.state === "unknown" && !m.laidOut),
    );
    const ready = waiting.filter(([, m]) => m.dueAt <= model.now);
    check(messages.length === Math.min(limit, ready.length), `${messages.length} promoted of ${ready.length} due`);
    for (const { messageId } of messages) {
      const m = model.messages.get(messageId);
      check(m !== undefined && ready.some(([id]) => id === messageId), `${messageId} was promoted before its time`);
      if (m !== undefined) m.state = "queued";
    }
  };

const takeSome =
  (who: number, free: number): Step =>
  async (model) => {
    const consumer = CONSUMERS[who] as string;
    const taken = await take(redis, TAG, consumer, free, [1, 1, 0]);
    const queued = [...model.messages.values()].filter((m) => m.state === "queued").length;
    check(taken.length === Math.min(free, queued), `${taken.length} taken with ${free} free and ${queued} queued`);
    for (const one of taken) {
      const m = model.messages.get(one.messageId);
      check(m?.state === "queued", `${one.messageId} was taken while ${m?.state}`);
      if (m === undefined) continue;
      Object.assign(m, { state: "sending", attempt: m.attempt + 1, owner: consumer });
      check(one.attempt === m.attempt && one.attemptsBefore === m.attemptsBefore, "the attempt was miscounted");
      check(one.json === m.body, "the event changed on its way");
      model.claims.push({ taken: one, consumer });
    }
  };

type Way =
  | "sent"
  | "defer"
  | "bury"
  | "bury, maybe sent"
  | "resend"
  | "hold"
  | "release"
  | "postpone"
  | "cancel"
  | "heartbeat";

/** Settles a belief, as whoever `stranger` says: only the true owner of this very attempt may get through. */
const settleClaim =
  (which: number, way: Way, stranger: boolean): Step =>
  async (model) => {
    const claim = model.claims[which % Math.max(model.claims.length, 1)];
    if (claim === undefined) return;
    const { taken } = claim;
    const consumer = stranger ? "stranger" : claim.consumer;
    const m = model.messages.get(taken.messageId);
    if (m === undefined) throw new Error("a claim on no message");
    const mine = m.state === "sending" && m.owner === consumer && m.attempt === taken.attempt;
    const reason = "451 4.3.0 busy";
    const written = await {
      sent: () => settle(owner(redis, TAG, consumer), "sent", [{ ...taken, reply: "250 ok" }]),
      defer: () => settle(owner(redis, TAG, consumer), "deferred", [{ ...taken, delayMs: 50, reason }]),
      bury: () => settle(owner(redis, TAG, consumer), "dead", [{ ...taken, reason }]),
      "bury, maybe sent": async () =>
        settle(owner(redis, TAG, consumer), "dead", [{ ...taken, how: "unknown", reason }]),
      resend: () => settle(owner(redis, TAG, consumer), "unknown", [{ ...taken, resendDelayMs: 20, reason }]),
      hold: () => settle(owner(redis, TAG, consumer), "unknown", [{ ...taken, resendDelayMs: undefined, reason }]),
      release: () => settle(owner(redis, TAG, consumer), "released", [{ ...taken, reason }]),
      postpone: () =>
        settle(owner(redis, TAG, consumer), "postponed", [{ ...taken, delayMs: 40, counts: true, reason }]),
      cancel: () => settle(owner(redis, TAG, consumer), "cancelled", [{ ...taken, reason }]),
      heartbeat: () => heartbeat(redis, TAG, consumer, [taken]),
    }[way]();
    check(written[0] === mine, `${way} by ${consumer} was ${written[0]}, it should be ${mine}`);
    if (!mine || way === "heartbeat") return;
    model.claims.splice(model.claims.indexOf(claim), 1);
    m.owner = "";
    if (way === "resend" || way === "hold" || way === "bury, maybe sent") m.mayHaveLeft = true;
    if (way === "sent") m.state = "sent";
    if (way === "cancel") Object.assign(m, { state: "cancelled", attempt: m.attempt - 1 });
    if (way === "cancel" || way === "sent") return;
    if (m.rolledBack) {
      m.state = "cancelled";
      return;
    }
    if (way === "postpone") {
      Object.assign(m, { state: "scheduled", attempt: m.attempt - 1, dueAt: model.now + 40, asked: m.asked + 1 });
    }
    if (way === "defer") Object.assign(m, { state: "deferred", dueAt: model.now + 50 });
    if (way === "bury" || way === "bury, maybe sent") Object.assign(m, { state: "dead", laidOut: true });
    if (way === "resend") Object.assign(m, { state: "unknown", dueAt: model.now + 20 });
    if (way === "hold") Object.assign(m, { state: "unknown", laidOut: true, dueAt: model.now });
    if (way === "release") Object.assign(m, { state: "queued", attempt: m.attempt - 1 });
  };

/** A worker is gone; its entries are reclaimed. What it believes stays, as a stale claim. */
const crash =
  (who: number | undefined, onUnknown: "resend" | "hold"): Step =>
  async (model) => {
    const consumer = who === undefined ? undefined : (CONSUMERS[who] as string);
    const whose = consumer === undefined ? { except: "nobody" } : { of: consumer };
    const reclaimed = await reclaim(redis, TAG, whose, 0, { maxRetries: MAX_RETRIES, onUnknown });
    const lost = [...model.messages].filter(
      ([, m]) => m.state === "sending" && (consumer === undefined || m.owner === consumer),
    );
    check(reclaimed.length === lost.length, `${reclaimed.length} reclaimed of ${lost.length}`);
    for (const { messageId, fate } of reclaimed) {
      const m = model.messages.get(messageId);
      if (m === undefined) throw new Error("reclaimed no message");
      const spent = m.attempt - m.attemptsBefore > MAX_RETRIES;
      const expected = m.rolledBack ? "cancelled" : onUnknown === "hold" ? "hold" : spent ? "dead" : "resend";
      check(fate === expected, `its fate was ${fate}, not ${expected}`);
      m.owner = "";
      m.mayHaveLeft = true;
      if (fate === "cancelled") {
        m.state = "cancelled";
        continue;
      }
      m.laidOut = fate !== "resend";
      m.state = fate === "hold" ? "unknown" : fate === "dead" ? "dead" : "queued";
    }
  };

const person =
  (which: number, act: "replay" | "edit" | "drop"): Step =>
  async (model) => {
    const entry = [...model.messages][which % Math.max(model.messages.size, 1)];
    if (entry === undefined) return;
    const [id, m] = entry;
    const dead = createDeadLetters(redis, 1, DAY_MS);
    const edit = act === "edit" ? { recipient: "other@example.com" } : {};
    const result = act === "drop" ? await dead.drop(id) : await dead.replay(id, edit);
    check(result === (m.laidOut ? (act === "drop" ? "dropped" : "replayed") : "not_dead"), `${act} was ${result}`);
    if (!m.laidOut) return;
    m.laidOut = false;
    m.state = act === "drop" ? "cancelled" : "queued";
    if (act !== "drop") m.attemptsBefore = m.attempt;
    if (act === "edit") m.body = m.body.replace("an@example.com", "other@example.com");
  };

const commitOf =
  (slot: number): Step =>
  async (model) => {
    const answer = await ingress().commit(`e${slot}`);
    const known = model.keys.get(`e${slot}`);
    const m = known && model.messages.get(known.messageId);
    const rolledBack = !m || m.state === "cancelled" || (m.state === "sending" && m.rolledBack);
    const expected = known === undefined ? "not_found" : rolledBack ? "cancelled" : "committed";
    check(answer.kind === expected, `the commit was ${answer.kind}, not ${expected}`);
    if (m?.state !== "held") return;
    Object.assign(m, { state: m.delayMs > 0 ? "scheduled" : "queued", dueAt: model.now + m.delayMs, asked: 0 });
  };

const rollbackOf =
  (slot: number): Step =>
  async (model) => {
    const eventId = `e${slot}`;
    const answer = await ingress().rollback(eventId);
    const known = model.keys.get(eventId);
    const m = known && model.messages.get(known.messageId);
    if (known === undefined) model.keys.set(eventId, { messageId: "", body: "" });
    const left = m?.mayHaveLeft || m?.state === "sent";
    const expected = left ? "too_late" : m?.state === "sending" ? "in_flight" : "cancelled";
    check(answer.kind === expected, `the rollback was ${answer.kind}, not ${expected}`);
    if (m === undefined || m.state === "sent") return;
    if (m.state === "sending") m.rolledBack = true;
    else Object.assign(m, { state: "cancelled", laidOut: false });
  };

const checkBack = (): Step => async (model) => {
  const { undecided } = await checkHeld(redis, TAG, 100, CHECKS_MS);
  const ready = [...model.messages].filter(([, m]) => m.state === "held" && m.dueAt <= model.now);
  check(undecided.length === ready.length, `${undecided.length} checked of ${ready.length} due`);
  for (const { messageId, asked } of undecided) {
    const m = model.messages.get(messageId);
    if (m === undefined) throw new Error("checked no message");
    m.asked += 1;
    check(asked === m.asked, `asked ${asked} times, not ${m.asked}`);
    const isLast = m.asked >= CHECKS_MS.length;
    m.dueAt = isLast ? Number.POSITIVE_INFINITY : model.now + (CHECKS_MS[m.asked] ?? 0);
    check(await leaveUndecided(redis, TAG, { messageId, asked, eventId: "", json: "" }, isLast), "it was decided");
  }
};

/** The group is destroyed, as a failover or a person might: everything in the streams comes again. */
const loseGroup = (): Step => async (model) => {
  for (const rank of [0, 1, 2]) await redis.xgroup("DESTROY", key.queue(TAG, rank), "workers").catch(() => {});
  // What is being sent goes into a new pending list with the next take: only then could it be reclaimed.
  for (const consumer of CONSUMERS) await takeSome(CONSUMERS.indexOf(consumer), 50)(model);
};

/** Every place where a message may be, held against the model. */
async function invariants(model: Model): Promise<void> {
  const places = new Map<string, string[]>();
  const see = (id: string, place: string) => places.set(id, [...(places.get(id) ?? []), place]);
  for (const rank of [0, 1, 2]) {
    for (const [, fields] of await redis.xrange(key.queue(TAG, rank), "-", "+")) see(fields[1] ?? "", "stream");
  }
  for (const id of await redis.zrange(key.due(TAG), "0", "-1")) see(id, "due");
  for (const id of await redis.zrange(key.held(TAG), "0", "-1")) see(id, "held");
  for (const [, fields] of await redis.xrange(key.dead(TAG), "-", "+")) see(fields[1] ?? "", "dead");
  const expected: Partial<Record<State, string>> = {
    queued: "stream",
    sending: "stream",
    scheduled: "due",
    deferred: "due",
    held: "held",
    dead: "dead",
  };
  const messages = createMessages(redis, 1);
  for (const [id, m] of model.messages) {
    const place = m.state === "unknown" ? (m.laidOut ? "dead" : "due") : expected[m.state];
    // A message that is cancelled while queued leaves its stream when somebody comes to take it.
    const stale = m.state === "cancelled" && places.get(id)?.join() === "stream";
    check(stale || (places.get(id) ?? []).join() === (place ?? ""), `${m.state} ${id} is in [${places.get(id)}]`);
    places.delete(id);
    const seen = await messages.byId(id);
    check(
      seen?.state === m.state && (seen.attempt === m.attempt || m.rolledBack),
      `${id} is ${seen?.state} ${seen?.attempt}, not ${m.state} ${m.attempt}`,
    );
    check(seen?.timeline.at(-1)?.state === m.state, `the timeline of ${id} ends in ${seen?.timeline.at(-1)?.state}`);
    check((seen?.death !== undefined) === m.laidOut, `${id} has a death it should not have, or lacks one`);
  }
  check(places.size === 0, `ids in places that no message has: ${[...places.keys()]}`);
  const counts = await createQueues(redis, 1).counts();
  const groups = await createDeadLetters(redis, 1, DAY_MS).groups();
  const laidOut = [...model.messages.values()].filter((m) => m.laidOut).length;
  check(groups.reduce((sum, group) => sum + group.count, 0) === laidOut, "the groups of dead letters do not add up");
  for (const [state, { now }] of Object.entries(counts)) {
    const there = [...model.messages.values()].filter((m) => m.state === state).length;
    check(now === there, `counted ${now} ${state}, there are ${there}`);
  }
}

const slots = fc.nat(5);
const which = fc.nat(7);
const who = fc.nat(2);
const ways = fc.constantFrom<Way>(
  "sent",
  "defer",
  "bury",
  "bury, maybe sent",
  "resend",
  "hold",
  "release",
  "postpone",
  "cancel",
  "heartbeat",
);

interface Named {
  name: string;
  run: Step;
}

function weighted(weight: number, arbitrary: fc.Arbitrary<Named>) {
  return { weight, arbitrary };
}

const step = fc.oneof(
  weighted(
    6,
    fc
      .record({
        slot: slots,
        delayMs: fc.constantFrom(0, 0, 30, 100),
        rank: fc.nat(2),
        variant: fc.constantFrom(0, 0, 0, 1),
        hold: fc.constantFrom(false, false, true),
      })
      .map(({ slot, delayMs, rank, variant, hold }) => ({
        name: `post e${slot}, ${delayMs} ms, rank ${rank}, variant ${variant}${hold ? ", held" : ""}`,
        run: post(slot, delayMs, rank, variant, hold),
      })),
  ),
  weighted(
    2,
    fc.constantFrom(10, 50, 200).map((ms) => ({ name: `${ms} ms pass`, run: advance(ms) })),
  ),
  weighted(
    3,
    fc.constantFrom(1, 100).map((limit) => ({ name: `promote ${limit}`, run: due(limit) })),
  ),
  weighted(
    2,
    slots.map((slot) => ({ name: `commit e${slot}`, run: commitOf(slot) })),
  ),
  weighted(
    4,
    slots.map((slot) => ({ name: `roll back e${slot}`, run: rollbackOf(slot) })),
  ),
  weighted(1, fc.constant({ name: "check back", run: checkBack() })),
  weighted(
    6,
    fc.tuple(who, fc.integer({ min: 1, max: 5 })).map(([consumer, free]) => ({
      name: `${CONSUMERS[consumer]} takes ${free}`,
      run: takeSome(consumer, free),
    })),
  ),
  weighted(
    8,
    fc.tuple(which, ways, fc.constantFrom(false, false, false, true)).map(([claim, way, stranger]) => ({
      name: `${stranger ? "a stranger" : "the taker"} of #${claim}: ${way}`,
      run: settleClaim(claim, way, stranger),
    })),
  ),
  weighted(
    2,
    fc
      .tuple(fc.option(who, { nil: undefined }), fc.constantFrom<"resend" | "hold">("resend", "resend", "hold"))
      .map(([consumer, policy]) => ({
        name: `crash of ${consumer ?? "all"}, ${policy}`,
        run: crash(consumer, policy),
      })),
  ),
  weighted(
    2,
    fc.tuple(which, fc.constantFrom<"replay" | "edit" | "drop">("replay", "edit", "drop")).map(([message, act]) => ({
      name: `a person: ${act} #${message}`,
      run: person(message, act),
    })),
  ),
  weighted(1, fc.constant({ name: "the group is lost", run: loseGroup() })),
);

describe("the lifecycle, model-based", () => {
  test(`${RUNS} random interleavings keep every promise of the scripts`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40, size: "max" }), async (steps) => {
        await redis.flushall();
        const model = new Model();
        await advance(0)(model);
        const trail: string[] = [];
        try {
          for (const { name, run } of steps) {
            trail.push(name);
            await run(model);
          }
          await invariants(model);
        } catch (error) {
          throw new Error(`after:\n  ${trail.join("\n  ")}`, { cause: error });
        }
      }),
      { numRuns: RUNS },
    );
  }, 300_000);
});
