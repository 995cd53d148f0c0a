import { describe, expect, test } from "bun:test";
import { openBookingStore } from "../../src/booking/open.ts";

const quiet = { onDown: () => undefined, onUp: () => undefined };

describe("the booking store of the configuration", () => {
  test.each([
    ["sql", { kind: "sql", url: "sqlite:/nowhere/shop.db", query: "SELECT ?", timeoutMs: 100 }],
    ["http", { kind: "http", urlTemplate: "http://127.0.0.1:1/{bookingId}", key: "k", timeoutMs: 100 }],
  ] as const)("%s opens nothing at start, and is guarded by a breaker", async (_, settings) => {
    const said: string[] = [];
    const store = openBookingStore(settings, { ...quiet, onDown: (reason) => said.push(reason) });
    for (const id of ["BK-1", "BK-2", "BK-3"]) expect((await store.statusOf(id)).kind).toBe("unavailable");
    expect(await store.statusOf("BK-4")).toHaveProperty("reason", expect.stringMatching(/\(not asked again yet\)$/));
    expect(said).toHaveLength(1);
    await store.close();
  });

  test.each([
    [{ kind: "sql", url: "redis://h", query: "SELECT $1", timeoutMs: 100 }, "BOOKING_SQL_URL"],
    [{ kind: "sql", url: "postgres://h/d", query: "SELECT 1", timeoutMs: 100 }, "BOOKING_SQL_QUERY"],
    [{ kind: "http", urlTemplate: "https://h/", key: "k", timeoutMs: 100 }, "BOOKING_HTTP_URL"],
    [{ kind: "http", urlTemplate: "https://h/{bookingId}", key: "", timeoutMs: 100 }, "a signing key"],
  ] as const)("%p is refused at start", (settings, name) => {
    expect(() => openBookingStore(settings, quiet)).toThrow(name);
  });
});
