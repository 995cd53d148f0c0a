import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSqlStore } from "../../src/booking/sql.ts";
import type { BookingStore } from "../../src/booking/store.ts";

let directory: string;
let file: string;
let store: BookingStore;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pp-lite-"));
  file = join(directory, "the shop.db");
  store = open();
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true, force: true });
});

function open(query = "SELECT status FROM bookings WHERE id = ?", timeoutMs = 1_000): BookingStore {
  return createSqlStore({ url: `sqlite://${file}`, query, timeoutMs });
}

function make(path: string, status: string): Database {
  const database = new Database(path);
  database.run("CREATE TABLE bookings (id TEXT, status TEXT)");
  database.run("INSERT INTO bookings VALUES ('BK-1', ?)", [status]);
  return database;
}

describe("a booking in SQLite", () => {
  test.each(["SELECT status FROM bookings WHERE id = ?", "SELECT status FROM bookings WHERE id = $1"])(
    "is what its row says: %s",
    async (query) => {
      make(file, "paid").close();
      expect(await open(query).statusOf("BK-1")).toEqual({ kind: "paid" });
      expect(await open(query).statusOf("BK-2")).toEqual({ kind: "not_found" });
    },
  );

  test("has an id that is a value, whatever is in it", async () => {
    make(file, "paid").close();
    for (const id of ["' OR '1'='1", "BK-1' --", "BK-1'; DROP TABLE bookings; --", "?", "$1", "%", ""]) {
      expect(await store.statusOf(id), id).toEqual({ kind: "not_found" });
    }
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });

  test("is not written, by no query", async () => {
    make(file, "paid").close();
    const writing = open("UPDATE bookings SET status = 'cancelled' WHERE id = ? RETURNING status");
    expect(await writing.statusOf("BK-1")).toHaveProperty("reason", expect.stringContaining("readonly database"));
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });
});

describe("a SQLite file", () => {
  test("that is not there is a fault and is not made, and is asked once it is there", async () => {
    expect(await store.statusOf("BK-1")).toEqual({
      kind: "unavailable",
      reason: `${file}: unable to open database file (SQLITE_CANTOPEN)`,
    });
    expect(existsSync(file)).toBe(false);
    make(file, "paid").close();
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });

  test("that was replaced is seen at once", async () => {
    make(file, "paid").close();
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
    make(`${file}.new`, "cancelled").close();
    renameSync(`${file}.new`, file);
    expect(await store.statusOf("BK-1")).toEqual({ kind: "cancelled" });
  });

  test("that a commit has locked is waited for", async () => {
    const writer = make(file, "pending");
    writer.run("BEGIN EXCLUSIVE");
    writer.run("UPDATE bookings SET status = 'paid'");
    const status = store.statusOf("BK-1");
    setTimeout(() => writer.run("COMMIT"), 60);
    expect(await status).toEqual({ kind: "paid" });
    writer.close();
  });

  test("that stays locked is given up in time", async () => {
    const writer = make(file, "paid");
    writer.run("BEGIN EXCLUSIVE");
    const begunAt = performance.now();
    expect(await open(undefined, 100).statusOf("BK-1")).toEqual({
      kind: "unavailable",
      reason: `${file}: database is locked (SQLITE_BUSY)`,
    });
    expect(performance.now() - begunAt).toBeLessThan(3_000);
    writer.run("COMMIT");
    writer.close();
  });

  test("in WAL mode is read while a writer holds it", async () => {
    const writer = make(file, "pending");
    writer.run("PRAGMA journal_mode = WAL");
    writer.run("BEGIN IMMEDIATE");
    writer.run("UPDATE bookings SET status = 'paid'");
    expect(await store.statusOf("BK-1")).toEqual({ kind: "pending" });
    writer.run("COMMIT");
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
    writer.close();
  });

  test("that is no database is a fault", async () => {
    await Bun.write(file, "this is a letter, ".repeat(100));
    expect(await store.statusOf("BK-1")).toHaveProperty("reason", expect.stringContaining("not a database"));
  });
});
