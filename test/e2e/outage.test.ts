/* Redis away: posts go on, nothing is lost, nothing doubles, rollbacks win. Seen from outside. */
import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import type { FakeRelay, RelayScript } from "../support/relay.ts";
import { INGEST_KEY, type TestService } from "../support/service.ts";
import { type Surroundings, serviceOn as startOn, setUp as surroundings } from "../support/surroundings.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();

const setUp = (script?: RelayScript) => surroundings(cleanups, script);
const serviceOn = (on: Surroundings) => startOn(cleanups, on);

async function decide(service: TestService, eventId: string, verb: "commit" | "rollback") {
  const response = await fetch(new URL(`/v1/events/${eventId}/${verb}`, service.url), {
    method: "POST",
    headers: { authorization: `Bearer ${INGEST_KEY}` },
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function accepted(service: TestService, event: unknown): Promise<Record<string, unknown>> {
  const response = await service.post(event);
  const body = (await response.json()) as Record<string, unknown>;
  expect([response.status, body]).toEqual([202, expect.objectContaining({ id: expect.any(String) })]);
  return body;
}

function mailedIds(relay: FakeRelay): string[] {
  return relay.received.map(({ raw }) => /^Message-ID: <(.+)@/m.exec(raw.toString())?.[1] ?? "");
}

async function stateOf(service: TestService, id: unknown): Promise<string> {
  return ((await (await service.get(`/v1/messages/${id}`)).json()) as { state: string }).state;
}

describe("Redis away", () => {
  test("posts go on through kill -9 of the service, and each event has one mail when Redis is back", async () => {
    const setup = await setUp();
    await setup.redis.kill();
    const first = await serviceOn(setup);
    expect((await first.get("/readyz")).status).toBe(200);
    const ids: unknown[] = [];
    const postTo = async (service: TestService, n: number) => {
      const body = await accepted(service, eventWith(`evt_${n}`));
      expect(body["durability"]).toBe("journaled");
      ids.push(body["id"]);
    };
    await Promise.all(Array.from({ length: 300 }, (_, n) => postTo(first, n)));
    await first.kill();
    const second = await serviceOn(setup);
    await Promise.all(Array.from({ length: 300 }, (_, n) => postTo(second, 150 + n)));
    expect((await accepted(second, eventWith("evt_0")))["duplicate"]).toBe(true);
    await setup.redis.start();
    await second.line(({ msg }) => msg === "journal drained");
    const wanted = new Set(ids);
    await until("each has its mail", () => mailedIds(setup.relay).length >= wanted.size, 30_000);
    expect(mailedIds(setup.relay).sort()).toEqual([...wanted].map(String).sort());
    expect(wanted.size).toBe(450);
  });

  test("a journal that is deleted meanwhile is begun anew, and what it held is mailed after kill -9", async () => {
    const setup = await setUp();
    await setup.redis.kill();
    const first = await serviceOn(setup);
    const ids: unknown[] = [];
    const post = async (n: number) => ids.push((await accepted(first, eventWith(`evt_${n}`)))["id"]);
    for (let n = 0; n < 20; n++) await post(n);
    for (const part of ["", "-wal", "-shm"]) rmSync(join(first.dataDir, `journal.sqlite${part}`));
    for (let n = 20; n < 40; n++) await post(n);
    expect(first.lines.filter(({ level, msg }) => level === 50 && msg.startsWith("journal"))).toHaveLength(1);
    await first.kill();
    await setup.redis.start();
    await serviceOn(setup);
    await until("each has its mail", () => mailedIds(setup.relay).length >= ids.length, 30_000);
    expect(mailedIds(setup.relay).sort()).toEqual(ids.map(String).sort());
  });

  test("another body under a journaled id is 422", async () => {
    const setup = await setUp();
    const service = await serviceOn(setup);
    await setup.redis.kill();
    await accepted(service, eventWith("evt_1"));
    expect((await service.post(eventWith("evt_1", undefined, "other@example.com"))).status).toBe(422);
  });

  test("a journal without room is 503 with Retry-After, and the next post after Redis's return is taken", async () => {
    const setup = await setUp();
    setup.env["JOURNAL_MAX_BYTES"] = "1500";
    const service = await serviceOn(setup);
    await setup.redis.kill();
    const statuses: number[] = [];
    for (let n = 0; n < 4; n++) {
      const response = await service.post(eventWith(`evt_${n}`));
      statuses.push(response.status);
      if (response.status === 503) expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    }
    expect(statuses[0]).toBe(202);
    expect(statuses.at(-1)).toBe(503);
    await setup.redis.start();
    await until("the posts are taken again", async () => (await service.post(eventWith("evt_9"))).status === 202);
  });

  test("a half-open Redis does not hold a post for 2 s, and the worker recovers by itself", async () => {
    const setup = await setUp();
    const service = await serviceOn(setup);
    await until(
      "a first mail",
      async () => (await stateOf(service, (await accepted(service, eventWith("evt_0")))["id"])) === "sent",
    );
    setup.redis.signal("SIGSTOP");
    const startedAt = performance.now();
    const body = await accepted(service, eventWith("evt_1"));
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(body["durability"]).toBe("journaled");
    setup.redis.signal("SIGCONT");
    await until("its mail", () => mailedIds(setup.relay).includes(String(body["id"])), 20_000);
  });
});

describe("a rollback while Redis is away", () => {
  test("wins over its event in the journal, whichever came first", async () => {
    const setup = await setUp();
    const service = await serviceOn(setup);
    await setup.redis.kill();
    await accepted(service, eventWith("evt_before"));
    expect(await decide(service, "evt_before", "rollback")).toMatchObject({
      status: 202,
      body: { result: "journaled", durability: "journaled" },
    });
    await decide(service, "evt_after", "rollback");
    expect(await accepted(service, eventWith("evt_after"))).toMatchObject({ state: "cancelled" });
    const mailed = await accepted(service, eventWith("evt_mailed"));
    await setup.redis.start();
    await until("the other's mail", () => mailedIds(setup.relay).includes(String(mailed["id"])), 20_000);
    await service.line(({ msg }) => msg === "journal drained");
    expect(mailedIds(setup.relay)).toEqual([String(mailed["id"])]);
  });

  test("wins over an event that Redis holds already and that is due when it comes back", async () => {
    const setup = await setUp();
    const service = await serviceOn(setup);
    const ids = await Promise.all(
      Array.from(
        { length: 50 },
        async (_, n) => (await accepted(service, eventWith(`evt_${n}`, { delayMs: 1_500 })))["id"],
      ),
    );
    await setup.redis.kill();
    for (let n = 0; n < 50; n++) expect((await decide(service, `evt_${n}`, "rollback")).status).toBe(202);
    const dueAt = Date.now() + 1_500;
    await until("they are due", () => Date.now() > dueAt);
    await setup.redis.start();
    for (const id of ids)
      await until(`${id} is cancelled`, async () => (await stateOf(service, id)) === "cancelled", 20_000);
    expect(setup.relay.received).toHaveLength(0);
  });
});

describe("hold, commit, rollback", () => {
  test("a held event is mailed after its commit, and not before", async () => {
    const setup = await setUp();
    const service = await serviceOn(setup);
    const held = await accepted(service, eventWith("evt_1", { hold: true }));
    expect(held["state"]).toBe("held");
    const other = await accepted(service, eventWith("evt_2"));
    await until("the other's mail", () => mailedIds(setup.relay).includes(String(other["id"])));
    expect(mailedIds(setup.relay)).not.toContain(String(held["id"]));
    expect(await decide(service, "evt_1", "commit")).toMatchObject({ status: 200, body: { result: "committed" } });
    expect(await decide(service, "evt_1", "commit")).toMatchObject({ status: 200, body: { result: "committed" } });
    await until("its mail", () => mailedIds(setup.relay).includes(String(held["id"])));
    await until("it is sent", async () => (await stateOf(service, held["id"])) === "sent");
    expect(await decide(service, "evt_1", "rollback")).toMatchObject({ body: { result: "too_late" } });
  });

  test("a rollback is definitive: cancelled, also before its event; then nothing is mailed", async () => {
    const setup = await setUp();
    const service = await serviceOn(setup);
    await accepted(service, eventWith("evt_1", { hold: true }));
    expect(await decide(service, "evt_1", "rollback")).toMatchObject({ status: 200, body: { result: "cancelled" } });
    expect((await decide(service, "evt_1", "commit")).status).toBe(409);
    expect(await decide(service, "evt_2", "rollback")).toMatchObject({ status: 200, body: { result: "cancelled" } });
    expect(await accepted(service, eventWith("evt_2"))).toMatchObject({ state: "cancelled" });
    expect((await decide(service, "evt_3", "commit")).status).toBe(404);
    const other = await accepted(service, eventWith("evt_4"));
    await until("the other's mail", () => mailedIds(setup.relay).includes(String(other["id"])));
    expect(setup.relay.received).toHaveLength(1);
  });

  test("rolled back in flight, a message whose attempt fails is not tried again", async () => {
    const setup = await setUp({ dot: ["hang"] });
    setup.env["RETRY_DELAYS"] = "1ms";
    const service = await serviceOn(setup);
    const { id } = await accepted(service, eventWith("evt_1"));
    await setup.relay.until(({ commands }) => commands.includes("DATA"));
    expect(await decide(service, "evt_1", "rollback")).toMatchObject({ body: { result: "in_flight" } });
    setup.relay.closeConnections();
    await until("it is cancelled", async () => (await stateOf(service, id)) === "cancelled");
  });

  test("a held event that nobody decides stays held, listed, and is put in front of a person", async () => {
    const setup = await setUp();
    setup.env["CHECK_BACKS"] = "20ms 30ms";
    const service = await serviceOn(setup);
    const { id } = await accepted(service, eventWith("evt_1", { hold: true }));
    await service.line(({ msg }) => msg.startsWith("held event waits for a person"));
    const { items } = (await (await service.get("/v1/messages?state=held")).json()) as { items: { id: string }[] };
    expect(items.map((item) => item.id)).toEqual([String(id)]);
  });
});
