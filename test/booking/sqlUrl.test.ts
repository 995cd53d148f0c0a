import { describe, expect, test } from "bun:test";
import { checkSqlQuery, parseSqlUrl } from "../../src/booking/sqlUrl.ts";

describe("BOOKING_SQL_URL", () => {
  test.each([
    ["postgres://app:pass@db.example/shop", "postgres", "shop", "db.example:5432"],
    ["postgresql://app@db.example:6432/shop?sslmode=verify-full", "postgres", "shop", "db.example:6432"],
    ["postgres://app@db.example", "postgres", undefined, "db.example:5432"],
    ["postgres://app@[::1]/a%20b", "postgres", "a b", "[::1]:5432"],
    ["postgres://app@localhost/shop?path=/run/postgresql", "postgres", "shop", "/run/postgresql"],
    ["mysql://app:p%40ss@db.example/shop", "mysql", "shop", "db.example:3306"],
    ["mariadb://app@db.example:3307/shop", "mysql", "shop", "db.example:3307"],
  ] as const)("%s is a server", (url, kind, database, label) => {
    expect(parseSqlUrl(url)).toEqual({ kind, url, database, label });
  });

  test.each([
    ["sqlite:///var/lib/shop.db", "/var/lib/shop.db"],
    ["sqlite://./shop.db", "./shop.db"],
    ["sqlite:shop 1.db", "shop 1.db"],
  ])("%s is a file", (url, filename) => {
    expect(parseSqlUrl(url)).toEqual({ kind: "sqlite", filename, label: filename });
  });

  test.each([
    ["shop.db", "is not a URL"],
    ["", "is not a URL"],
    ["redis://h", "begins with redis:, must be postgres://, mysql://, mariadb:// or sqlite:"],
    ["postgres:///shop", "names no host"],
    ["postgres://app:secret@h/%zz", "has a % that begins no escape"],
    ["sqlite:", "names no file"],
    ["sqlite://:memory:", "names no file"],
    ["sqlite:///shop.db?mode=rwc", "has options behind a ?"],
  ])("%s is refused", (url, problem) => {
    expect(() => parseSqlUrl(url)).toThrow(`BOOKING_SQL_URL ${problem}`);
  });

  test("is never repeated, it has a password", () => {
    for (const url of ["postgres://app:secret@h/%zz", "http://app:secret@h", "app:secret@h"]) {
      expect(() => parseSqlUrl(url)).toThrow(/^(?!.*secret)/);
    }
  });
});

describe("BOOKING_SQL_QUERY", () => {
  test.each([
    ["postgres", "SELECT status FROM bookings WHERE id = $1"],
    ["postgres", "SELECT status FROM a WHERE id = $1 UNION SELECT status FROM b WHERE id = $1;\n"],
    ["postgres", "SELECT status FROM b WHERE id = $1 AND tags ? 'web' -- not $2"],
    ["mysql", "SELECT status FROM `what?` WHERE id = ? /* why? */"],
    ["mysql", "SELECT IF(note LIKE '%?%', 'paid', 'it''s; not') FROM b WHERE id = ?"],
    ["sqlite", "SELECT status FROM b WHERE id = ?"],
    ["sqlite", "SELECT status FROM b WHERE id = $1 OR old_id = $1"],
  ] as const)("of %s may be: %s", (kind, query) => {
    expect(() => checkSqlQuery(query, kind)).not.toThrow();
  });

  test.each([
    ["postgres", "SELECT status FROM b WHERE id = ?", "must have $1"],
    ["postgres", "SELECT 'paid'", "must have $1"],
    ["postgres", "SELECT status FROM b WHERE id = '$1'", "must have $1"],
    ["postgres", "SELECT status FROM b WHERE id = $1 AND shop = $2", "must have $1"],
    ["postgres", "SELECT status FROM b WHERE id = $10", "must have $1"],
    ["postgres", "SELECT status FROM b WHERE id = $1; DELETE FROM b", "has several statements"],
    ["mysql", "SELECT status FROM b WHERE id = $1", "has 0 times ?"],
    ["mysql", "SELECT status FROM b WHERE id = ? OR old_id = ?", "has 2 times ?"],
    ["sqlite", "SELECT status FROM b WHERE id = :id", "must have one ?, or $1"],
    ["sqlite", "SELECT status FROM b WHERE id = ? AND x = $1", "must have one ?, or $1"],
    ["sqlite", "", "must have one ?, or $1"],
  ] as const)("of %s is refused: %s", (kind, query, problem) => {
    expect(() => checkSqlQuery(query, kind)).toThrow(`BOOKING_SQL_QUERY ${problem}`);
  });
});
