/* How the service is told to stop, and what is under way meanwhile. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import type { RelayScript } from "../support/relay.ts";
import { isAlive, makeDataDir, type TestService } from "../support/service.ts";
import { serviceOn, setUp } from "../support/surroundings.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();

async function whole(script: RelayScript) {
  const on = await setUp(cleanups, script);
  return { ...on, start: () => serviceOn(cleanups, on, { RETRY_DELAYS: "1ms" }) };
}

async function workerOf(service: TestService): Promise<number> {
  return Number((await service.line(({ msg }) => msg === "worker process started"))["pid"]);
}

async function post(service: TestService, eventId: string): Promise<string> {
  const response = await service.post(eventWith(eventId));
  expect(response.status).toBe(202);
  return ((await response.json()) as { id: string }).id;
}

interface Shown {
  state: string;
  attempts: unknown[];
}

async function shown(service: TestService, id: string): Promise<Shown> {
  return (await (await service.get(`/v1/messages/${id}`)).json()) as Shown;
}

describe("a mail whose final dot is sent ends before the process does, and is not sent again:", () => {
  test.each([
    ["SIGTERM for service and worker, as from systemd", "SIGTERM", true],
    ["SIGINT for service and worker, as from Ctrl-C", "SIGINT", true],
    ["SIGINT twice at once, as from Ctrl-C on `bun run start`", "SIGINT", false],
    ["SIGHUP for service and worker, as from a terminal that is closed", "SIGHUP", true],
  ] as const)("%s", async (_, signal, alsoWorker) => {
    const { relay, start } = await whole({ dot: ["keep, hang"] });
    const service = await start();
    const worker = await workerOf(service);
    const id = await post(service, "evt_1");
    await relay.until(({ received }) => received.length === 1);
    if (alsoWorker) process.kill(worker, signal);
    service.process.kill(signal);
    if (!alsoWorker) service.process.kill(signal);
    await until("service and worker stop", () => service.lines.filter(({ msg }) => msg === "stopping").length === 2);
    relay.closeConnections("250 2.0.0 queued");
    expect(await service.process.exited).toBe(0);
    const next = await start();
    const message = await shown(next, id);
    expect([message.state, message.attempts.length, relay.received.length]).toEqual(["sent", 1, 1]);
  });
});

test("Ctrl-C that reaches the worker first does not end it", async () => {
  const { relay, start } = await whole({});
  const service = await start();
  await service.line(({ msg }) => msg === "worker started");
  const worker = await workerOf(service);
  for (const signal of ["SIGINT", "SIGHUP"] as const) process.kill(worker, signal);
  await post(service, "evt_1");
  await relay.until(({ received }) => received.length === 1);
  const said = service.lines.map(({ msg }) => msg);
  expect(said.filter((msg) => msg === "stopping" || msg.startsWith("worker ended"))).toEqual([]);
  expect(isAlive(worker)).toBe(true);
});

test.skipIf(process.platform !== "linux")(
  "the worker is nicer than the service, and in its session, with all its threads",
  async () => {
    const { start } = await whole({});
    const service = await start();
    await service.line(({ msg }) => msg === "worker started");
    const worker = await workerOf(service);
    // proc_pid_stat(5), behind the name: the 4th is the session, the 17th the nice value.
    const ofThreads = (pid: number, field: number) => [
      ...new Set(
        readdirSync(`/proc/${pid}/task`).map((thread) => {
          const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
          return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[field - 1]);
        }),
      ),
    ];
    expect(ofThreads(worker, 17)).toEqual(ofThreads(service.process.pid, 17).map((nice) => nice + 5));
    expect(ofThreads(worker, 4)).toEqual(ofThreads(service.process.pid, 4));
  },
);

test("nohup is kept: SIGHUP is ignored where it was", async () => {
  const { path, remove } = makeDataDir();
  cleanups.push(remove);
  const env = { ...process.env, DATA_DIR: path, PORT: "0", ROLE: "api", REDIS_URL: "unix:/nobody/listens/here.sock" };
  const child = Bun.spawn(["nohup", process.execPath, "src/main.ts", "start"], {
    env,
    stdout: "pipe",
    stderr: "ignore",
    stdin: "ignore",
  });
  cleanups.push(async () => {
    child.kill("SIGTERM");
    await child.exited;
  });
  let log = "";
  void (async () => {
    for await (const chunk of child.stdout) log += new TextDecoder().decode(chunk);
  })();
  await until("it has started", () => log.includes("service started"), 15_000);
  child.kill("SIGHUP");
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  expect(log).not.toContain('"why":"SIGHUP"');
  expect(log).toContain('"why":"SIGTERM"');
});

test("kill -9 while Redis is away: the orphan goes, and its successor sends soon after Redis is back", async () => {
  const { redis, relay, start } = await whole({});
  const first = await start();
  await first.line(({ msg }) => msg === "worker started");
  const orphan = await workerOf(first);
  await redis.kill();
  await first.kill();
  const second = await start();
  await post(second, "evt_1");
  await redis.start();
  const backAt = performance.now();
  await relay.until(({ received }) => received.length === 1);
  expect(performance.now() - backAt).toBeLessThan(20_000);
  await until("the orphan is gone", () => !isAlive(orphan));
});

test("with nothing under way and Redis gone it does not wait for mails", async () => {
  const { redis, start } = await whole({});
  const service = await start();
  await service.line(({ msg }) => msg === "worker started");
  await redis.kill();
  await until("service and worker know", () => service.lines.filter(({ msg }) => msg === "redis is away").length >= 2);
  const askedAt = performance.now();
  expect(await service.stop()).toBe(0);
  expect(performance.now() - askedAt).toBeLessThan(9_000);
});
