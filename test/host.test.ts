/* What the log says of a Redis that does not come back. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hintAfterMs, openRedis } from "../src/host.ts";
import { socketPathOf } from "../src/stream/embedded.ts";
import { cleanUpAfterEach } from "./support/cleanups.ts";
import { keepLines } from "./support/log.ts";
import { startRedis } from "./support/redis.ts";
import { until } from "./support/until.ts";

const cleanups = cleanUpAfterEach();

const isHint = ({ msg }: Record<string, unknown>) => msg === "redis stays away";

test("a Redis that stays away: once what to do if it cannot read its append-only file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "pp-"));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const kept = keepLines();
  const redis = openRedis({ kind: "unix", path: join(folder, "none.sock") }, "ingress", kept.log, 50);
  cleanups.push(() => redis.disconnect());
  let errors = 0;
  redis.on("error", () => errors++);
  redis.connect().catch(() => {});
  const line = await kept.waitFor(isHint);
  expect(line).toMatchObject({ level: 50, connection: "ingress" });
  expect(line["hint"]).toContain("redis-check-aof --fix appendonly.aof.manifest");
  const before = errors;
  await until("it was tried again", () => errors >= before + 3);
  expect(kept.lines.filter(isHint).length).toBe(1);
});

test("one that is back in time, or that nobody waits for any more: no such line", async () => {
  const server = await startRedis();
  cleanups.push(() => server.stop());
  const kept = keepLines();
  const redis = openRedis(server.address, "ingress", kept.log, 300);
  await redis.connect();
  const cutAt = performance.now();
  redis.emit("error", new Error("cut"));
  redis.emit("ready");
  const other = openRedis(server.address, "ingress", kept.log, 300);
  other.emit("error", new Error("cut"));
  other.emit("end");
  await until("the time is over", () => performance.now() - cutAt > 400);
  redis.disconnect();
  other.disconnect();
  expect(kept.lines.filter(isHint)).toEqual([]);
});

test("it is for every Redis but the embedded one, which says itself what it cannot read", () => {
  const dataDir = "/srv/postpaid";
  expect(hintAfterMs({ kind: "unix", path: socketPathOf(dataDir) }, dataDir)).toBeUndefined();
  expect(hintAfterMs({ kind: "unix", path: "/run/redis/redis.sock" }, dataDir)).toBe(30_000);
  expect(hintAfterMs({ kind: "cluster", hosts: [] }, dataDir)).toBe(30_000);
});
