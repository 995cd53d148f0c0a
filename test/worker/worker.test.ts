/* The worker on a real Redis and against relays that misbehave on order. */
import { describe, expect, test } from "bun:test";
import { attemptsOf, type State } from "../../src/domain/lifecycle.ts";
import { createRenderer } from "../../src/mail/render.ts";
import { createMailer } from "../../src/mail/transport.ts";
import { connect } from "../../src/stream/connect.ts";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { key, tagOf } from "../../src/stream/keys.ts";
import { take } from "../../src/stream/take.ts";
import { rollback } from "../../src/stream/transaction.ts";
import { eventWith } from "../support/event.ts";
import { until } from "../support/until.ts";
import { startWire } from "../support/wire.ts";
import { onPipeline } from "./fixture.ts";

const TAG = tagOf(0);
const FROM = "shop@example.org";
const POLICY = { maxRetries: 3, retryDelaysMs: [1], onUnknown: "resend" } as const;

const NEW_KIND = "dead letter of a new kind";

const on = onPipeline();

describe("a settlement whose reply is lost", () => {
  test.each([
    ["sent", "250 2.0.0 queued"],
    ["dead", "550 5.1.1 no such user"],
    ["deferred", "451 4.3.0 busy"],
  ])("is known to be written when it is sent again: %s", async (state, reply) => {
    const relay = await on.relayWith({ dot: "keep, hang" });
    const wire = await startWire(on.server.address.path);
    const redis = connect(wire.address, "worker");
    redis.on("error", () => {});
    await redis.connect();
    try {
      const policy = { ...POLICY, retryDelaysMs: [60_000] };
      const worker = await on.pipeline.startWorker(relay.url, { redis, policy });
      const id = await on.pipeline.post(eventWith("evt_1"));
      await relay.until(({ silent }) => silent === 1);
      wire.swallowReplies();
      relay.closeConnections(reply);
      await on.pipeline.entered(id, state as State);
      wire.cut();
      const line = await on.pipeline.lines.waitFor(({ msg }) => msg === `message ${state}`);
      expect(line).toMatchObject({ messageId: id, attempt: 1 });
      if (state === "dead") await on.pipeline.lines.waitFor(({ msg }) => msg === NEW_KIND);
      await worker.stop(1_000);
    } finally {
      redis.disconnect();
      await wire.stop();
    }
  });
});

describe("a message", () => {
  test("is sent, and leaves nothing pending or waiting behind", async () => {
    const relay = await on.relayWith();
    await on.pipeline.startWorker(relay.url);
    const id = await on.pipeline.post(eventWith("evt_1"));
    await on.pipeline.entered(id, "sent");
    expect(relay.received.map(({ envelope }) => envelope.to)).toEqual([["an@example.com"]]);
    expect(await on.statesOf(id)).toEqual(["queued", "sending", "sent"]);
    expect(await on.server.raw.xlen(key.queue(TAG, 0))).toBe(0);
    expect((await on.server.raw.xpending(key.queue(TAG, 0), "workers"))[0]).toBe(0);
  });

  test("waits for its delay, by Redis's clock", async () => {
    const relay = await on.relayWith();
    await on.pipeline.startWorker(relay.url);
    const id = await on.pipeline.post(eventWith("evt_1", { delayMs: 300 }));
    const sent = await on.pipeline.entered(id, "sending", 1);
    const message = await on.pipeline.messages.byId(id);
    expect(message?.timeline[0]?.state).toBe("scheduled");
    expect(sent.at).toBeGreaterThanOrEqual(message?.dueAt ?? Number.POSITIVE_INFINITY);
  });

  test("is deferred on 4yz and sent later, with the same Message-ID, each attempt counted and explained", async () => {
    const relay = await on.relayWith({ dot: ["451 4.3.0 try later"], rcpt: ["450 4.2.0 busy"] });
    await on.pipeline.startWorker(relay.url);
    const id = await on.pipeline.post(eventWith("evt_1"));
    await on.pipeline.entered(id, "sent", 3);
    const attempts = attemptsOf((await on.pipeline.messages.byId(id))?.timeline ?? []);
    expect(attempts.map(({ n, outcome }) => [n, outcome])).toEqual([
      [1, "deferred"],
      [2, "deferred"],
      [3, "sent"],
    ]);
    expect(attempts[0]?.reply).toContain("450 4.2.0 busy");
    expect(attempts[1]?.reply).toContain("451 4.3.0 try later");
    expect(relay.received).toHaveLength(1);
    expect(relay.received[0]?.raw.toString()).toContain(`Message-ID: <${id}@example.org>`);
  });

  test("is dead on 5yz at once, and when its retries are spent", async () => {
    const relay = await on.relayWith({ rcpt: ["550 5.1.1 no such user"], dot: "451 4.3.0 never" });
    await on.pipeline.startWorker(relay.url, { concurrency: 1 });
    const permanent = await on.pipeline.post(eventWith("evt_1"));
    await on.pipeline.entered(permanent, "dead", 1);
    const spent = await on.pipeline.post(eventWith("evt_2"));
    await on.pipeline.entered(spent, "dead", POLICY.maxRetries + 1);
    const { items } = await createDeadLetters(on.pipeline.redis, 1, 1_000).list({ limit: 10 });
    expect(items.map(({ id, death }) => [id, death?.reason])).toEqual([
      [spent, expect.stringContaining("451 4.3.0 never")],
      [permanent, expect.stringContaining("550 5.1.1 no such user")],
    ]);
  });

  test("gets a full set of retries when it is replayed", async () => {
    const relay = await on.relayWith({ rcpt: ["550 5.1.1 no"], dot: ["451 a", "451 b", "451 c"] });
    await on.pipeline.startWorker(relay.url);
    const id = await on.pipeline.post(eventWith("evt_1"));
    await on.pipeline.entered(id, "dead");
    const dead = createDeadLetters(on.pipeline.redis, 1, 1_000);
    expect(await dead.replay(id, { recipient: "binh@example.com" })).toBe("replayed");
    await on.pipeline.entered(id, "sent", 5);
    expect(relay.received[0]?.envelope.to).toEqual(["binh@example.com"]);
    expect(await dead.groups()).toEqual([]);
  });

  test("that no template knows, or that cannot be read, is a dead letter without an attempt", async () => {
    const relay = await on.relayWith();
    const unreadable = await on.pipeline.post(eventWith("evt_1"));
    const unknown = await on.pipeline.post(eventWith("evt_2"));
    await on.server.raw.hset(key.message(TAG, unreadable), "e", "{not json");
    const strange = { ...eventWith("evt_2"), type: "payment.vanished" };
    await on.server.raw.hset(key.message(TAG, unknown), "e", JSON.stringify(strange));
    await on.pipeline.startWorker(relay.url);
    const deaths = await Promise.all([on.pipeline.entered(unreadable, "dead"), on.pipeline.entered(unknown, "dead")]);
    expect(deaths[0].reason).toContain("cannot be read");
    expect(deaths[1].reason).toContain("cannot be rendered");
    for (const id of [unreadable, unknown]) {
      expect(attemptsOf((await on.pipeline.messages.byId(id))?.timeline ?? [])).toEqual([]);
    }
    expect(relay.received).toHaveLength(0);
  });
});

test("a rollback that waits in the journal wins over a mail that waits for a connection", async () => {
  const relay = await on.relayWith({ dot: ["keep, hang"] });
  const mailer = createMailer({ smtpUrl: relay.url, from: FROM, maxConnections: 1 });
  const rolledBack = new Set<string>();
  const rollbacks = { isRolledBack: (eventId: string) => rolledBack.has(eventId), hasChangedSince: () => false };
  await on.pipeline.startWorker(relay.url, { mailer, rollbacks });
  const first = await on.pipeline.post(eventWith("evt_1"));
  await relay.until(({ silent }) => silent === 1);
  const second = await on.pipeline.post(eventWith("evt_2"));
  await on.pipeline.entered(second, "sending");
  const sendingSince = performance.now();
  await until("it has waited", () => performance.now() - sendingSince > 100);
  rolledBack.add("evt_2");
  relay.closeConnections("250 2.0.0 queued");
  await Promise.all([on.pipeline.entered(first, "sent"), on.pipeline.entered(second, "cancelled")]);
  expect(await on.statesOf(second)).toEqual(["queued", "sending", "cancelled"]);
  const third = await on.pipeline.post(eventWith("evt_3"));
  await on.pipeline.entered(third, "sent");
  expect(relay.received).toHaveLength(2);
});

test("an entry that names no message is laid out as a dead letter, and people are told of it", async () => {
  await on.server.raw.xadd(key.queue(TAG, 0), "*", "nothing", "here");
  const relay = await on.relayWith();
  const { promise, resolve } = Promise.withResolvers<string>();
  await on.pipeline.startWorker(relay.url, { alert: ({ reason }) => resolve(reason) });
  expect(await promise).toContain("the entry names no message");
  expect(on.pipeline.lines.lines.filter(({ msg }) => msg === NEW_KIND)).toHaveLength(1);
});

describe("when the final dot was sent and no reply was read", () => {
  test("the message is unknown, and is sent again with the same Message-ID", async () => {
    const relay = await on.relayWith({ dot: ["keep, drop"] });
    await on.pipeline.startWorker(relay.url);
    const id = await on.pipeline.post(eventWith("evt_1"));
    await on.pipeline.entered(id, "sent", 2);
    expect(await on.statesOf(id)).toEqual(["queued", "sending", "unknown", "queued", "sending", "sent"]);
    const ids = relay.received.map(({ raw }) => /^Message-ID: (.+)$/m.exec(raw.toString())?.[1]);
    expect(ids).toEqual([`<${id}@example.org>`, `<${id}@example.org>`]);
  });

  test("and no retries are left it is dead by way of unknown: a rollback comes too late", async () => {
    const relay = await on.relayWith({ dot: ["keep, drop"] });
    await on.pipeline.startWorker(relay.url, { policy: { ...POLICY, maxRetries: 0 } });
    const id = await on.pipeline.post(eventWith("evt_1"));
    await on.pipeline.entered(id, "dead", 1);
    expect(await on.statesOf(id)).toEqual(["queued", "sending", "unknown", "dead"]);
    const message = await on.pipeline.messages.byId(id);
    expect(attemptsOf(message?.timeline ?? []).map(({ n, outcome }) => [n, outcome])).toEqual([[1, "unknown"]]);
    const rolledBack = await rollback(on.pipeline.redis, TAG, id, 60_000);
    expect(rolledBack.answer).toEqual({ kind: "too_late", messageId: id, state: "cancelled" });
  });

  test("with hold it waits for a person, who may replay it", async () => {
    const relay = await on.relayWith({ dot: ["keep, drop"] });
    await on.pipeline.startWorker(relay.url, { policy: { ...POLICY, onUnknown: "hold" } });
    const id = await on.pipeline.post(eventWith("evt_1"));
    await on.pipeline.entered(id, "unknown", 1);
    const dead = createDeadLetters(on.pipeline.redis, 1, 1_000);
    const { items } = await dead.list({ limit: 10 });
    expect(items.map((item) => [item.id, item.state])).toEqual([[id, "unknown"]]);
    await dead.replay(id, {});
    await on.pipeline.entered(id, "sent", 2);
  });
});

describe("when the relay is at fault", () => {
  test("no message spends an attempt, and mail flows when it is back", async () => {
    const relay = await on.relayWith();
    const { port } = relay;
    await relay.stop();
    await on.pipeline.startWorker(`smtp://127.0.0.1:${port}`);
    const ids = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => on.pipeline.post(eventWith(`evt_${n}`))));
    await on.pipeline.lines.waitFor(({ msg }) => msg === "relay is away, the queue waits");
    const back = await on.relayWith({ port });
    const sent = await Promise.all(ids.map((id) => on.pipeline.entered(id, "sent")));
    expect(sent.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1, 1, 1]);
    expect(back.received).toHaveLength(6);
  });

  test("421 at MAIL again and again does not spin: one message at a time is tried", async () => {
    const relay = await on.relayWith({ mail: ["421 4.7.0 slow down", "421 4.7.0 slow down", "421 4.7.0 slow down"] });
    await on.pipeline.startWorker(relay.url, { concurrency: 4 });
    const ids = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => on.pipeline.post(eventWith(`evt_${n}`))));
    const sent = await Promise.all(ids.map((id) => on.pipeline.entered(id, "sent")));
    expect(sent.every(({ attempt }) => attempt === 1)).toBe(true);
    expect(relay.received).toHaveLength(6);
  });
});

test("a mail that waits long for its final reply holds up no other one when the relay says 421 meanwhile", async () => {
  const relay = await on.relayWith({ dot: ["hang"], rcpt: ["ok", "421 4.3.2 come back"] });
  await on.pipeline.startWorker(relay.url);
  await on.pipeline.post(eventWith("evt_slow"));
  await relay.until(({ silent }) => silent === 1);
  const turnedAway = await on.pipeline.post(eventWith("evt_1"));
  await on.pipeline.lines.waitFor(({ msg }) => msg === "relay is away, the queue waits");
  await on.pipeline.entered(turnedAway, "sent");
  await on.pipeline.entered(await on.pipeline.post(eventWith("evt_2")), "sent");
});

describe("a worker that stops", () => {
  test("lets what is in flight end within the deadline", async () => {
    const relay = await on.relayWith();
    const worker = await on.pipeline.startWorker(relay.url);
    const ids = await Promise.all(Array.from({ length: 40 }, (_, n) => on.pipeline.post(eventWith(`evt_${n}`))));
    await on.pipeline.entered(ids[0] as string, "sending");
    await worker.stop(5_000);
    for (const id of ids) expect(["queued", "sent"]).toContain((await on.pipeline.messages.byId(id))?.state as string);
    expect((await on.server.raw.xpending(key.queue(TAG, 0), "workers"))[0]).toBe(0);
  });

  test("gives back what hangs before its final dot, without spending the attempt", async () => {
    const relay = await on.relayWith({ rcpt: ["hang"] });
    const worker = await on.pipeline.startWorker(relay.url);
    const id = await on.pipeline.post(eventWith("evt_1"));
    await relay.until(({ commands }) => commands.some((line) => line.startsWith("RCPT")));
    await worker.stop(0);
    const message = await on.pipeline.messages.byId(id);
    expect(message?.state).toBe("queued");
    expect(message?.attempt).toBe(0);
    await on.pipeline.startWorker(relay.url);
    expect((await on.pipeline.entered(id, "sent")).attempt).toBe(1);
  });

  test("says unknown of what hangs after its final dot", async () => {
    const relay = await on.relayWith({ dot: ["keep, hang"] });
    const worker = await on.pipeline.startWorker(relay.url, { policy: { ...POLICY, retryDelaysMs: [60_000] } });
    const id = await on.pipeline.post(eventWith("evt_1"));
    await relay.until(({ received }) => received.length === 1);
    await worker.stop(0);
    expect((await on.pipeline.messages.byId(id))?.state).toBe("unknown");
  });
});

describe("a worker that starts", () => {
  test.each([1, 2])("with nothing wrong has no error in its log (%d partitions)", async (partitions) => {
    const relay = await on.relayWith();
    await on.pipeline.startWorker(relay.url, { partitions });
    await on.pipeline.entered(await on.pipeline.post(eventWith("evt_1")), "sent");
    expect(on.pipeline.lines.lines.filter(({ level }) => Number(level) > 30)).toEqual([]);
  });

  test("reclaims at once what its own earlier life left", async () => {
    const relay = await on.relayWith();
    const id = await on.pipeline.post(eventWith("evt_1"));
    await take(on.pipeline.redis, TAG, "worker-test", 1, [0, 0, 0]);
    await on.pipeline.startWorker(relay.url);
    await on.pipeline.entered(id, "sent", 2);
    expect(await on.statesOf(id)).toEqual(["queued", "sending", "unknown", "queued", "sending", "sent"]);
  });

  test("reclaims what another worker left when the lease has run out, not before", async () => {
    const relay = await on.relayWith();
    const id = await on.pipeline.post(eventWith("evt_1"));
    await take(on.pipeline.redis, TAG, "worker-other", 1, [0, 0, 0]);
    const takenAt = performance.now();
    await on.pipeline.startWorker(relay.url, { leaseMs: 600 });
    await on.pipeline.entered(id, "sent", 2);
    expect(performance.now() - takenAt).toBeGreaterThanOrEqual(600);
  });

  test("keeps its own lease while a mail takes longer than that", async () => {
    const relay = await on.relayWith({ dot: ["hang"] });
    const mailer = createMailer({ smtpUrl: relay.url, from: FROM, maxConnections: 4, timeouts: { replyMs: 2_000 } });
    await on.pipeline.startWorker(relay.url, { leaseMs: 500, mailer, policy: { ...POLICY, onUnknown: "hold" } });
    const id = await on.pipeline.post(eventWith("evt_1"));
    await on.pipeline.entered(id, "unknown");
    expect(await on.statesOf(id)).toEqual(["queued", "sending", "unknown"]);
  });
});

describe("when Redis goes away under a worker", () => {
  test("kill -9 under load: each accepted event has its mail, and every loop recovers", async () => {
    const relay = await on.relayWith();
    await on.pipeline.startWorker(relay.url, { concurrency: 10 });
    const accepted: string[] = [];
    const posting = (async () => {
      for (let n = 0; n < 400; n++) {
        const id = await on.pipeline.post(eventWith(`evt_${n}`)).catch(() => undefined);
        if (id !== undefined) accepted.push(id);
        if (n === 100 || n === 250) {
          await on.server.kill();
          await on.server.start();
        }
      }
    })();
    await posting;
    expect(accepted.length).toBeGreaterThan(300);
    for (const id of accepted) await on.pipeline.entered(id, "sent");
    const mailed = new Set(relay.received.map(({ raw }) => /^Message-ID: <(.+)@/m.exec(raw.toString())?.[1]));
    expect(accepted.filter((id) => !mailed.has(id))).toEqual([]);
  });

  test("restarted empty, with its group lost, it goes on with what comes next", async () => {
    const relay = await on.relayWith();
    await on.pipeline.startWorker(relay.url);
    await on.pipeline.entered(await on.pipeline.post(eventWith("evt_1")), "sent");
    await on.server.raw.flushall();
    const id = await on.pipeline.post(eventWith("evt_2"));
    await on.pipeline.entered(id, "sent");
    expect(relay.received).toHaveLength(2);
  });

  test("an outcome that cannot be written is kept until Redis is back, and is not tried again", async () => {
    const relay = await on.relayWith({ dot: ["hang", "hang"] });
    const first = await on.pipeline.post(eventWith("evt_1"));
    await on.pipeline.startWorker(relay.url, { render: createRenderer({ from: FROM }) });
    await relay.until(({ commands }) => commands.includes("DATA"));
    await on.server.kill();
    relay.closeConnections();
    await on.pipeline.lines.waitFor(({ msg }) => msg === "settlements wait for redis");
    await on.server.start();
    await on.pipeline.entered(first, "unknown", 1);
  });
});
