/* 400 messages, some in every state, while the number of partitions goes from one to four and back. */
import { expect, test } from "bun:test";
import type { Event } from "../../src/domain/event.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { startRedis } from "../support/redis.ts";
import { startRelay } from "../support/relay.ts";
import { INGEST_KEY, makeDataDir, startService, type TestService } from "../support/service.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();
const EACH = 50;
const DAY_MS = 86_400_000;

interface Found {
  id: string;
  eventId: string;
  state: string;
}

/** In this order: the relay's script is used up by those that go to it. */
const WAYS: Record<string, Event["options"]> = {
  dead: { delayMs: 0 },
  deferred: { delayMs: 0 },
  unknown: { delayMs: 0 },
  sent: { delayMs: 0 },
  queued: { delayMs: 0, priority: "low" },
  scheduled: { delayMs: DAY_MS },
  held: { hold: true },
  cancelled: { delayMs: DAY_MS },
};
const NUMBERS = Array.from({ length: EACH }, (_, n) => n);
const emailOf = (eventId: string) => `${eventId}@example.com`;

async function admin(service: TestService, method: string, path: string, body?: object) {
  const response = await fetch(new URL(path, service.url), {
    method,
    headers: { authorization: `Bearer ${service.adminToken}` },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json().catch(() => ({}))) as Record<string, unknown> };
}

test("each is found by all means, posted again without a second mail, decided and replayed where it is", async () => {
  const redis = await startRedis();
  const directory = makeDataDir();
  const relay = await startRelay({
    rcpt: [...NUMBERS.map(() => "550 5.1.1 no such user" as const), ...NUMBERS.map(() => "451 4.2.1 later" as const)],
    dot: NUMBERS.map(() => "keep, drop" as const),
  });
  const service = await startService(directory.path, {
    REDIS_URL: `unix:${redis.address.path}`,
    SMTP_URL: relay.url,
    ON_UNKNOWN: "hold",
    RETRY_DELAYS: "1h",
    MAX_RETRIES: "1",
  });
  cleanups.push(
    directory.remove,
    () => redis.stop(),
    () => relay.stop(),
    () => service.stop(),
  );
  const ids = new Map<string, string>();
  const states = new Map<string, string>();
  const list = async (query: string): Promise<Found[]> => {
    const items: Found[] = [];
    for (let cursor = ""; ; ) {
      const { body } = await admin(service, "GET", `/v1/messages?${query}&limit=200${cursor && `&cursor=${cursor}`}`);
      items.push(...(body["items"] as Found[]));
      if (!body["cursor"]) return items;
      cursor = String(body["cursor"]);
    }
  };
  const eventIds = (way: string) => NUMBERS.map((n) => `${way}_${n}`);
  const decide = async (eventId: string, decision: "commit" | "rollback", result: string, state: string) => {
    expect(await (await service.decide(eventId, decision)).json()).toMatchObject({ result });
    states.set(eventId, state);
  };

  await admin(service, "POST", "/v1/queues/low/pause");
  for (const [way, options] of Object.entries(WAYS)) {
    for (const eventId of eventIds(way)) {
      ids.set(
        eventId,
        ((await (await service.post(eventWith(eventId, options, emailOf(eventId)))).json()) as Found).id,
      );
      states.set(eventId, way);
    }
    if (way === "cancelled") for (const eventId of eventIds(way)) await decide(eventId, "rollback", "cancelled", way);
    await until(`all are ${way}`, async () => (await list(`state=${way}`)).length === EACH, 30_000);
  }
  expect(ids.size).toBe(400);

  async function allAreThere(): Promise<void> {
    for (const [eventId, id] of ids) {
      const wanted = { id, eventId, state: states.get(eventId) };
      for (const path of [`/v1/events/${eventId}`, `/v1/messages/${id}`])
        expect(await (await service.get(path, INGEST_KEY)).json()).toMatchObject(wanted);
      for (const query of [`recipient=${emailOf(eventId)}`, `booking=BK-${eventId}`])
        expect((await list(query)).map(({ id: found, state }) => [found, state])).toEqual([[id, wanted.state ?? ""]]);
      const again = await service.post(eventWith(eventId, WAYS[eventId.replace(/_.*/, "")], emailOf(eventId)));
      expect([again.status, await again.json()]).toEqual([202, expect.objectContaining({ id, duplicate: true })]);
    }
    for (const state of new Set(states.values())) {
      const wanted = [...states].filter(([, one]) => one === state).map(([eventId]) => eventId);
      expect((await list(`state=${state}`)).map(({ eventId }) => eventId).sort()).toEqual(wanted.sort());
    }
  }
  const count = (ways: string[]) => [...states.values()].filter((state) => ways.includes(state)).length;
  async function deadAreListed(): Promise<void> {
    const { body } = await admin(service, "GET", "/v1/dead?limit=200");
    const groups = body["groups"] as { count: number }[];
    expect(groups.reduce((sum, group) => sum + group.count, 0)).toBe(count(["dead", "unknown"]));
  }
  /** A part of each kind, the rest stays for after the next change. */
  async function decideSome(from: number, to: number): Promise<void> {
    for (const n of NUMBERS.slice(from, to)) {
      for (const way of ["scheduled", "deferred", "queued"])
        await decide(`${way}_${n}`, "rollback", "cancelled", "cancelled");
      if (n % 2 === 0) await decide(`held_${n}`, "rollback", "cancelled", "cancelled");
      else await decide(`held_${n}`, "commit", "committed", "sent");
      await decide(`sent_${n}`, "rollback", "too_late", "sent");
      await decide(`cancelled_${n}`, "rollback", "cancelled", "cancelled");
      const dead = ids.get(`dead_${n}`);
      if (n % 2 === 0) expect((await admin(service, "POST", `/v1/dead/${dead}/replay`, {})).status).toBe(202);
      else expect((await admin(service, "DELETE", `/v1/dead/${dead}`)).status).toBeLessThan(300);
      states.set(`dead_${n}`, n % 2 === 0 ? "sent" : "cancelled");
    }
    await until("what may go is sent", async () => (await list("state=sent")).length === count(["sent"]));
  }

  for (const [number, from, to] of [
    [4, 0, 20],
    [1, 20, 40],
  ] as const) {
    expect((await admin(service, "POST", "/v1/partitions", { partitions: number })).body).toMatchObject({
      partitions: number,
    });
    await allAreThere();
    await deadAreListed();
    await decideSome(from, to);
    await allAreThere();
    await deadAreListed();
  }
  await admin(service, "POST", "/v1/queues/low/resume");
  for (const eventId of eventIds("queued")) if (states.get(eventId) === "queued") states.set(eventId, "sent");
  await until("the queue that was paused is empty", async () => (await list("state=sent")).length === count(["sent"]));
  await allAreThere();
  const mailed = relay.received.map(({ envelope }) => envelope.to[0]?.replace(/@.*/, "") ?? "");
  expect(mailed.sort()).toEqual([...states].flatMap(([id, state]) => (/sent|unknown/.test(state) ? [id] : [])).sort());
}, 180_000);
