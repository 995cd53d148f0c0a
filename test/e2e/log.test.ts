/* The service when its log cannot be written. */
import { expect, test } from "bun:test";
import { openSync, statSync } from "node:fs";
import { join } from "node:path";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { freePort } from "../support/freePort.ts";
import { makeDataDir } from "../support/service.ts";
import { until } from "../support/until.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const KEY = "test-ingest-key-of-a-service";

const cleanups = cleanUpAfterEach();

/** Its standard output goes to a full disk, so that it cannot say where it listens. */
async function startMute(): Promise<{ url: string; dataDir: string; child: Bun.Subprocess }> {
  const folder = makeDataDir();
  cleanups.push(folder.remove);
  const port = freePort();
  const child = Bun.spawn([process.execPath, MAIN, "start"], {
    env: {
      PATH: process.env["PATH"] ?? "",
      DATA_DIR: folder.path,
      PORT: String(port),
      CATCHER_PORT: "0",
      INGEST_KEYS: KEY,
      DELAY_MS: "0",
    },
    stdin: "ignore",
    stdout: openSync("/dev/full", "w"),
    stderr: "inherit",
  });
  cleanups.push(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  const url = `http://127.0.0.1:${port}`;
  const healthy = () =>
    fetch(`${url}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    );
  await until("the service listens", healthy, 20_000);
  return { url, dataDir: folder.path, child };
}

test("a full log disk stops neither the answers nor the mails nor the end", async () => {
  const { url, child } = await startMute();
  const headers = { authorization: `Bearer ${KEY}` };
  const post = async (id: string) => {
    const response = await fetch(`${url}/v1/events`, { method: "POST", headers, body: JSON.stringify(eventWith(id)) });
    expect(response.status).toBe(202);
    return ((await response.json()) as { id: string }).id;
  };
  const ids = [await post("evt_1"), await post("evt_2")];
  for (const id of ids) {
    const isSent = async () => {
      const message = (await (await fetch(`${url}/v1/messages/${id}`, { headers })).json()) as { state: string };
      return message.state === "sent";
    };
    await until("the mail is sent", isSent, 20_000);
  }
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});

test("what the service writes is for its own user alone", async () => {
  const { dataDir, child } = await startMute();
  for (const name of ["journal.sqlite", "admin.token", "redis"]) {
    expect([name, statSync(join(dataDir, name)).mode & 0o077]).toEqual([name, 0]);
  }
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});
