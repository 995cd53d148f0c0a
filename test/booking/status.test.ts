import { describe, expect, test } from "bun:test";
import { faultOf, readStatus, unavailable } from "../../src/booking/status.ts";

describe("a status", () => {
  test.each([
    ["paid", "paid"],
    ["PENDING", "pending"],
    ["Cancelled", "cancelled"],
    ["paid        ", "paid"],
    [" pending\n", "pending"],
  ] as const)("%j is %s", (value, kind) => {
    expect(readStatus(value, "db")).toEqual({ kind });
  });

  test.each([
    ["shipped", '"shipped"'],
    ["canceled", '"canceled"'],
    ["paid;", '"paid;"'],
    ["", '""'],
    [null, "null"],
    [undefined, "undefined"],
    [true, "true"],
    [1, "1"],
    [1n, "1"],
    [["paid"], '["paid"]'],
    [{ status: "paid" }, '{"status":"paid"}'],
  ])("%p is no status, and the reason names it", (value, shown) => {
    const reason = `db: the status is ${shown}, must be paid, pending or cancelled`;
    expect(readStatus(value, "db")).toEqual({ kind: "unavailable", reason });
  });

  test("of a megabyte is not repeated in the reason", () => {
    const status = readStatus("x".repeat(1_000_000), "db");
    expect(status.kind === "unavailable" && status.reason.length).toBeLessThan(200);
  });
});

describe("a reason", () => {
  test("is one line without control characters, and no essay", () => {
    const status = unavailable("db:5432", `no\r\n\tgood\u0000\u001b[31m ${"x".repeat(1_000)}`);
    const reason = status.kind === "unavailable" ? status.reason : "";
    expect(reason).toStartWith("db:5432: no good [31m xxx");
    expect(reason).toEndWith("x…");
    expect(reason.length).toBe(301);
  });

  test.each([
    [{ code: "ERR_POSTGRES_SERVER_ERROR", errno: "42P01" }, "it failed (42P01)"],
    [{ code: "ERR_MYSQL_SERVER_ERROR", errno: 1146 }, "it failed (1146)"],
    [{ code: "SQLITE_BUSY", errno: 5 }, "it failed (SQLITE_BUSY)"],
    [{ code: "ERR_POSTGRES_CONNECTION_REFUSED", errno: undefined }, "it failed (ERR_POSTGRES_CONNECTION_REFUSED)"],
    [{ code: "ConnectionRefused", errno: 0 }, "it failed (ConnectionRefused)"],
    [{}, "it failed"],
  ])("of an error with %p has the database's own code, before Bun's", (codes, fault) => {
    expect(faultOf(Object.assign(new Error("it failed"), codes))).toBe(fault);
  });

  test("is made of whatever was thrown", () => {
    expect(faultOf("thrown text")).toBe("thrown text");
  });
});

test("a reason does not repeat a URL, whose query may hold a secret", () => {
  const { reason } = unavailable(
    "shop.example",
    'headers too large, see "https://shop.example/b?token=hunter2" (E1)',
  ) as {
    reason: string;
  };
  expect(reason).toBe('shop.example: headers too large, see "its URL" (E1)');
});
