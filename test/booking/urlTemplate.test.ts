import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseUrlTemplate } from "../../src/booking/urlTemplate.ts";

const IN_PATH = "https://shop.example/bookings/{bookingId}/status?v=2";
const IN_QUERY = "https://shop.example/status?booking={bookingId}&v=2";

describe("BOOKING_HTTP_URL", () => {
  test.each([
    [IN_PATH, "shop.example", "https://shop.example/bookings/BK-1/status?v=2"],
    [IN_QUERY, "shop.example", "https://shop.example/status?booking=BK-1&v=2"],
    ["HTTP://Shop.Example:8080/b-{bookingId}.json", "shop.example:8080", "http://shop.example:8080/b-BK-1.json"],
    ["http://[::1]/a b/../{bookingId}", "[::1]", "http://[::1]/BK-1"],
  ])("%s leads to one place", (template, label, url) => {
    expect(parseUrlTemplate(template).label).toBe(label);
    expect(parseUrlTemplate(template).urlFor("BK-1")).toBe(url);
  });

  test.each([
    ["https://shop.example/status", "has 0 times {bookingId}"],
    ["https://shop.example/{bookingId}/{bookingId}", "has 2 times {bookingId}"],
    ["https://shop.example/{id}", "has 0 times {bookingId}"],
    ["{bookingId}", "is not a URL"],
    ["ftp://shop.example/{bookingId}", "begins with ftp:"],
    ["file:///{bookingId}", "begins with file:"],
    ["https://{bookingId}.shop.example/status", "must have {bookingId} in its path or query"],
    ["https://{bookingId}/status", "must have {bookingId} in its path or query"],
    ["https://app:secret@shop.example/{bookingId}", "has a user or a password"],
    ["https://{bookingId}@shop.example/", "has a user or a password"],
    ["https://shop.example/#{bookingId}", "has a #"],
  ])("%s is refused", (template, problem) => {
    expect(() => parseUrlTemplate(template)).toThrow(`BOOKING_HTTP_URL ${problem}`);
  });
});

describe("a booking id", () => {
  test.each([
    ["a/b", "a%2Fb"],
    ["a%2fb", "a%252fb"],
    ["../../admin", "..%2F..%2Fadmin"],
    ["..%2f..%2fadmin", "..%252f..%252fadmin"],
    ["%2e%2e", "%252e%252e"],
    ["..\\..\\admin", "..%5C..%5Cadmin"],
    ["?admin=1", "%3Fadmin%3D1"],
    ["#x", "%23x"],
    ["&v=3", "%26v%3D3"],
    ["x@evil.example:80", "x%40evil.example%3A80"],
    ["a;b=c", "a%3Bb%3Dc"],
    ["it's(!*)", "it%27s%28%21%2A%29"],
    ["...", "..."],
    ["Đà Nẵng", "%C4%90%C3%A0%20N%E1%BA%B5ng"],
  ])("like %s stays in its place", (id, encoded) => {
    expect(parseUrlTemplate(IN_PATH).urlFor(id)).toBe(`https://shop.example/bookings/${encoded}/status?v=2`);
    expect(parseUrlTemplate(IN_QUERY).urlFor(id)).toBe(`https://shop.example/status?booking=${encoded}&v=2`);
  });

  test("that no path can carry has no URL there, and one where it does no harm", () => {
    for (const id of [".", ".."]) {
      expect(parseUrlTemplate(IN_PATH).urlFor(id)).toBeUndefined();
      expect(parseUrlTemplate(IN_QUERY).urlFor(id)).toBe(`https://shop.example/status?booking=${id}&v=2`);
      expect(parseUrlTemplate("https://shop.example/b-{bookingId}").urlFor(id)).toBe(`https://shop.example/b-${id}`);
    }
    expect(parseUrlTemplate(IN_PATH).urlFor("")).toBe("https://shop.example/bookings//status?v=2");
    expect(parseUrlTemplate(IN_QUERY).urlFor("\ud800")).toBeUndefined();
  });

  test("of any kind changes neither host nor the number of segments, and comes out as it went in", () => {
    const template = parseUrlTemplate(IN_PATH);
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: fc.constantFrom(..."./%2eE\\?#@:&") })),
        (id) => {
          const url = template.urlFor(id);
          if (url === undefined) return id === "." || id === ".." || !id.isWellFormed();
          const { origin, pathname, search, hash } = new URL(url);
          const [, bookings, segment, status, ...more] = pathname.split("/");
          expect([origin, bookings, status, more, search, hash]).toEqual([
            ...["https://shop.example", "bookings", "status", [], "?v=2", ""],
          ]);
          expect(decodeURIComponent(segment ?? "")).toBe(id);
          return true;
        },
      ),
    );
  });
});
