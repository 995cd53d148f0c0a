import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  copyFileSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Entry, KeptEntry } from "../../src/journal/entry.ts";
import { Journal, journalFile } from "../../src/journal/journal.ts";
import { openRollbackReader } from "../../src/journal/reader.ts";
import { keepLines } from "../support/log.ts";

const MIB = 1024 * 1024;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pp-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function open(maxBytes = MIB) {
  return new Journal(directory, maxBytes, keepLines().log);
}

/** The events of what is kept, read by the next life. */
function idsAfterReopening(): string[] {
  const again = open();
  const ids = again.oldest(9).map(({ eventId }) => eventId);
  again.close();
  return ids;
}

/** The file, its WAL and the index of that. */
const PARTS = ["", "-wal", "-shm"];

function deleteFiles(parts: readonly string[] = PARTS): void {
  for (const part of parts) rmSync(journalFile(directory) + part);
}

function post(eventId: string, json = "{}"): Entry {
  return { kind: "post", eventId, bodyHash: "h", json, at: 1_000 };
}

describe("the journal", () => {
  test("keeps entries in the order they came, over a restart", async () => {
    const journal = open();
    const kinds: Entry[] = [
      post("e1"),
      { ...post("e1"), kind: "rollback" },
      post("e2"),
      { ...post("e2"), kind: "commit" },
    ];
    expect(await Promise.all(kinds.map((entry) => journal.append(entry)))).toEqual([true, true, true, true]);
    journal.close();
    const again = open();
    expect(again.oldest(10).map(({ kind, eventId }) => `${kind} ${eventId}`)).toEqual([
      "post e1",
      "rollback e1",
      "post e2",
      "commit e2",
    ]);
    expect(again.find("e2").map(({ kind }) => kind)).toEqual(["post", "commit"]);
    expect(again.stats()).toMatchObject({ depth: 4, oldestAt: 1_000, rejected: 0 });
    again.close();
  });

  test("is read by others the moment its promise resolves, and not only in this process's memory", async () => {
    const journal = open();
    await journal.append(post("e1"));
    const other = new Database(journalFile(directory), { readonly: true });
    expect(other.query("SELECT eventId FROM entries").all()).toEqual([{ eventId: "e1" }]);
    other.close();
    journal.close();
  });

  test("finds what is still being written, so that two posts of one turn know of each other", async () => {
    const journal = open();
    const written = journal.append(post("e1"));
    const [found] = journal.find("e1");
    expect(await journal.written(found as Entry)).toBe(true);
    expect(await written).toBe(true);
    journal.close();
  });

  test("finds what is still being written as fast among many as among few", async () => {
    const journal = open(100 * MIB);
    const findMs = async (waiting: number) => {
      const written = Array.from({ length: waiting }, (_, n) => journal.append(post(`${waiting}-${n}`)));
      const startedAt = performance.now();
      for (let n = 0; n < 2_000; n++) journal.find(`${waiting}-${n}`);
      const ms = performance.now() - startedAt;
      await Promise.all(written);
      journal.remove(journal.oldest(waiting));
      return ms;
    };
    const bestMs = async (waiting: number) =>
      Math.min(await findMs(waiting), await findMs(waiting), await findMs(waiting));
    expect(await bestMs(40_000)).toBeLessThan(5 * (await bestMs(2_000)) + 20);
    journal.close();
  });

  test("takes what fits and refuses the rest; removing makes room again", async () => {
    const journal = open(1_000);
    const taken = await Promise.all(["a", "b", "c"].map((id) => journal.append(post(id, "x".repeat(300)))));
    expect(taken).toEqual([true, true, false]);
    journal.remove(journal.oldest(1));
    expect(await journal.append(post("d", "x".repeat(300)))).toBe(true);
    expect(journal.oldest(9).map(({ eventId }) => eventId)).toEqual(["b", "d"]);
    journal.close();
  });

  test("waits for another process that has the file for a moment", async () => {
    const journal = open();
    const holder = `
      const { Database } = require("bun:sqlite");
      const database = new Database(process.argv[1]);
      database.run("BEGIN IMMEDIATE");
      console.log("locked");
      Bun.sleepSync(50);
      database.run("COMMIT");`;
    const child = Bun.spawn([process.execPath, "-e", holder, journalFile(directory)], { stdout: "pipe" });
    await child.stdout.getReader().read();
    expect(await journal.append(post("e1"))).toBe(true);
    expect(await child.exited).toBe(0);
    journal.close();
  });

  test("has no room while its last write failed, and finds out by itself when it can be written again", async () => {
    const lines = keepLines();
    const journal = new Journal(directory, MIB, lines.log);
    const other = new Database(journalFile(directory));
    other.run("BEGIN IMMEDIATE");
    for (const id of ["e1", "e2", "e3"]) expect(await journal.append(post(id))).toBe(false);
    expect(lines.lines.filter(({ msg }) => msg === "journal cannot be written")).toHaveLength(1);
    expect(journal.hasRoom()).toBe(false);
    other.run("ROLLBACK");
    other.close();
    expect(journal.hasRoom()).toBe(true);
    journal.close();
  });

  test("puts an entry aside that cannot be taken over, and keeps it in the file", async () => {
    const journal = open();
    await journal.append(post("e1"));
    const [entry] = journal.oldest(1);
    if (entry !== undefined) journal.reject(entry);
    expect(journal.oldest(9)).toEqual([]);
    journal.close();
    const again = open();
    expect(again.stats()).toMatchObject({ depth: 0, rejected: 1 });
    again.close();
  });

  const filesGone: [string, string[]][] = [
    ["it is", PARTS],
    ["it alone is", [""]],
    ["it and its WAL are", ["", "-wal"]],
    ["its WAL is", ["-wal"]],
    ["the index of its WAL is", ["-shm"]],
    ["its WAL and the index of that are", ["-wal", "-shm"]],
  ];
  test.each(filesGone)("begins the file anew with all it held when %s deleted while it is open", async (_, gone) => {
    const lines = keepLines();
    const journal = new Journal(directory, MIB, lines.log);
    const reader = openRollbackReader(directory, lines.log);
    for (const id of ["a", "b", "c", "d"]) await journal.append(post(id));
    await journal.append({ ...post("b"), kind: "rollback" });
    const [a, b] = journal.oldest(2);
    journal.remove([a as KeptEntry]);
    journal.reject(b as KeptEntry);
    expect(reader.isRolledBack("b")).toBe(true);
    const before = journal.stats();
    deleteFiles(gone);
    expect(reader.isRolledBack("b")).toBe(true);
    expect(await Promise.all(["e", "f"].map((id) => journal.append(post(id))))).toEqual([true, true]);
    expect(await journal.append({ ...post("c"), kind: "rollback" })).toBe(true);
    expect(reader.isRolledBack("c")).toBe(true);
    expect(reader.isRolledBack("b")).toBe(true);
    expect(lines.lines.filter(({ level }) => level === 50)).toMatchObject([
      { msg: "journal was deleted or replaced while it is open, it is begun anew" },
    ]);

    // As after kill -9 at this moment, while the first one and the reader still have it open.
    const killed = mkdtempSync(join(tmpdir(), "pp-"));
    for (const part of PARTS) copyFileSync(journalFile(directory) + part, journalFile(killed) + part);
    const again = new Journal(killed, MIB, lines.log);
    expect(again.oldest(9)).toEqual(journal.oldest(9));
    expect(again.oldest(9).map(({ kind, eventId }) => `${kind} ${eventId}`)).toEqual([
      "post c",
      "post d",
      "rollback b",
      "post e",
      "post f",
      "rollback c",
    ]);
    expect(again.oldest(9).map(({ seq }) => seq)).toEqual([3, 4, 5, 6, 7, 8]);
    expect(again.stats()).toEqual({ ...before, depth: before.depth + 3, bytes: journal.stats().bytes });
    again.close();
    rmSync(killed, { recursive: true });

    journal.close();
    reader.close();
    expect(readdirSync(directory).filter((name) => /new|replaced|unreadable/.test(name))).toEqual([]);
    const last = open();
    expect(last.stats()).toMatchObject({ depth: 6, rejected: 1 });
    last.close();
  });

  test("begins a deleted file anew when it is asked for room, and when it is closed", async () => {
    const journal = open();
    await journal.append(post("e1"));
    deleteFiles();
    expect(journal.hasRoom()).toBe(true);
    expect(PARTS.map((part) => existsSync(journalFile(directory) + part))).toEqual([true, true, true]);
    deleteFiles();
    journal.close();
    expect(idsAfterReopening()).toEqual(["e1"]);
  });

  test("leaves nothing of a deleted file open", async () => {
    const journal = open();
    for (let round = 0; round < 3; round++) {
      deleteFiles();
      expect(await journal.append(post(`e${round}`))).toBe(true);
    }
    journal.remove(journal.oldest(1));
    const opened = readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return []; // the one that read the folder
      }
    });
    expect(opened.filter((path) => path.startsWith(directory) && path.endsWith("(deleted)"))).toEqual([]);
    journal.close();
  });

  test("puts aside what has taken its path, and goes on in a file of its own", async () => {
    const journal = open();
    await journal.append(post("e1"));
    renameSync(journalFile(directory), join(directory, "taken-away"));
    writeFileSync(journalFile(directory), "somebody's");
    expect(await journal.append(post("e2"))).toBe(true);
    const [aside = ""] = readdirSync(directory).filter((name) => name.includes(".replaced-"));
    expect(readFileSync(join(directory, aside), "utf8")).toBe("somebody's");
    journal.close();
    expect(idsAfterReopening()).toEqual(["e1", "e2"]);
  });

  test("has not written what came while its deleted file could not be begun anew, and goes on when it can", async () => {
    const lines = keepLines();
    const journal = new Journal(directory, MIB, lines.log);
    await journal.append(post("e1"));
    deleteFiles();
    const blocker = `${journalFile(directory)}.new`;
    mkdirSync(blocker);
    expect(journal.hasRoom()).toBe(false);
    expect(await journal.append(post("e2"))).toBe(false);
    expect(journal.oldest(9).map(({ eventId }) => eventId)).toEqual(["e1"]);
    // It can take the path, and cannot be opened there.
    rmSync(blocker, { recursive: true });
    mkdirSync(join(`${journalFile(directory)}-wal`, "full"), { recursive: true });
    expect(await journal.append(post("e3"))).toBe(false);
    expect(journal.hasRoom()).toBe(false);
    rmSync(`${journalFile(directory)}-wal`, { recursive: true });
    expect(journal.hasRoom()).toBe(true);
    expect(await journal.append(post("e4"))).toBe(true);
    const said = lines.lines.filter(({ msg }) => String(msg).includes("deleted or replaced"));
    expect(said).toHaveLength(1);
    expect(readdirSync(directory).filter((name) => /replaced|unreadable/.test(name))).toEqual([]);
    journal.close();
    expect(idsAfterReopening()).toEqual(["e1", "e4"]);
  });

  test("survives a torn last write: what was acknowledged before it is there", async () => {
    const journal = open();
    for (let n = 0; n < 50; n++) await journal.append(post(`e${n}`));
    // A copy of the files as a crash would leave them, its last bytes torn off.
    const torn = mkdtempSync(join(tmpdir(), "pp-"));
    for (const name of readdirSync(directory)) writeFileSync(join(torn, name), readFileSync(join(directory, name)));
    journal.close();
    const wal = `${journalFile(torn)}-wal`;
    truncateSync(wal, statSync(wal).size - 100);
    const again = new Journal(torn, MIB, keepLines().log);
    expect(again.stats().depth).toBe(49);
    expect(await again.append(post("next"))).toBe(true);
    again.close();
    rmSync(torn, { recursive: true });
  });

  test("keeps a file that it cannot read, says so, and begins a new one", async () => {
    writeFileSync(journalFile(directory), "this is no database, and long enough to be looked at as one".repeat(50));
    const lines = keepLines();
    const journal = new Journal(directory, MIB, lines.log);
    expect(await journal.append(post("e1"))).toBe(true);
    journal.close();
    expect(lines.lines.map(({ msg }) => msg)).toContain("journal cannot be read, a new one is begun");
    expect(readdirSync(directory).some((name) => name.includes(".unreadable-"))).toBe(true);
  });

  test("keeps a file that is damaged while it is open, and goes on with a new one", async () => {
    const lines = keepLines();
    const journal = new Journal(directory, 100 * MIB, lines.log);
    await Promise.all(Array.from({ length: 10_000 }, (_, n) => journal.append(post(`e${n}`, "x".repeat(500)))));
    const held = journal.oldest(10);
    for (const part of ["", "-wal"]) {
      const file = openSync(journalFile(directory) + part, "r+");
      for (let at = 8_192; at < fstatSync(file).size; at += 4_096)
        writeSync(file, Buffer.alloc(2_048, 0xff), 0, 2_048, at);
      closeSync(file);
    }
    for (let n = 0; n < 10_000; n += 100) expect(journal.find(`e${n}`).length).toBeLessThan(2);
    expect(lines.lines.map(({ msg }) => msg)).toEqual(["journal cannot be read, a new one is begun"]);
    expect(readdirSync(directory).some((name) => name.includes(".unreadable-"))).toBe(true);

    expect(await journal.append(post("e1"))).toBe(true);
    expect([journal.depth(), journal.hasRoom()]).toEqual([1, true]);
    journal.remove(held); // their positions are another's now
    expect(journal.oldest(9).map(({ eventId }) => eventId)).toEqual(["e1"]);
    journal.close();
    expect(idsAfterReopening()).toEqual(["e1"]);
  });

  test("keeps a file with one damaged page, whichever it is, and begins a new one", async () => {
    const journal = open();
    for (let n = 0; n < 50; n++) await journal.append(post(`e${n}`, "x".repeat(1_500)));
    journal.close();
    const file = new Database(journalFile(directory));
    file.run("PRAGMA wal_checkpoint(TRUNCATE)");
    const { page_size: pageSize } = file.query("PRAGMA page_size").get() as { page_size: number };
    const { page_count: pages } = file.query("PRAGMA page_count").get() as { page_count: number };
    file.close(true);
    const whole = readFileSync(journalFile(directory));
    for (let page = 0; page < pages; page++) {
      const damaged = mkdtempSync(join(tmpdir(), "pp-"));
      writeFileSync(journalFile(damaged), Buffer.from(whole).fill(0xaa, page * pageSize, (page + 1) * pageSize));
      const lines = keepLines();
      const again = new Journal(damaged, MIB, lines.log);
      expect([page, lines.lines.map(({ msg }) => msg)]).toEqual([page, ["journal cannot be read, a new one is begun"]]);
      expect(await again.append(post("e1"))).toBe(true);
      again.close();
      rmSync(damaged, { recursive: true });
    }
  });

  test("survives kill -9: each entry whose promise resolved is there", async () => {
    const script = `
      import { Journal } from ${JSON.stringify(join(import.meta.dir, "../../src/journal/journal.ts"))};
      import { pino } from "pino";
      const journal = new Journal(${JSON.stringify(directory)}, 1e9, pino({ level: "silent" }));
      for (let n = 0; ; n++) {
        await journal.append({ kind: "post", eventId: "e" + n, bodyHash: "", json: "{}", at: 0 });
        console.log(n);
      }`;
    const file = join(import.meta.dir, `.append-${process.pid}.ts`);
    writeFileSync(file, script);
    const child = Bun.spawn([process.execPath, file], { stdout: "pipe" });
    let text = "";
    for await (const chunk of child.stdout) {
      text += new TextDecoder().decode(chunk);
      if (text.split("\n").length > 100) child.kill("SIGKILL");
    }
    rmSync(file);
    const acknowledged = text.split("\n").filter((line) => line !== "").length;
    const journal = open();
    expect(journal.stats().depth).toBeGreaterThanOrEqual(acknowledged);
    journal.close();
  });
});

describe("the rollback reader", () => {
  test("sees a rollback that another process has journaled, and nothing where there is no journal", async () => {
    const reader = openRollbackReader(directory, keepLines().log);
    expect(reader.isRolledBack("e1")).toBe(false);
    const journal = open();
    await journal.append(post("e1"));
    expect(reader.isRolledBack("e1")).toBe(false);
    await journal.append({ ...post("e1"), kind: "rollback" });
    expect(reader.isRolledBack("e1")).toBe(true);
    journal.remove(journal.oldest(9));
    expect(reader.isRolledBack("e1")).toBe(false);
    reader.close();
    journal.close();
  });

  test("honours a rollback that was put aside: Redis will never be told of it", async () => {
    const journal = open();
    await journal.append({ ...post("e1"), kind: "rollback" });
    for (const entry of journal.oldest(9)) journal.reject(entry);
    const reader = openRollbackReader(directory, keepLines().log);
    expect(reader.isRolledBack("e1")).toBe(true);
    reader.close();
    journal.close();
  });

  test("reads the file that the path names now, and says so", async () => {
    const lines = keepLines();
    const life = open();
    await life.append({ ...post("e1"), kind: "rollback" });
    const reader = openRollbackReader(directory, lines.log);
    expect(reader.isRolledBack("e1")).toBe(true);
    life.close();
    for (const part of PARTS) rmSync(journalFile(directory) + part, { force: true });
    expect(reader.isRolledBack("e1")).toBe(true);
    const next = open();
    expect(reader.isRolledBack("e2")).toBe(false);
    await next.append({ ...post("e2"), kind: "rollback" });
    expect(reader.isRolledBack("e2")).toBe(true);
    expect(reader.isRolledBack("e1")).toBe(false);
    expect(lines.lines.map(({ msg }) => msg)).toEqual(["journal is another file now, that one is read"]);
    reader.close();
    // Nor did it take the WAL away from the one that it reads.
    expect(existsSync(`${journalFile(directory)}-wal`)).toBe(true);
    expect(next.hasRoom()).toBe(true);
    next.close();
  });

  test("says once that it cannot read the file, and once that it can again", async () => {
    const lines = keepLines();
    const life = open();
    const ids = Array.from({ length: 500 }, (_, n) => `e${n}`.padEnd(100, "."));
    await Promise.all(ids.map((id) => life.append({ ...post(id), kind: "rollback" })));
    const reader = openRollbackReader(directory, lines.log);
    expect(reader.isRolledBack(ids[0] as string)).toBe(true);
    life.close();
    for (const part of ["", "-wal"]) writeFileSync(journalFile(directory) + part, "no database".repeat(1_000));
    for (let n = 0; n < 3; n++) expect(() => reader.isRolledBack(ids[400 + n] as string)).toThrow();
    const next = open(); // it puts the damaged one aside
    await next.append({ ...post("e2"), kind: "rollback" });
    for (let n = 0; n < 3; n++) expect(reader.isRolledBack("e2")).toBe(true);
    expect(lines.lines.map(({ level, msg }) => `${level} ${msg}`)).toEqual([
      "50 journal cannot be read for rollbacks, no mail is sent meanwhile",
      "40 journal can be read again",
    ]);
    reader.close();
    next.close();
  });
});
