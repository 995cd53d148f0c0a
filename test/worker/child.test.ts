import { test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startWorkerChild } from "../../src/worker/child.ts";
import { keepLines } from "../support/log.ts";

test("one that cannot be started at all is no reason to stop: it is tried again until it can", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  const program = join(directory, "worker");
  const { log, waitFor } = keepLines();
  const child = startWorkerChild([program], { PATH: process.env["PATH"] }, log);
  try {
    await waitFor(({ msg, err }) => msg === "worker ended, starting it again" && String(err).length > 0);
    writeFileSync(program, "#!/bin/sh\nread -r line\n");
    chmodSync(program, 0o700);
    await waitFor(({ msg }) => msg === "worker process started");
  } finally {
    await child.stop(5_000);
    rmSync(directory, { recursive: true, force: true });
  }
});
