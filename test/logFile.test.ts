/* A log that cannot be written: the service goes on, and says afterwards what is missing. */
import { describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmdirSync, rmSync, statfsSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog } from "../src/log.ts";
import { LogFile } from "../src/logFile.ts";
import { cleanUpAfterEach } from "./support/cleanups.ts";

const FULL = "/dev/full";

const cleanups = cleanUpAfterEach();

/** A folder on a disk of 64 KiB; undefined where this user cannot mount. */
function smallDisk(): string | undefined {
  const path = mkdtempSync(join(tmpdir(), "pp-"));
  const mounted =
    Bun.which("mount") && Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path]).success;
  cleanups.push(() => {
    if (mounted) Bun.spawnSync(["umount", "-l", path]);
    rmdirSync(path);
  });
  return mounted ? path : undefined;
}

function fill(path: string): void {
  const { bavail, bsize } = statfsSync(path);
  const file = openSync(join(path, "filler"), "w");
  writeSync(file, Buffer.alloc(bavail * bsize));
  closeSync(file);
}

const canMount = smallDisk() !== undefined;
for (const cleanup of cleanups.splice(0)) cleanup();

describe("on a full disk", () => {
  test("lines are dropped, also by log.fatal and at the end, and nothing throws or hangs", async () => {
    const destination = new LogFile(FULL);
    const log = createLog({ by: "service", level: "info", plain: true, destination });
    log.info("written in the background");
    await destination.drain(5_000);
    log.fatal("written at once");
    destination.write("in time\n");
    destination.flushSync();
  });

  test.skipIf(!canMount)("lines are counted, and the log says how many are lost once there is room", async () => {
    const disk = smallDisk() as string;
    const path = join(disk, "log");
    const destination = new LogFile(path);
    const log = createLog({ by: "service", level: "info", plain: true, destination });
    log.info("before");
    await destination.drain(5_000);
    fill(disk);
    // The page that is begun takes some of them yet.
    for (let i = 0; i < 200; i++) log.info({ filling: "x".repeat(1_000) }, "filling");
    await destination.drain(5_000);
    for (let i = 0; i < 3; i++) log.info("in vain");
    destination.flushSync();
    rmSync(join(disk, "filler"));
    log.info("after");
    await destination.drain(5_000);

    const lines = readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line.startsWith("{") && line.endsWith("}"));
    const read = lines.map((line) => JSON.parse(line) as { msg: string; lost?: number });
    expect(read.slice(-2)).toMatchObject([{ msg: "after" }, { msg: "log lines were lost" }]);
    const written = read.filter(({ msg }) => msg === "filling").length;
    const lost = read.at(-1)?.lost ?? 0;
    // A write that was cut short counts with all its lines.
    expect(lost).toBeGreaterThanOrEqual(203 - written);
    expect(lost).toBeLessThanOrEqual(203 - written + 4);
    expect(read.filter(({ msg }) => msg === "in vain")).toEqual([]);
  });
});

test("a reader that does not read costs a bounded amount of memory, and holds up neither lines nor the end", async () => {
  const program = `
    import { LogFile } from ${JSON.stringify(join(import.meta.dir, "../src/logFile.ts"))};
    const log = new LogFile(1);
    for (let i = 0; i < 400_000; i++) log.write("x".repeat(99) + "\\n");
    await log.drain(1_500);
    log.flushSync();
    process.stderr.write(String(process.memoryUsage().rss));
    process.exit(7);`;
  const folder = mkdtempSync(join(tmpdir(), "pp-"));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const fifo = join(folder, "fifo");
  Bun.spawnSync(["mkfifo", fifo]);
  const held = openSync(fifo, "r+"); // a reader is there
  cleanups.push(() => closeSync(held));
  const child = Bun.spawn([process.execPath, "-e", program], {
    stdout: Bun.file(fifo),
    stderr: "pipe",
    stdin: "ignore",
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
  expect(await child.exited).toBe(7);
  clearTimeout(timer);
  expect(Number(await new Response(child.stderr).text())).toBeLessThan(400_000_000);
});

describe("lines", () => {
  const LINES = 30_000;
  const program = `
    import { LogFile } from ${JSON.stringify(join(import.meta.dir, "../src/logFile.ts"))};
    const log = new LogFile(1);
    for (let i = 0; i < ${LINES}; i++) {
      log.write(process.argv[1] + " " + i + " " + "x".repeat(150) + "\\n");
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await log.drain(10_000);`;
  const start = (name: string, stdout: "pipe" | number) =>
    Bun.spawn([process.execPath, "-e", program, name], { stdout, stderr: "inherit", stdin: "ignore" });
  const numbersOf = (text: string, name: string) =>
    [...text.matchAll(/^(\w+) (\d+) x{150}$/gm)].filter((line) => line[1] === name).map((line) => Number(line[2]));
  const inOrder = Array.from({ length: LINES }, (_, i) => i);

  test("come whole and in order through a pipe that two processes fill faster than it is read", async () => {
    const folder = mkdtempSync(join(tmpdir(), "pp-"));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const fifo = join(folder, "fifo");
    Bun.spawnSync(["mkfifo", fifo]);
    const held = openSync(fifo, "r+");
    const children = ["one", "two"].map((name) => start(name, held));
    const reader = Bun.spawn(["cat", fifo], { stdout: "pipe" });
    closeSync(held);
    const text = await new Response(reader.stdout).text();
    await Promise.all(children.map((child) => child.exited));
    for (const name of ["one", "two"]) expect(numbersOf(text, name)).toEqual(inOrder);
  });

  test("come whole and in order into a file that two processes share", async () => {
    const folder = mkdtempSync(join(tmpdir(), "pp-"));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const file = openSync(join(folder, "log"), "w");
    await Promise.all(["one", "two"].map((name) => start(name, file).exited));
    closeSync(file);
    const text = readFileSync(join(folder, "log"), "utf8");
    for (const name of ["one", "two"]) expect(numbersOf(text, name)).toEqual(inOrder);
  });
});
