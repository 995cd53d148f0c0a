/* Disks that are full, Redis's and the journal's, and a Redis that flaps: what was answered with 202 is mailed, once. */
import { describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readdirSync, rmdirSync, rmSync, statfsSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { type FakeRelay, startRelay } from "../support/relay.ts";
import { makeDataDir, startService, type TestService } from "../support/service.ts";
import { until } from "../support/until.ts";

const FLAPS = Number(process.env["FLAPS"] ?? 10);
/** Posts that Redis is away for, and then there for, in each round of flapping; one is sent every 20 ms. */
const POSTS_BETWEEN = 25;
const DRAIN_MS = 30_000;

const cleanups = cleanUpAfterEach();

interface Disk {
  path: string;
  /** Takes what is free but for `leave` bytes. */
  fill(leave?: number): void;
  /** Gives back what `fill` took. */
  makeRoom(): void;
  unmount(): void;
}

/** Undefined where this user cannot mount. */
function mountDisk(size: string): Disk | undefined {
  const path = mkdtempSync(join(tmpdir(), "pp-"));
  const command = Bun.which("mount") ? ["mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path] : ["false"];
  if (!Bun.spawnSync(command).success) {
    rmdirSync(path);
    return undefined;
  }
  const filler = join(path, "filler");
  return {
    path,
    fill(leave = 0) {
      const { bavail, bsize } = statfsSync(path);
      const file = openSync(filler, "w");
      writeSync(file, Buffer.alloc(bavail * bsize - leave));
      closeSync(file);
    },
    makeRoom: () => rmSync(filler),
    unmount() {
      Bun.spawnSync(["umount", "-l", path]); // lazily: also when a process of a failed test still uses it
      rmdirSync(path);
    },
  };
}

const trial = mountDisk("64k");
trial?.unmount();
const withDisk = test.skipIf(trial === undefined);

function smallDisk(size: string): Disk {
  const disk = mountDisk(size);
  if (disk === undefined) throw new Error(`a tmpfs of ${size} cannot be mounted`);
  cleanups.push(() => disk.unmount());
  return disk;
}

interface Setup {
  redis: TestRedis;
  relay: FakeRelay;
  service: TestService;
}

async function setUp(where: { redisArguments?: string[]; dataDir?: string } = {}): Promise<Setup> {
  const redis = await startRedis(...(where.redisArguments ?? []));
  cleanups.push(() => redis.stop());
  const relay = await startRelay();
  cleanups.push(() => relay.stop());
  const own = makeDataDir();
  cleanups.push(own.remove);
  const service = await serviceFor({ redis, relay }, where.dataDir ?? own.path);
  return { redis, relay, service };
}

async function serviceFor({ redis, relay }: Omit<Setup, "service">, dataDir: string): Promise<TestService> {
  const env = { REDIS_URL: `unix:${redis.address.path}`, SMTP_URL: relay.url, DELAY_MS: "0" };
  const service = await startService(dataDir, env);
  cleanups.push(() => service.stop());
  return service;
}

interface Answer {
  eventId: string;
  status: number;
  /** Of the message; undefined when it was refused. */
  id: string | undefined;
  durability: string | undefined;
  retryAfter: string | null;
}

async function post(service: TestService, eventId: string): Promise<Answer> {
  const response = await service.post(eventWith(eventId));
  const { id, durability } = (await response.json()) as { id?: string; durability?: string };
  return { eventId, status: response.status, id, durability, retryAfter: response.headers.get("retry-after") };
}

function postAll(service: TestService, prefix: string, count: number): Promise<Answer[]> {
  return Promise.all(Array.from({ length: count }, (_, n) => post(service, `${prefix}_${n}`)));
}

function expectTaken(answers: readonly Answer[], durability?: string): void {
  for (const answer of answers) expect(answer).toMatchObject({ status: 202, ...(durability && { durability }) });
}

function mailsById(relay: FakeRelay): Map<string, number> {
  const mails = new Map<string, number>();
  for (const { raw } of relay.received) {
    const id = /^Message-ID: <(.+)@/m.exec(raw.toString())?.[1] ?? "";
    mails.set(id, (mails.get(id) ?? 0) + 1);
  }
  return mails;
}

/** Those that were taken are all sent in the end, and each has one mail. */
async function expectOneMailEach({ relay, service }: Setup, answers: readonly Answer[]): Promise<void> {
  const ids = await sentIds({ relay, service }, answers);
  const mails = mailsById(relay);
  expect(ids.filter((id) => mails.get(id) !== 1)).toEqual([]);
}

async function sentIds({ relay, service }: Omit<Setup, "redis">, answers: readonly Answer[]): Promise<string[]> {
  const taken = answers.filter(({ status }) => status === 202);
  const ids = taken.map(({ id }) => String(id));
  expect(new Set(ids).size).toBe(new Set(taken.map(({ eventId }) => eventId)).size);
  await until(
    "each has its mail",
    () => {
      const mails = mailsById(relay);
      return ids.every((id) => mails.has(id));
    },
    DRAIN_MS,
  );
  for (const id of ids) await until(`${id} is sent`, async () => (await messageOf(service, id)).state === "sent");
  return ids;
}

async function messageOf(service: TestService, id: string) {
  const response = await service.get(`/v1/messages/${id}`);
  return (await response.json()) as { state?: string; timeline?: { state: string }[] };
}

function refusesWrites(redis: TestRedis): Promise<boolean> {
  return redis.raw.ping().then(
    () => false,
    (error: Error) => error.message.startsWith("MISCONF"),
  );
}

describe("Redis's disk full", () => {
  withDisk(
    "with appendfsync everysec, posts are journaled until there is room, and each event has one mail",
    async () => {
      const disk = smallDisk("8m");
      const setup = await setUp({ redisArguments: ["--dir", disk.path, "--appendfsync", "everysec"] });
      const { redis, service } = setup;
      const answers = await postAll(service, "evt_before", 20);
      disk.fill();
      let waves = 0;
      await until("Redis answers MISCONF", async () => {
        answers.push(...(await postAll(service, `evt_filling_${waves++}`, 5)));
        return refusesWrites(redis);
      });
      const during = await postAll(service, "evt_full", 100);
      expectTaken(during, "journaled");
      expect((await service.get("/readyz")).status).toBe(200);
      expect(await refusesWrites(redis)).toBe(true);
      disk.makeRoom();
      await service.line(({ msg }) => msg === "journal drained");
      const after = await postAll(service, "evt_after", 20);
      expectTaken(after, "written");
      expectTaken(answers);
      await expectOneMailEach(setup, [...answers, ...during, ...after]);
    },
  );

  withDisk(
    "with appendfsync always, Redis ends, posts are journaled until it is started with room, and each has one mail",
    async () => {
      const disk = smallDisk("8m");
      const setup = await setUp({ redisArguments: ["--dir", disk.path, "--appendfsync", "always"] });
      const { redis, service } = setup;
      const answers = await postAll(service, "evt_before", 20);
      disk.fill();
      let ended = false;
      redis.raw.once("close", () => {
        ended = true;
      });
      let waves = 0;
      await until("Redis has ended", async () => {
        answers.push(...(await postAll(service, `evt_filling_${waves++}`, 5)));
        return ended;
      });
      const during = await postAll(service, "evt_full", 100);
      expectTaken(during, "journaled");
      expect((await service.get("/readyz")).status).toBe(200);
      disk.makeRoom();
      await redis.start();
      await service.line(({ msg }) => msg === "journal drained");
      const after = await postAll(service, "evt_after", 20);
      expectTaken(after, "fsynced");
      expectTaken(answers);
      await expectOneMailEach(setup, [...answers, ...during, ...after]);
    },
  );
});

describe("the journal's disk full", () => {
  /** Redis is away, and the journal has taken what there was room for. */
  async function fullJournal() {
    const disk = smallDisk("8m");
    const setup = await setUp({ dataDir: disk.path });
    await setup.redis.kill();
    disk.fill(600_000);
    const answers: Answer[] = [];
    await until("the disk is full", async () => {
      answers.push(...(await postAll(setup.service, `evt_${answers.length}`, 10)));
      return answers.slice(-10).every(({ status }) => status === 503);
    });
    expectTakenOrRefused(answers);
    expect(answers[0]).toMatchObject({ status: 202, durability: "journaled" });
    return { disk, setup, answers };
  }

  function expectTakenOrRefused(answers: readonly Answer[]): void {
    expect(answers.filter(({ status }) => status !== 202 && status !== 503)).toEqual([]);
    const refused = answers.filter(({ status }) => status === 503);
    expect(refused.filter(({ retryAfter }) => !(Number(retryAfter) > 0))).toEqual([]);
  }

  withDisk(
    "posts are 503 with Retry-After until there is room, and each 202 has one mail when Redis is back",
    async () => {
      const { disk, setup, answers } = await fullJournal();
      const refused = answers.filter(({ status }) => status === 503);
      disk.makeRoom();
      const again = await Promise.all(refused.map(({ eventId }) => post(setup.service, eventId)));
      const after = await postAll(setup.service, "evt_after", 50);
      expectTaken([...again, ...after], "journaled");
      await setup.redis.start();
      await setup.service.line(({ msg }) => msg === "journal drained");
      await expectOneMailEach(setup, [...answers, ...again, ...after]);
    },
  );

  withDisk("a Redis that comes back before there is room takes posts again, and each 202 has one mail", async () => {
    const { disk, setup, answers } = await fullJournal();
    await setup.redis.start();
    let waves = 0;
    await until(
      "posts are taken",
      async () => {
        const wave = await postAll(setup.service, `evt_back_${waves++}`, 5);
        expectTakenOrRefused(wave);
        answers.push(...wave);
        return wave.every(({ status }) => status === 202);
      },
      10_000,
    );
    disk.makeRoom();
    await setup.service.line(({ msg }) => msg === "journal drained");
    await expectOneMailEach(setup, answers);
  });

  withDisk(
    "a service that starts without room keeps its journal, and each 202 has one mail once there is room",
    async () => {
      const disk = smallDisk("8m");
      const setup = await setUp({ dataDir: disk.path });
      await setup.redis.kill();
      const answers = await postAll(setup.service, "evt_before", 30);
      expectTaken(answers, "journaled");
      await setup.service.kill();
      rmSync(join(disk.path, "journal.sqlite-shm")); // as after a reboot: it is made anew, and takes 32 KiB
      disk.fill(16_384);
      const early = await serviceFor(setup, disk.path).catch(() => undefined);
      expect(readdirSync(disk.path).filter((name) => name.includes("unreadable"))).toEqual([]);
      disk.makeRoom();
      const service = early ?? (await serviceFor(setup, disk.path));
      await setup.redis.start();
      await expectOneMailEach({ ...setup, service }, answers);
    },
  );
});

test(
  "while Redis flaps every post is 202, and each event has one mail, or a second one that was said",
  async () => {
    const setup = await setUp();
    const { redis, relay, service } = setup;
    const posts: Promise<Answer>[] = [];
    let flapping = true;
    const poster = (async () => {
      for (; flapping; await Bun.sleep(20)) posts.push(post(service, `evt_${posts.length}`));
    })();
    const morePosts = (count: number) => {
      const wanted = posts.length + count;
      return until("more posts", () => posts.length >= wanted);
    };
    for (let round = 0; round < FLAPS; round++) {
      await morePosts(POSTS_BETWEEN);
      await redis.kill();
      await morePosts(POSTS_BETWEEN);
      await redis.start();
    }
    await morePosts(POSTS_BETWEEN);
    flapping = false;
    await poster;
    const answers = await Promise.all(posts);
    expectTaken(answers);
    const ids = await sentIds(setup, answers);
    expect(new Set(ids).size).toBe(answers.length);
    const mails = mailsById(relay);
    expect([...mails.keys()].sort()).toEqual(ids.sort());
    for (const id of ids.filter((id) => mails.get(id) !== 1)) {
      const { timeline } = await messageOf(service, id);
      expect(timeline?.map(({ state }) => state)).toContain("unknown");
    }
  },
  120_000 + FLAPS * 3_000,
);
