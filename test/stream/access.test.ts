/* Passwords and TLS, of Redis, of its sentinels and of a cluster, on real servers. */
import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { openRedis } from "../../src/host.ts";
import { createLog } from "../../src/log.ts";
import type { ConnectionKind } from "../../src/stream/connect.ts";
import { tagOf } from "../../src/stream/keys.ts";
import { parseRedisUrl, type RedisAddress } from "../../src/stream/redisUrl.ts";
import { makeCertificate } from "../support/certificate.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { startCluster } from "../support/cluster.ts";
import { eventWith } from "../support/event.ts";
import { freePort } from "../support/freePort.ts";
import { openIngress } from "../support/ingress.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { keepLines, type Lines } from "../support/log.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { MASTER, startSentinel } from "../support/sentinel.ts";

const cleanups = cleanUpAfterEach();
let directory: string;
let ca: string;
let pem: string;
let tls: string[];
let ports: { plain: number; tls: number };
let server: TestRedis;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "pp-"));
  const { key, cert } = await makeCertificate();
  pem = cert;
  ca = join(directory, "ca.pem");
  const keyFile = join(directory, "key.pem");
  writeFileSync(ca, cert);
  writeFileSync(keyFile, key);
  const files = ["--tls-cert-file", ca, "--tls-key-file", keyFile, "--tls-ca-cert-file", ca];
  tls = [...files, "--tls-auth-clients", "no", "--tls-replication", "yes"];
  ports = { plain: freePort(), tls: freePort() };
  const listens = ["--port", String(ports.plain), "--tls-port", String(ports.tls)];
  server = await startRedis(...listens, ...tls.slice(0, -2));
  await server.raw.acl("SETUSER", "default", "on", ">secret");
  await server.raw.acl("SETUSER", "app", "on", ">app-secret", "~*", "&*", "+@all");
});
afterAll(async () => {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});
failOnLeaks();

/** As the service logs. */
const logTo = (destination: { write(text: string): void }) =>
  createLog({ by: "service", level: "info", plain: false, destination });

/** As the service opens it. */
function open(url: string, kind: ConnectionKind = "ingress"): { redis: Redis; lines: Lines } {
  const lines = keepLines(logTo);
  const redis = openRedis(parseRedisUrl(url) as RedisAddress, kind, lines.log);
  cleanups.push(() => redis.disconnect());
  return { redis, lines };
}

async function connected(url: string): Promise<{ redis: Redis; lines: Lines }> {
  const opened = open(url);
  await opened.redis.connect();
  expect(await openIngress(opened.redis).post(eventWith(`evt_${Bun.randomUUIDv7()}`))).toMatchObject({
    kind: "accepted",
  });
  expect(opened.lines.lines).toEqual([]);
  return opened;
}

async function refusedLine(url: string): Promise<Record<string, unknown>> {
  const { redis, lines } = open(url);
  redis.connect().catch(() => {});
  const line = await lines.waitFor(({ msg }) => msg === "redis is away");
  expect(JSON.stringify(lines.lines)).not.toContain("secret");
  return line;
}

describe("one server", () => {
  test("is reached with its password, as the user of an ACL, and over TLS with the authority's file", async () => {
    await connected(`redis://:secret@127.0.0.1:${ports.plain}`);
    await connected(`redis://app:app-secret@127.0.0.1:${ports.plain}/1`);
    await connected(`unix://app:app-secret@${server.address.path}`);
    await connected(`rediss://app:app-secret@127.0.0.1:${ports.tls}?ca=${ca}`);
    await connected(`rediss://:secret@localhost:${ports.tls}/1?ca=${ca}`);
  });

  test.each([
    ["no authority is named", () => `rediss://:secret@127.0.0.1:${ports.tls}`, "?ca=/path/of/authority.pem"],
    ["the certificate names another host", () => `rediss://:secret@127.0.0.2:${ports.tls}?ca=${ca}`, "name the host"],
    ["a password is missing", () => `redis://127.0.0.1:${ports.plain}`, "needs a password"],
    ["a password is wrong", () => `redis://app:secret2@127.0.0.1:${ports.plain}`, "is wrong"],
  ])("says what to do where %s", async (_what, url, remedy) => {
    expect(String((await refusedLine(url()))["remedy"])).toContain(remedy);
  });
});

describe("sentinels", () => {
  /** With the configuration's lines; returns their port. */
  async function sentinel(lines: string[], asks: object): Promise<number> {
    const port = freePort();
    const isTls = lines.some((line) => line === "tls-port");
    const watches = [
      `sentinel auth-pass ${MASTER} secret`,
      ...lines.map((line) => (isTls && line === "tls-port" ? `tls-port ${port}` : line)),
    ];
    const started = await startSentinel(port, isTls ? ports.tls : ports.plain, watches, asks);
    cleanups.push(() => started.stop());
    return port;
  }

  test.each([
    ["without a password", [], {}, ""],
    ["with Redis's password", ["requirepass secret"], { password: "secret" }, ""],
    ["with a password of their own", ["requirepass own"], { password: "own" }, "?sentinelPassword=own"],
    [
      "with a user of their own",
      ["requirepass other", "user watch on >own ~* &* +@all"],
      { username: "watch", password: "own" },
      "?sentinelUser=watch&sentinelPassword=own",
    ],
  ])("%s are asked, for the default user's password and for a user's", async (_what, lines, asks, query) => {
    const port = await sentinel(lines, asks);
    const warned = spyOn(console, "warn"); // by ioredis, of a password that nobody asked for
    await connected(`redis+sentinel://:secret@127.0.0.1:${port}/${MASTER}${query}`);
    expect(warned).not.toHaveBeenCalled();
    warned.mockRestore();
  });

  test.each([
    ["without a password", [], {}],
    ["with the same user", ["requirepass other", "user app on >app-secret ~* &* +@all"], { password: "other" }],
    ["with the same password and no user", ["requirepass app-secret"], { password: "app-secret" }],
  ])("%s are asked where Redis has a user", async (_what, lines, asks) => {
    const port = await sentinel(lines, asks);
    await connected(`redis+sentinel://app:app-secret@127.0.0.1:${port}/${MASTER}/1`);
  });

  test("that ask for another password, or know no such master, are named with what to do", async () => {
    const port = await sentinel(["requirepass own"], { password: "own" });
    const refused = await refusedLine(`redis+sentinel://:secret@127.0.0.1:${port}/${MASTER}`);
    expect(String(refused["remedy"])).toContain("sentinelPassword");
    expect(String(refused["cause"])).toContain("WRONGPASS");
    const unknown = await refusedLine(`redis+sentinel://:secret@127.0.0.1:${port}/main?sentinelPassword=own`);
    expect(JSON.stringify(unknown["err"])).toContain("No such master");
  });

  test("with TLS lead to a master with TLS, and without the authority's file the log says what to do", async () => {
    const options = tls.flatMap((one, i) => (i % 2 ? [] : [`${one.slice(2)} ${tls[i + 1]}`]));
    const asks = { password: "secret", tls: { ca: pem } };
    const port = await sentinel(["port 0", "tls-port", "requirepass secret", ...options], asks);
    const url = `rediss+sentinel://:secret@127.0.0.1:${port}/${MASTER}`;
    await connected(`${url}?ca=${ca}`);
    expect(String((await refusedLine(url))["remedy"])).toContain("?ca=/path/of/authority.pem");
  });
});

test("a cluster with a password and TLS alone takes posts, and without the authority's file the log says what to do", async () => {
  const cluster = await startCluster(3, { tls });
  cleanups.push(() => cluster.stop());
  for (const { raw } of cluster.nodes) await raw.acl("SETUSER", "default", "on", ">secret");
  const [first, second] = cluster.nodes;
  const url = `rediss+cluster://:secret@127.0.0.1:${first?.port},127.0.0.1:${second?.port}`;
  const { redis } = open(`${url}?ca=${ca}`);
  await redis.connect();
  const ingress = openIngress(redis, { partitions: 8 });
  const posted = await Promise.all(Array.from({ length: 40 }, (_, n) => ingress.post(eventWith(`evt_${n}`))));
  expect(posted.map(({ kind }) => kind)).toEqual(Array(40).fill("accepted"));
  expect(await redis.exists(`${tagOf(0)}:counts`)).toBe(1);
  expect(String((await refusedLine(url))["remedy"])).toContain("?ca=/path/of/authority.pem");
}, 60_000);
