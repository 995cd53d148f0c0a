/* The power goes while mail waits: what the disk has of the embedded Redis's file ends in zeros, or in the middle is not its own. */
import { expect, test } from "bun:test";
import { appendFileSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { socketPathOf } from "../../src/stream/embedded.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { startRelay } from "../support/relay.ts";
import { isAlive, makeDataDir, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();

async function startOn(path: string, smtpUrl: string) {
  const service = await startService(path, { SMTP_URL: smtpUrl, MAIL_FROM: "a@shop.example" });
  cleanups.push(() => service.stop());
  return service;
}

function serversOf(dataDir: string): number[] {
  return readdirSync("/proc", { encoding: "utf8" })
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return command.includes(socketPathOf(dataDir)) && isAlive(pid);
      } catch {
        return false;
      }
    });
}

/** A service with three messages that wait, and all of it by kill -9. Returns the file that was written to. */
async function waitingAndGone(path: string, smtpUrl: string): Promise<string> {
  const service = await startOn(path, smtpUrl);
  for (const n of [1, 2, 3]) {
    const reply = await service.post(eventWith(`evt_${n}`, { delayMs: 4_000 }, `a${n}@example.com`));
    expect(await reply.json()).toMatchObject({ durability: "fsynced" });
  }
  const servers = serversOf(path);
  await service.kill();
  for (const pid of servers) process.kill(pid, "SIGKILL");
  await until("all is gone", () => serversOf(path).length === 0);
  const folder = join(path, "redis", "appendonlydir");
  const name = readdirSync(folder, { encoding: "utf8" }).find((one) => one.endsWith(".incr.aof"));
  return join(folder, name ?? "");
}

async function setUp() {
  const relay = await startRelay();
  const { path, remove } = makeDataDir();
  cleanups.push(remove, () => relay.stop());
  return { relay, path, file: await waitingAndGone(path, relay.url) };
}

test("4 KiB of zeros: it comes up by itself, and what waited is found and mailed once", async () => {
  const { relay, path, file } = await setUp();
  const { size } = statSync(file);
  appendFileSync(file, Buffer.alloc(4096));
  const service = await startOn(path, relay.url);
  const line = await service.line(({ msg }) => msg === "the append-only file was damaged, and is repaired");
  expect(line).toMatchObject({ level: 50, goodUpTo: size, cutBytes: 4096 });
  expect(statSync(join(String(line["keptAs"]), String(line["file"]))).size).toBe(size + 4096);
  await until("all are sent", () => relay.received.length >= 3);
  expect(relay.received.map(({ envelope }) => envelope.to[0]).sort()).toEqual(
    [1, 2, 3].map((n) => `a${n}@example.com`),
  );
  for (const n of [1, 2, 3]) expect((await service.get(`/v1/events/evt_${n}`)).status).toBe(200);
});

test("text in the middle: nothing is cut; what is posted is journaled, and all is mailed after a person's repair", async () => {
  const { relay, path, file } = await setUp();
  const good = readFileSync(file, "latin1");
  const at = good.indexOf("*1\r\n$5\r\nMULTI", good.length / 2);
  const damaged = `${good.slice(0, at)}something else${good.slice(at)}`;
  writeFileSync(file, damaged, "latin1");
  const service = await startOn(path, relay.url);
  await service.line(({ msg }) => msg.includes("it is not repaired"));
  const reply = await service.post(eventWith("evt_4", { delayMs: 0 }, "a4@example.com"));
  expect(reply.status).toBe(202);
  expect(await reply.json()).toMatchObject({ durability: "journaled" });
  expect(readFileSync(file, "latin1")).toBe(damaged);
  writeFileSync(file, good, "latin1");
  await until("all are sent", () => relay.received.length >= 4, 30_000);
  expect(relay.received.map(({ envelope }) => envelope.to[0]).sort()).toEqual(
    [1, 2, 3, 4].map((n) => `a${n}@example.com`),
  );
});
