import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createSqlStore } from "../../src/booking/sql.ts";
import type { BookingStatus, BookingStore } from "../../src/booking/store.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { startMariadb, type TestMariadb } from "./mariadb.ts";

const QUERY = "SELECT status FROM bookings WHERE id = ?";
const SLOW_QUERY = "SELECT 'paid' AS status, SLEEP(IF(? LIKE 'slow%', 3, 0))";

let mariadb: TestMariadb;
setDefaultTimeout(30_000);

const stores: BookingStore[] = [];

beforeAll(async () => {
  mariadb = await startMariadb();
  await mariadb.admin(
    "CREATE TABLE bookings (id varchar(128), status varchar(20), n int, standing enum('paid', 'pending'))",
  );
  await mariadb.admin(
    "INSERT INTO bookings VALUES ('BK-1', 'paid', 1, 'paid'), ('BK-2', 'Pending', 2, NULL), ('BK-3', 'shipped', 3, 'paid')",
  );
});
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});
afterAll(() => mariadb.stop());
failOnLeaks();

function open(query = QUERY, timeoutMs = 5_000): BookingStore {
  const store = createSqlStore({ url: mariadb.url, query, timeoutMs });
  stores.push(store);
  return store;
}

const unavailable = (fault: string): BookingStatus => ({
  kind: "unavailable",
  reason: `${new URL(mariadb.url).host}: ${fault}`,
});

describe("a booking in MariaDB", () => {
  test("is what its row says, and not found without one", async () => {
    const store = open();
    expect(await Promise.all(["BK-1", "BK-2", "BK-9"].map((id) => store.statusOf(id)))).toEqual([
      { kind: "paid" },
      { kind: "pending" },
      { kind: "not_found" },
    ]);
    expect(await store.statusOf("BK-3")).toEqual(
      unavailable('the status is "shipped", must be paid, pending or cancelled'),
    );
    expect(await open("SELECT standing, n FROM bookings WHERE id = ?").statusOf("BK-1")).toEqual({ kind: "paid" });
  });

  test("has an id that is a value, whatever is in it", async () => {
    const store = open();
    for (const id of ["' OR '1'='1", "BK-1' -- ", "BK-1'; DROP TABLE bookings; --", "\\' OR 1=1 #", "?", "%", ""]) {
      expect(await store.statusOf(id), id).toEqual({ kind: "not_found" });
    }
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });

  test("is found by a number only where the query compares it as text", async () => {
    expect(await open("SELECT status FROM bookings WHERE n = ?").statusOf("1 OR 2")).toEqual({ kind: "paid" });
    expect(await open("SELECT status FROM bookings WHERE CAST(n AS CHAR) = ?").statusOf("1 OR 2")).toEqual({
      kind: "not_found",
    });
  });

  test("whose query is wrong is a fault with the database's own number", async () => {
    const status = await open("SELECT status FROM nowhere WHERE id = ?").statusOf("BK-1");
    expect(status).toHaveProperty("reason", expect.stringContaining("nowhere' doesn't exist (1146)"));
  });
});

describe("a statement that hangs in MariaDB", () => {
  test("is left in time, and five of them leave a pool that answers", async () => {
    const store = open(SLOW_QUERY, 500);
    const begunAt = performance.now();
    const slow = await Promise.all(Array.from({ length: 5 }, (_, i) => store.statusOf(`slow${i}`)));
    expect(slow).toEqual(Array<BookingStatus>(5).fill(unavailable("no answer within 500 ms")));
    expect(performance.now() - begunAt).toBeLessThan(2_500);
    const after = await Promise.all(Array.from({ length: 10 }, () => store.statusOf("BK-1")));
    expect(after).toEqual(Array<BookingStatus>(10).fill({ kind: "paid" }));
  });

  test("can be limited on the server by the query itself", async () => {
    const limited = open(`SET STATEMENT max_statement_time=0.1 FOR ${SLOW_QUERY}`);
    expect(await limited.statusOf("BK-1")).toEqual({ kind: "paid" });
    expect((await limited.statusOf("slow")).kind).toBe("unavailable");
  });
});

describe("a MariaDB that goes away", () => {
  test("is a fault while it is down, and asked again without a new store", async () => {
    const store = open();
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
    await mariadb.kill();
    expect(await store.statusOf("BK-1")).toEqual(unavailable("Failed to connect (ERR_MYSQL_CONNECTION_REFUSED)"));
    await mariadb.start();
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });
});
