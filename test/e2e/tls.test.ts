/* Redis and its sentinels with passwords and TLS alone, seen from outside: from the post to the mail, and past a failover. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificate } from "../support/certificate.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { freePort } from "../support/freePort.ts";
import { startRedis } from "../support/redis.ts";
import { startRelay } from "../support/relay.ts";
import { MASTER, startSentinel } from "../support/sentinel.ts";
import { makeDataDir, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();

test("a mail is sent, and another one when a replica has taken over", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  const { key, cert } = await makeCertificate();
  const [ca, keyFile] = [join(directory, "ca.pem"), join(directory, "key.pem")];
  writeFileSync(ca, cert);
  writeFileSync(keyFile, key);
  const tls = [
    ["tls-cert-file", ca],
    ["tls-key-file", keyFile],
    ["tls-ca-cert-file", ca],
    ["tls-auth-clients", "no"],
    ["tls-replication", "yes"],
  ];
  const options = tls.flatMap(([name, value]) => [`--${name}`, value as string]);
  const ports = [freePort(), freePort()];
  const nodes = await Promise.all(
    ports.map((port) => startRedis("--tls-port", String(port), "--repl-diskless-sync-delay", "0", ...options)),
  );
  const [master, replica] = nodes;
  for (const { raw } of nodes) {
    await raw.config("SET", "masterauth", "secret");
    await raw.acl("SETUSER", "default", "on", ">secret");
  }
  await replica?.raw.replicaof("127.0.0.1", ports[0] as number);
  await until("the replica follows", async () => (await master?.raw.wait(1, 100)) === 1, 30_000);
  const port = freePort();
  const own = ["port 0", `tls-port ${port}`, "requirepass secret", `sentinel auth-pass ${MASTER} secret`];
  const lines = [...own, ...tls.map((one) => one.join(" ")), `sentinel down-after-milliseconds ${MASTER} 500`];
  const sentinel = await startSentinel(port, ports[0] as number, lines, { password: "secret", tls: { ca: cert } });
  const relay = await startRelay();
  const { path, remove } = makeDataDir();
  cleanups.push(
    () => rmSync(directory, { recursive: true, force: true }),
    remove,
    () => relay.stop(),
    ...nodes.map((node) => () => node.stop()),
    () => sentinel.stop(),
  );
  const service = await startService(path, {
    REDIS_URL: `rediss+sentinel://:secret@127.0.0.1:${port}/${MASTER}?ca=${ca}`,
    SMTP_URL: relay.url,
    DELAY_MS: "0",
  });
  cleanups.push(() => service.stop());

  const durability = async (id: string) => {
    const response = await service.post(eventWith(id));
    return ((await response.json()) as { durability: string }).durability;
  };
  expect(await durability("evt_1")).toBe("fsynced");
  await until("the mail has come", () => relay.received.length === 1);
  await until("the sentinel knows the replica", () => sentinel.knowsReplica(), 30_000);
  await master?.kill();
  expect(await durability("evt_2")).toBe("journaled");
  await until("the other mail has come", () => relay.received.length === 2, 30_000);
  expect(
    await until("Redis takes posts", async () => (await durability(`evt_${Bun.randomUUIDv7()}`)) === "fsynced"),
  ).toBe(true);
  expect(JSON.stringify(service.lines)).not.toContain("secret");
}, 90_000);
