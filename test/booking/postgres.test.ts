import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createSqlStore } from "../../src/booking/sql.ts";
import type { BookingStatus, BookingStore } from "../../src/booking/store.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { until } from "../support/until.ts";

const QUERY = "SELECT status FROM bookings WHERE id = $1";

/** Ids that begin with "slow" take a minute. */
const SLOW_QUERY = `SELECT 'paid' AS status, pg_sleep(CASE WHEN $1::text LIKE 'slow%' THEN 60 ELSE 0 END)`;

/** Enough for a new connection on a busy machine. */
const SHORT_MS = 750;

let postgres: TestPostgres;
setDefaultTimeout(30_000);

const stores: BookingStore[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  await postgres.admin("CREATE TYPE standing AS ENUM ('Paid', 'pending', 'shipped')");
  await postgres.admin("CREATE TABLE bookings (id text, status text, padded char(12), standing standing, n int)");
  await postgres.admin(`INSERT INTO bookings VALUES
    ('BK-1', 'paid', 'paid', 'Paid', 1), ('BK-2', 'PENDING', 'pending', 'pending', 2), ('BK-3', 'cancelled', 'cancelled', 'shipped', 3),
    ('BK-4', 'shipped', '', NULL, 4), ('BK-5', NULL, NULL, NULL, 5), ('BK-6', 'paid', 'paid', 'Paid', 6), ('BK-6', 'paid', 'paid', 'Paid', 6)`);
});
afterEach(async () => {
  postgres.thaw();
  await Promise.all(stores.splice(0).map((store) => store.close()));
});
afterAll(() => postgres.stop());
failOnLeaks();

function open(query = QUERY, timeoutMs = 5_000): BookingStore {
  const store = createSqlStore({ url: postgres.url, query, timeoutMs });
  stores.push(store);
  return store;
}

const unavailable = (fault: string): BookingStatus => ({
  kind: "unavailable",
  reason: `${new URL(postgres.url).host}: ${fault}`,
});

async function running(): Promise<number> {
  const rows = await postgres.admin(
    "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sl' || 'eep%'",
  );
  return rows.length;
}

/** Process ids of the connections, without the one that asks. */
async function backends(): Promise<unknown[]> {
  const clients = "backend_type = 'client backend' AND pid <> pg_backend_pid()";
  const rows = await postgres.admin(`SELECT pid FROM pg_stat_activity WHERE ${clients}`);
  return rows.map(({ pid }) => pid);
}

describe("a booking in Postgres", () => {
  test("is what its row says, and not found without one", async () => {
    const store = open();
    expect(await Promise.all(["BK-1", "BK-2", "BK-3", "BK-9"].map((id) => store.statusOf(id)))).toEqual([
      { kind: "paid" },
      { kind: "pending" },
      { kind: "cancelled" },
      { kind: "not_found" },
    ]);
  });

  test("with another word, with NULL or with two rows is not guessed at", async () => {
    const store = open();
    expect(await store.statusOf("BK-4")).toEqual(
      unavailable('the status is "shipped", must be paid, pending or cancelled'),
    );
    expect(await store.statusOf("BK-5")).toEqual(unavailable("the status is null, must be paid, pending or cancelled"));
    expect(await store.statusOf("BK-6")).toEqual(unavailable("the query gave 2 rows, must give one or none"));
  });

  test.each([
    ["SELECT padded FROM bookings WHERE id = $1", "paid"],
    ["SELECT standing FROM bookings WHERE id = $1", "paid"],
    ["SELECT n, 'cancelled' AS status FROM bookings WHERE id = $1", "cancelled"],
    ["SELECT 'pending', n, id FROM bookings WHERE id = $1;", "pending"],
  ] as const)("is read from the column status, or from the first: %s", async (query, kind) => {
    expect(await open(query).statusOf("BK-1")).toEqual({ kind });
  });

  test("has an id that is a value, whatever is in it", async () => {
    const store = open();
    for (const id of [
      ...[
        "' OR '1'='1",
        "BK-1' --",
        "BK-1'; DROP TABLE bookings; --",
        "\\'; SELECT 1; --",
        "$1",
        "%",
        "",
        "Đ".repeat(500),
      ],
    ]) {
      expect(await store.statusOf(id), id).toEqual({ kind: "not_found" });
    }
    expect((await store.statusOf("BK\u00001")).kind).toBe("unavailable");
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });

  test("whose query is wrong is a fault with the database's own words, each time", async () => {
    const store = open("SELECT status FROM nowhere WHERE id = $1");
    for (let i = 0; i < 6; i++) {
      expect(await store.statusOf("BK-1")).toEqual(unavailable('relation "nowhere" does not exist (42P01)'));
    }
    expect(await open("SELECT 'paid' FROM bookings WHERE n = $1").statusOf("BK-1")).toEqual(
      unavailable('invalid input syntax for type integer: "BK-1" (22P02)'),
    );
  });

  test("is still found after its column was altered, on the same connection", async () => {
    await postgres.admin("CREATE TABLE altered AS SELECT * FROM bookings");
    const store = open("SELECT status FROM altered WHERE id = $1");
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
    await postgres.admin("ALTER TABLE altered ALTER status TYPE varchar(40)");
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });

  test("is looked for in the URL's database, whatever the environment says", async () => {
    process.env["PGDATABASE"] = "elsewhere";
    try {
      expect(await open().statusOf("BK-1")).toEqual({ kind: "paid" });
    } finally {
      delete process.env["PGDATABASE"];
    }
  });

  test("costs no connection before it is asked for, and a hundred at once cost four", async () => {
    await until("the other tests' are gone", async () => (await backends()).length === 0);
    const store = open();
    expect(await backends()).toEqual([]);
    const statuses = await Promise.all(Array.from({ length: 100 }, () => store.statusOf("BK-1")));
    expect(statuses).toEqual(Array<BookingStatus>(100).fill({ kind: "paid" }));
    expect((await backends()).length).toBeLessThanOrEqual(4);
    await store.close();
    await until("the connections are closed", async () => (await backends()).length === 0);
  });
});

describe("a statement that hangs", () => {
  const LATE = `no answer within ${SHORT_MS} ms`;

  test("is cut off in time and cancelled on the server, and its connection serves the next question", async () => {
    const store = open(SLOW_QUERY, SHORT_MS);
    const askAll = (...ids: string[]) => Promise.all(ids.map((id) => store.statusOf(id)));
    expect(await askAll("a", "b", "c", "d")).toEqual(Array<BookingStatus>(4).fill({ kind: "paid" }));
    const begunAt = performance.now();
    const slow = askAll("slow1", "slow2", "slow3", "slow4");
    await until("all four connections are taken", async () => (await running()) === 4);
    const taken = await backends();
    expect(await slow).toEqual(Array<BookingStatus>(4).fill(unavailable(LATE)));
    expect(performance.now() - begunAt).toBeLessThan(SHORT_MS + 3_000);
    await until("nothing runs", async () => (await running()) === 0);
    expect(await askAll("a", "b", "c", "d")).toEqual(Array<BookingStatus>(4).fill({ kind: "paid" }));
    expect(taken).toEqual(expect.arrayContaining(await backends()));
  });

  test("holds up no other one, and ten of them leave nothing behind", async () => {
    const store = open(SLOW_QUERY, SHORT_MS);
    const three = ["slow1", "slow2", "slow3"].map((id) => store.statusOf(id));
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
    expect(await Promise.all(three)).toEqual(Array<BookingStatus>(3).fill(unavailable(LATE)));

    const ten = await Promise.all(Array.from({ length: 10 }, (_, i) => store.statusOf(`slow${i}`)));
    expect(ten).toEqual(Array<BookingStatus>(10).fill(unavailable(LATE)));
    await until("nothing runs", async () => (await running()) === 0);
    const after = await Promise.all(Array.from({ length: 20 }, () => store.statusOf("BK-1")));
    expect(after).toEqual(Array<BookingStatus>(20).fill({ kind: "paid" }));
  });

  test("does not keep the store from closing, nor the caller from its answer", async () => {
    const store = open(SLOW_QUERY, 10_000);
    const slow = store.statusOf("slow");
    await until("it runs", async () => (await running()) === 1);
    const begunAt = performance.now();
    await store.close();
    expect((await slow).kind).toBe("unavailable");
    expect(performance.now() - begunAt).toBeLessThan(SHORT_MS + 3_000);
    expect((await store.statusOf("BK-1")).kind).toBe("unavailable");
    await postgres.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sl' || 'eep%'");
    await until("nothing runs", async () => (await running()) === 0);
  });
});

describe("a database that goes away", () => {
  test("is a fault while it is down, and asked again without a new store", async () => {
    const store = open();
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
    await postgres.kill();
    const begunAt = performance.now();
    for (let i = 0; i < 3; i++) {
      expect(await store.statusOf("BK-1")).toEqual(unavailable("Failed to connect (ERR_POSTGRES_CONNECTION_REFUSED)"));
    }
    expect(performance.now() - begunAt).toBeLessThan(2_000);
    await postgres.start();
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });

  test("and was not there at the start is found when it comes", async () => {
    await postgres.kill();
    const store = open();
    expect((await store.statusOf("BK-1")).kind).toBe("unavailable");
    await postgres.start();
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });

  test("and comes back between two questions is no fault at all", async () => {
    const store = open();
    await Promise.all(Array.from({ length: 8 }, () => store.statusOf("BK-1")));
    await postgres.kill();
    await postgres.start();
    const after = await Promise.all(Array.from({ length: 8 }, () => store.statusOf("BK-1")));
    expect(after).toEqual(Array<BookingStatus>(8).fill({ kind: "paid" }));
  });

  test("under a running statement fails that one at once, and the next one is answered", async () => {
    const store = open(SLOW_QUERY);
    const slow = store.statusOf("slow");
    await until("it runs", async () => (await running()) === 1);
    const begunAt = performance.now();
    await postgres.kill();
    expect((await slow).kind).toBe("unavailable");
    expect(performance.now() - begunAt).toBeLessThan(2_000);
    await postgres.start();
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });

  test("with its connections left open is left in time, and asked on new ones afterwards", async () => {
    const store = open(QUERY, SHORT_MS);
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
    await postgres.freeze();
    for (let i = 0; i < 2; i++) {
      const begunAt = performance.now();
      expect(await store.statusOf("BK-1")).toEqual(unavailable(`no answer within ${SHORT_MS} ms`));
      expect(performance.now() - begunAt).toBeLessThan(SHORT_MS + 3_000);
    }
    postgres.thaw();
    const back = async () => (await store.statusOf("BK-1")).kind === "paid";
    await until("it answers", back);
    const after = await Promise.all(Array.from({ length: 20 }, () => store.statusOf("BK-1")));
    expect(after).toEqual(Array<BookingStatus>(20).fill({ kind: "paid" }));
  });

  test("and answers nothing does not keep the store from closing", async () => {
    const store = open(QUERY, SHORT_MS);
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
    await postgres.freeze();
    expect((await store.statusOf("BK-1")).kind).toBe("unavailable");
    const begunAt = performance.now();
    await store.close();
    expect(performance.now() - begunAt).toBeLessThan(2_000);
    postgres.thaw();
  });
});
