/* The service as a process: what it starts with, what it refuses to start with, what its own edges answer. */
import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { socketPathOf } from "../../src/stream/embedded.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { startRedis } from "../support/redis.ts";
import { INGEST_KEY, makeDataDir, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();

function dataDir(): string {
  const { path, remove } = makeDataDir();
  cleanups.push(remove);
  return path;
}

async function serviceWith(env: Record<string, string>) {
  const service = await startService(dataDir(), env);
  cleanups.push(() => service.stop());
  return service;
}

async function run(env: Record<string, string>): Promise<{ status: number; stderr: string }> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "../../src/main.ts"), "start"], {
    env: { PATH: process.env["PATH"] ?? "", PORT: "0", CATCHER_PORT: "0", INGEST_KEYS: INGEST_KEY, ...env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const [status, stderr] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  return { status, stderr };
}

describe("with a Redis that cannot be reached", () => {
  test.each([
    "redis://127.0.0.1:1",
    "unix:/nobody/listens/here.sock",
    "redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster",
    "redis+cluster://127.0.0.1:1,127.0.0.1:2",
  ])("%s: the service starts, takes a post into its journal, and stops in order", async (REDIS_URL) => {
    const service = await startService(dataDir(), { REDIS_URL, ROLE: "api" });
    const response = await service.post(eventWith("evt_1"));
    expect([response.status, await response.json()]).toEqual([
      202,
      expect.objectContaining({ durability: "journaled" }),
    ]);
    expect(await service.stop()).toBe(0);
  });
});

test("a variable that is nearly a setting is told of at the start, once, without its value", async () => {
  const service = await serviceWith({ MAX_RETRY: "77777", POSTPAID_PORT: "1", LOG_FILE: "/x" });
  await service.line(({ msg }) => msg === "worker started");
  const told = service.lines.filter(({ msg }) => msg.includes("is no setting"));
  expect(told.map(({ level, setting, meant }) => [level, setting, meant]).sort()).toEqual([
    [40, "MAX_RETRY", "MAX_RETRIES"],
    [40, "POSTPAID_PORT", "PORT"],
  ]);
  expect(JSON.stringify(told)).not.toContain("77777");
});

describe("/readyz", () => {
  test("says when no event can be made durable any more, and when one can again", async () => {
    const redis = await startRedis();
    cleanups.push(() => redis.stop());
    const env = { ROLE: "api", REDIS_URL: `unix:${redis.address.path}`, JOURNAL_MAX_BYTES: "2000" };
    const service = await serviceWith(env);
    const ready = async () => (await service.get("/readyz")).status;
    expect(await ready()).toBe(200);
    await redis.kill();
    expect(await ready()).toBe(200);
    for (let n = 0, status = 202; status === 202; n++) status = (await service.post(eventWith(`evt_${n}`))).status;
    expect(await ready()).toBe(503);
    await redis.start();
    await service.line(({ msg }) => msg === "journal drained");
    expect(await ready()).toBe(200);
  });

  test("tries a write where there is no journal to fall back on", async () => {
    const redis = await startRedis();
    cleanups.push(() => redis.stop());
    const env = { ROLE: "api", REDIS_URL: `unix:${redis.address.path}`, JOURNAL_MAX_BYTES: "0" };
    const service = await serviceWith(env);
    expect((await service.get("/readyz")).status).toBe(200);
    await redis.raw.config("SET", "min-replicas-to-write", "1");
    expect((await service.post(eventWith("evt_1"))).status).toBe(503);
    expect((await service.get("/readyz")).status).toBe(503);
  });
});

describe("the edges of HTTP", () => {
  test("a body of any size is a problem, and HTTP/1.0 without Host is served", async () => {
    const service = await serviceWith({ ROLE: "api", REDIS_URL: "redis://127.0.0.1:1" });
    const response = await fetch(new URL("/v1/events", service.url), {
      method: "POST",
      headers: { authorization: `Bearer ${INGEST_KEY}` },
      body: Buffer.alloc(20_000_000, " "),
    });
    expect([response.status, response.headers.get("content-type")]).toEqual([413, "application/problem+json"]);
    const reply = await new Promise<string>((resolve, reject) => {
      let text = "";
      const socket = connect(Number(new URL(service.url).port), "127.0.0.1", () => {
        socket.write("GET /healthz HTTP/1.0\r\n\r\n");
      });
      socket.on("data", (chunk) => {
        text += chunk;
      });
      socket.on("close", () => resolve(text));
      socket.on("error", reject);
    });
    expect(reply).toStartWith("HTTP/1.1 200");
  });
});

describe("a PORT that another service has", () => {
  test("is refused with one line, and leaves nothing running and the first one alone", async () => {
    const first = await serviceWith({});
    const { port } = new URL(first.url);
    const directory = dataDir();
    const { status, stderr } = await run({ DATA_DIR: directory, PORT: port });
    expect([status, stderr.trim().split("\n").at(-1)]).toEqual([
      1,
      expect.stringMatching(new RegExp(`^postpaid: cannot listen on HOST 127.0.0.1, PORT ${port}: `)),
    ]);
    await until("its redis-server gone", () => !existsSync(socketPathOf(directory)));
    for (let n = 0; n < 10; n++) expect((await first.post(eventWith(`evt_${n}`))).status).toBe(202);
  });
});

test("a CATCHER_PORT that another program has is refused with one line", async () => {
  const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  cleanups.push(() => other.stop(true));
  const { status, stderr } = await run({ DATA_DIR: dataDir(), CATCHER_PORT: String(other.port) });
  expect([status, stderr.trim().split("\n")]).toEqual([
    1,
    [expect.stringMatching(new RegExp(`^postpaid: CATCHER_PORT ${other.port} on 127.0.0.1 is in use: `))],
  ]);
});

describe("is refused at start with one line and exit status 2", () => {
  test.each([
    ["HOST", { HOST: "999.999.999.999" }],
    ["HOST", { HOST: "http://localhost" }],
    ["HOST", { HOST: "no-such-host.invalid" }],
    ["INGEST_KEYS", { INGEST_KEYS: "whsec_!!!" }],
    ["REDIS_URL", { REDIS_URL: "redis://127.0.0.1:1/abc" }],
    ["REDIS_URL", { REDIS_URL: "rediss://127.0.0.1:1?ca=/no/such/file.pem" }],
  ])("%s: %o", async (name, env) => {
    const { status, stderr } = await run({
      DATA_DIR: dataDir(),
      REDIS_URL: "redis://127.0.0.1:1",
      ROLE: "api",
      ...env,
    });
    expect([status, stderr.trim().split("\n")]).toEqual([
      2,
      [expect.stringMatching(new RegExp(`${name} is .*allowed: `))],
    ]);
  });

  test.skipIf(process.getuid?.() === 0)("a DATA_DIR that is there and cannot be written", async () => {
    const directory = dataDir();
    chmodSync(directory, 0o500);
    const { status, stderr } = await run({ DATA_DIR: directory });
    expect([status, stderr]).toEqual([2, expect.stringContaining("DATA_DIR is ")]);
  });

  test.each(["ingest.key", "admin.token"])("a %s in DATA_DIR that can be guessed", async (name) => {
    const directory = dataDir();
    writeFileSync(join(directory, name), "hunter2\n");
    const { status, stderr } = await run({
      DATA_DIR: directory,
      INGEST_KEYS: "",
      REDIS_URL: "redis://127.0.0.1:1",
      ROLE: "api",
    });
    expect([status, stderr]).toEqual([2, expect.stringMatching(new RegExp(`${name} has room for \\d+ bits`))]);
    expect(stderr).not.toContain("hunter2");
  });

  test("a DATA_DIR where no file can be made", async () => {
    const { status, stderr } = await run({ DATA_DIR: "/proc" });
    expect([status, stderr]).toEqual([2, expect.stringContaining("DATA_DIR is ")]);
  });
});
