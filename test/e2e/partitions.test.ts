/* The number of partitions from 1 to 4 and back, with messages in every state, seen from outside. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { startRedis } from "../support/redis.ts";
import { startRelay } from "../support/relay.ts";
import { makeDataDir, startService, type TestService } from "../support/service.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();
const MAIN = join(import.meta.dir, "../../src/main.ts");
const DAY_MS = 86_400_000;

interface Reply {
  id: string;
  state: string;
  duplicate: boolean;
  result?: string;
}

async function command(service: TestService, ...args: string[]) {
  const env = { PATH: process.env["PATH"] ?? "", POSTPAID_URL: service.url, POSTPAID_TOKEN: service.adminToken };
  const child = Bun.spawn([process.execPath, MAIN, "partitions", ...args], { env, stdout: "pipe", stderr: "pipe" });
  const [status, out, error] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status, out, error };
}

test("every message is found, deduplicated, decided and sent once, through both changes and a restart", async () => {
  const redis = await startRedis();
  const relay = await startRelay({});
  const { path, remove } = makeDataDir();
  cleanups.push(
    remove,
    () => redis.stop(),
    () => relay.stop(),
  );
  const start = async (env = {}) => {
    const env_ = { REDIS_URL: `unix:${redis.address.path}`, SMTP_URL: relay.url, MAIL_FROM: "a@shop.example", ...env };
    const service = await startService(path, env_);
    cleanups.push(() => service.stop());
    return service;
  };
  let service = await start({ PARTITIONS: "1" });
  const ids = new Map<string, string>();
  const event = (name: string, n: number) =>
    eventWith(
      `${name}_${n}`,
      { delayMs: name === "sent" || name === "late" ? 0 : DAY_MS, hold: name.startsWith("held") },
      `${name}_${n}@example.com`,
    );
  const post = async (name: string, n: number) => {
    const reply = (await (await service.post(event(name, n))).json()) as Reply;
    if (!reply.duplicate) ids.set(`${name}_${n}`, reply.id);
    return reply;
  };
  const KINDS = ["sent", "scheduled", "held", "heldBack"];
  const numbers = Array.from({ length: 12 }, (_, n) => n);
  const each = (kinds: string[]) => kinds.flatMap((kind) => numbers.map((n) => [kind, n] as const));
  for (const [kind, n] of each(KINDS)) await post(kind, n);
  await until("what is due is sent", () => relay.received.length === 12);

  const stateOf = async (eventId: string) => {
    const byEvent = (await (await service.get(`/v1/events/${eventId}`)).json()) as Reply;
    const byId = (await (await service.get(`/v1/messages/${byEvent.id}`)).json()) as Reply;
    expect([eventId, byEvent.id, byId.id]).toEqual([eventId, ids.get(eventId) as string, byEvent.id]);
    return byId.state;
  };
  const allAreFound = async (kinds: string[]) => {
    for (const [kind, n] of each(kinds)) {
      const again = await post(kind, n);
      expect([kind, n, again.duplicate, again.id]).toEqual([kind, n, true, ids.get(`${kind}_${n}`) as string]);
      expect(await stateOf(`${kind}_${n}`)).not.toBe("not found");
    }
  };
  const decide = async (eventId: string, decision: "commit" | "rollback") =>
    (await (await service.decide(eventId, decision)).json()) as Reply;

  const refused = Bun.spawnSync([process.execPath, MAIN, "start"], {
    env: {
      PATH: process.env["PATH"] ?? "",
      ROLE: "api",
      PORT: "0",
      PARTITIONS: "4",
      REDIS_URL: `unix:${redis.address.path}`,
      DATA_DIR: join(path, "other"),
    },
  });
  expect([refused.exitCode, refused.stderr.toString()]).toEqual([
    2,
    expect.stringMatching(
      /^postpaid: PARTITIONS is "4", allowed: .*Redis has 1: `postpaid partitions 4` changes it.*\n$/,
    ),
  ]);

  const changed = await command(service, "4", "--json");
  expect([changed.status, changed.error]).toEqual([0, ""]);
  expect(JSON.parse(changed.out)).toMatchObject({ partitions: 4, items: [{ number: 0 }, {}, {}, { draining: false }] });
  await allAreFound(KINDS);
  for (const n of numbers.slice(0, 6)) {
    expect((await decide(`scheduled_${n}`, "rollback")).result).toBe("cancelled");
    expect((await decide(`heldBack_${n}`, "rollback")).result).toBe("cancelled");
  }
  for (const n of numbers) await post("late", n);
  await until("new ones are sent from wherever they went", () => relay.received.length === 24);

  await service.kill();
  service = await start(); // without a number of its own it goes by Redis
  await allAreFound([...KINDS, "late"]);
  expect(await command(service, "1")).toMatchObject({ status: 0, out: expect.stringContaining("set it to 1 before") });
  await allAreFound([...KINDS, "late"]);
  for (const n of numbers) expect((await decide(`held_${n}`, "commit")).result).toBe("committed");
  for (const n of numbers) expect((await decide(`scheduled_${n}`, "rollback")).result).toBe("cancelled");
  for (const [kind, n] of each(["scheduled"])) expect(await stateOf(`${kind}_${n}`)).toBe("cancelled");
  const shown = await command(service);
  expect(shown.out).toContain("New events go to one partition.");
  expect(shown.out.match(/no new events/g)).toHaveLength(3);
  const recipients = relay.received.map(({ envelope }) => envelope.to[0]);
  expect(new Set(recipients).size).toBe(recipients.length);
  expect(recipients.length).toBe(24);
});

test("the command says what is wrong: its use with 2, the service with 1", async () => {
  const { path, remove } = makeDataDir();
  cleanups.push(remove);
  const service = await startService(path, { ROLE: "api" });
  cleanups.push(() => service.stop());
  for (const [args, status, says] of [
    [["0"], 2, "allowed: an integer from 1 to 256"],
    [["257"], 2, "allowed: an integer from 1 to 256"],
    [["--url", "http://127.0.0.1:1"], 1, "no service answers at http://127.0.0.1:1"],
    [["--token", "wrong"], 1, "answers 401"],
    [["--url", "nowhere"], 2, "an http or https URL"],
  ] as const) {
    const { status: ended, error } = await command(service, ...args);
    expect([ended, error.trim().split("\n")]).toEqual([status, [expect.stringContaining(says)]]);
  }
});

test("a Redis that is away at the start and has another number ends the service later; without a number of its own it goes on", async () => {
  const redis = await startRedis();
  const [first, second] = [makeDataDir(), makeDataDir()];
  cleanups.push(first.remove, second.remove, () => redis.stop());
  const env = { REDIS_URL: `unix:${redis.address.path}`, ROLE: "api" };
  const four = await startService(first.path, { ...env, PARTITIONS: "4" });
  await four.stop();
  await redis.kill();
  const [wrong, free] = await Promise.all([
    startService(first.path, { ...env, PARTITIONS: "2" }),
    startService(second.path, env),
  ]);
  cleanups.push(
    () => wrong.kill(),
    () => free.stop(),
  );
  const ids = new Map<string, string>();
  for (let n = 0; n < 40; n++) {
    const reply = (await (await free.post(eventWith(`evt_${n}`, { delayMs: DAY_MS }))).json()) as Reply;
    expect(reply).toMatchObject({ durability: "journaled" });
    ids.set(`evt_${n}`, reply.id);
  }
  await wrong.post(eventWith("evt_wrong", { delayMs: DAY_MS }));
  await redis.start();
  expect(await wrong.process.exited).toBe(2);
  expect(wrong.stderr.join("\n")).toMatch(/^postpaid: PARTITIONS is "2", .*Redis has 4: `postpaid partitions 2`/);
  await free.line(({ msg }) => msg === "journal drained");
  for (const [eventId, id] of ids) {
    for (const path of [`/v1/events/${eventId}`, `/v1/messages/${id}`])
      expect(await (await free.get(path)).json()).toMatchObject({ eventId, state: "scheduled" });
    expect(await (await free.post(eventWith(eventId, { delayMs: DAY_MS }))).json()).toMatchObject({ duplicate: true });
  }
  const standing = await command(free, "--json");
  const { partitions, items } = JSON.parse(standing.out) as { partitions: number; items: { waiting: number }[] };
  expect([partitions, items.reduce((sum, { waiting }) => sum + waiting, 0)]).toEqual([4, 40]);
}, 60_000);
