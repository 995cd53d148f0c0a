import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockDirectory } from "../../src/journal/lock.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { until } from "../support/until.ts";

let directory: string;
const holders: Bun.Subprocess<"pipe", "pipe", "inherit">[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pp-"));
});
afterEach(async () => {
  for (const holder of holders.splice(0)) {
    holder.kill("SIGKILL");
    await holder.exited;
  }
  rmSync(directory, { recursive: true });
});
failOnLeaks();

/** A process that locks the directory, says whether it did, and holds on until its standard input ends. */
const HOLDER = `
  import { lockDirectory } from ${JSON.stringify(join(import.meta.dir, "../../src/journal/lock.ts"))};
  const lock = lockDirectory(process.argv[1], process.argv[2]);
  console.log(lock === undefined ? "refused" : "held");
  for await (const _ of process.stdin);
`;

async function lockElsewhere(role: string): Promise<{ said: string; process: (typeof holders)[number] }> {
  const holder = Bun.spawn([process.execPath, "-e", HOLDER, directory, role], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  holders.push(holder);
  const reader = holder.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return { said: new TextDecoder().decode(value).trim(), process: holder };
}

describe("the lock on DATA_DIR", () => {
  test("is held by one process, and refused to a second", async () => {
    const first = await lockElsewhere("service");
    expect(first.said).toBe("held");
    expect(lockDirectory(directory, "service")).toBeUndefined();
    expect((await lockElsewhere("service")).said).toBe("refused");
  });

  test("is refused to another process while this one has it", async () => {
    const lock = lockDirectory(directory, "service");
    expect(lock).toBeDefined();
    expect((await lockElsewhere("service")).said).toBe("refused");
    lock?.release();
  });

  test("is refused a second time in the same process", () => {
    const lock = lockDirectory(directory, "service");
    expect(lockDirectory(directory, "service")).toBeUndefined();
    lock?.release();
  });

  test("is free as soon as its holder was killed with kill -9", async () => {
    for (let round = 0; round < 3; round++) {
      const holder = await lockElsewhere("service");
      expect(holder.said).toBe("held");
      holder.process.kill("SIGKILL");
      await holder.process.exited;
      const lock = lockDirectory(directory, "service");
      expect(lock).toBeDefined();
      lock?.release();
    }
  });

  test("is free when it was released, for anyone, again and again", async () => {
    for (let round = 0; round < 3; round++) {
      const lock = lockDirectory(directory, "service");
      expect(lock).toBeDefined();
      lock?.release();
    }
    expect((await lockElsewhere("service")).said).toBe("held");
  });

  test("passes to a successor that waits for it", async () => {
    const holder = await lockElsewhere("worker");
    const successor = until("the lock is free", () => lockDirectory(directory, "worker"));
    holder.process.stdin.end();
    (await successor)?.release();
    expect(await holder.process.exited).toBe(0);
  });

  test("is one for each role", () => {
    const locks = ["service", "worker"].map((role) => lockDirectory(directory, role));
    expect(locks.every((lock) => lock !== undefined)).toBeTrue();
    for (const lock of locks) lock?.release();
  });

  test("cannot be had where there is no folder, and says which file it is about", () => {
    expect(() => lockDirectory(join(directory, "not-there"), "service")).toThrow("service.lock");
  });

  test("cannot be had on a file that is something else, and says which", async () => {
    await Bun.write(join(directory, "service.lock"), "not a lock ".repeat(1_000));
    expect(() => lockDirectory(directory, "service")).toThrow("service.lock");
  });
});
